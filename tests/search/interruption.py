"""The worker processes of a search."""

from __future__ import annotations

import contextlib
from pathlib import Path


def workers(pid: int) -> list[int]:
    """Return the workers of a search's process: what was forked from its server (read from Linux's /proc)."""
    return [worker for server in servers(pid) for worker in _children(server)]


def servers(pid: int) -> list[int]:
    """Return the servers that a search's workers are forked from: one, from before the first worker starts."""
    return [child for child in _children(pid) if b"forkserver" in Path(f"/proc/{child}/cmdline").read_bytes()]


def _children(pid: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                found.append(int(folder.name))
    return found
