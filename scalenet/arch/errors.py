"""What a user can get wrong: each error is one line that names the place, and a hint with the next step."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class ScalenetError(ValueError):
    """Carry a one-line message and, where there is one, a hint that says what to do next."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message} ({hint})")
        self.message = message
        self.hint = hint


class UnknownNameError(ScalenetError):
    """Say that a name is not registered, and which registered names are near it."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, listing: str | None = None) -> None:
        super().__init__(f"unknown {kind} {name!r}", hint=nearest(name, known) or listing)


class RunError(ScalenetError):
    """Say that a run failed which was asked for rightly: it diverged, or the disk is full."""


class ConfigError(ScalenetError):
    """Say what is wrong in a config file, and where."""


def one_line(error: BaseException) -> str:
    """Return the kind of an error and what it says in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return "did you mean …?" for the names most like `name`, or None where none is near."""
    matches = difflib.get_close_matches(name, list(known), n=2, cutoff=0.6)
    return f"did you mean {' or '.join(repr(match) for match in matches)}?" if matches else None
