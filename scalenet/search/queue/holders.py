"""Who holds SQLite's lock on a file: a process that was stopped (Ctrl-Z) within a transaction holds it for good."""

from __future__ import annotations

import re
from pathlib import Path

_WRITER = 120  # the byte of the shared memory file that who writes has locked, in SQLite's write-ahead log
_LOCK = re.compile(r"\d+: POSIX +\w+ +WRITE (\d+) \w+:\w+:(\d+) (\d+) (\d+|EOF)")


def holder(file: Path) -> str | None:
    """Return who writes to a database just now, and whether it was stopped, in words; None where nobody is known to."""
    try:
        number = file.with_name(f"{file.name}-shm").stat().st_ino
        locks = Path("/proc/locks").read_text(encoding="ascii")
    except (OSError, ValueError):  # another system than Linux, or no log yet
        return None
    for process, node, first, last in _LOCK.findall(locks):
        if int(node) == number and int(first) <= _WRITER <= int(last if last != "EOF" else _WRITER):
            return f"process {process}" + (_STOPPED.format(process) if _is_stopped(process) else "")
    return None


_STOPPED = ", which was stopped: `kill -CONT {0}` lets it go on, and `kill -KILL {0}` ends it"


def _is_stopped(process: str) -> bool:
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] in "Tt"
