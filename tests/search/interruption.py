"""Commands that Ctrl-C reaches."""

from __future__ import annotations

import signal
import subprocess
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
