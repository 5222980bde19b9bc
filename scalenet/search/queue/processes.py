"""Processes of this machine, told from all others there ever were: does the one that took a job still live?"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path


def this_process() -> str:
    """Return what tells this process from all others, on any machine; empty where the system does not say."""
    started = _started(os.getpid())
    return f"{_machine()}/{os.getpid()}/{started}" if _machine() and started else ""


def lives(process: str | None) -> bool | None:
    """Return whether a process lives, None where it is not of this machine (or container)."""
    machine, _, own = (process or "").partition("/")
    if not (machine and machine == _machine()):
        return None
    number, _, started = own.partition("/")
    return _started(int(number)) == started


@cache
def _machine() -> str:
    """Return what tells this machine since it was started, and the container on it, from others (Linux)."""
    try:
        booted = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{booted} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(number: int) -> str:
    """Return when a process started, in ticks since the machine did; empty where it is gone, or only a zombie."""
    try:
        words = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if words[0] in "ZX" else words[19]
