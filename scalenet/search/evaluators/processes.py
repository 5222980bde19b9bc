"""Programs that end with who runs them, and all that they have started with them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from scalenet.arch.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Generator

    from scalenet.search.evaluators.base import Job


_GRACE = 10.0
_LONGEST = 200


def run(words: list[str], stderr: TextIO, job: Job, log: Path) -> Generator[str]:
    """Yield the lines of a program's stdout; it and its children end with this, and with this process."""
    with subprocess.Popen(
        _guarded(words),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield from process.stdout
            code = process.wait()
        finally:
            _end(process)
    if code:
        *_, last = log.read_text(encoding="utf-8", errors="replace").split("\n")[-2:-1] or [""]
        raise RunError(f"{job}: exit code {code}, see {log}", hint=last.strip()[:_LONGEST] or None)


def _guarded(words: list[str]) -> list[str]:
    """Return a command that also ends when this process is killed, and its children with it, which takes Linux."""
    if sys.platform != "linux":
        return words
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("guard.py")), *words]


def _end(process: subprocess.Popen[str]) -> None:
    """End a program and its children; `torchrun` needs a moment to end what it has started in other sessions."""
    assert process.stdin is not None
    with contextlib.suppress(ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(_GRACE)
    process.stdin.close()  # its guard kills what is left
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
