"""Commands that Ctrl-C reaches, and the workers of a search."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from functools import partial
from pathlib import Path


def interruptible(words: list[str], folder: Path) -> subprocess.Popen[str]:
    """Start a command in a folder, in a process group of its own.

    It hears SIGINT even where the tests run in the background, which ignores it.
    """
    default, pipe = partial(signal.signal, signal.SIGINT, signal.SIG_DFL), subprocess.PIPE
    return subprocess.Popen(
        words,
        cwd=folder,
        stdout=pipe,
        stderr=pipe,
        text=True,
        start_new_session=True,
        preexec_fn=default,  # noqa: PLW1509 - no threads here
    )


def workers(pid: int) -> list[int]:
    """Return the workers of a search's process: what was forked from its server (read from Linux's /proc)."""
    servers = [child for child in _children(pid) if b"forkserver" in Path(f"/proc/{child}/cmdline").read_bytes()]
    return [worker for server in servers for worker in _children(server)]


def _children(pid: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                found.append(int(folder.name))
    return found
