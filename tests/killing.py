"""Programs whose processes kill themselves at chosen moments, for tests of what is left then."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import commands

if TYPE_CHECKING:
    from random import Random


def run(program: str, *words: str) -> str:
    """Run a Python program, which can import this module, and return its stdout."""
    done = commands.run([sys.executable, "-c", program, *words])
    assert done.returncode == 0, done.stderr
    return done.stdout


def die() -> NoReturn:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def die_at_write(write: int | None, chooser: Random) -> None:
    """From now on, die as the file of that number (from 1) gets its name: before or after it, as the chooser says."""
    rename, writes = Path.replace, 0

    def replace(path: Path, target: Path) -> Path:
        nonlocal writes
        writes += 1
        if writes == write and chooser.random() < 0.5:
            die()
        renamed = rename(path, target)
        if writes == write:
            die()
        return renamed

    Path.replace = replace  # type: ignore[method-assign]
