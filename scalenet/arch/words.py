"""Numbers, times and paths as people read them."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def number(count: int, what: str) -> str:
    """Return so many of something: 1 seed, 2 seeds."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def count(value: float) -> str:
    """Return a count for reading: 385814752 is 385.8 M."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.4g} {unit}"
    return f"{value:g}"


def seconds_text(value: float) -> str:
    """Return a time for reading: 0.0324 is 32.4 ms."""
    return f"{value:.4g} s" if value >= 1 else f"{1e3 * value:.4g} ms"


def duration(seconds: float) -> str:
    """Return a time for people: 45 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def time_given(seconds: float) -> str:
    """Return a time as who gave it wrote it, about: 100 s, 90 min, 8 h."""
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds and seconds % unit == 0:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.10g} s"


def quoted(word: str | Path) -> str:
    """Return a path or another word as a shell takes it."""
    return shlex.quote(str(word))


def times(value: float) -> str:
    """Return a ratio for reading: 2.5728 is 2.573×."""
    return f"{value:.4g}×"


def percentage(value: float) -> str:
    """Return a fraction for reading: 0.9412 is 94.12 %."""
    return f"{100 * value:.2f} %"


def tell(line: str) -> None:
    """Write a line to stderr: what hears of a long call unless something else shall."""
    print(line, file=sys.stderr, flush=True)


def hush(*_: object) -> None:
    """Hear nothing: what is told of a long call where nobody wants to know."""
