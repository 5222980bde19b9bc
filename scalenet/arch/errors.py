"""What can go wrong: each error is one line that names the place, and a hint with the next step.

`ScalenetError` is what a user can get wrong, a ValueError; `RunError` is what failed although it was asked for rightly.
Both are a `PlainError`. All of them can be pickled, so that they come back from other processes as they were raised.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from scalenet.arch.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterable


class PlainError(Exception):
    """Carry a one-line message and, where there is one, a hint that says what to do next."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = plain(message)
        self.hint = None if hint is None else plain(hint)
        super().__init__(self.message if hint is None else f"{self.message} ({self.hint})")

    def __reduce__(self) -> Any:
        """Pickle as text and attributes: an exception is made anew from `args`, which are not what `__init__` takes."""
        return _again, (type(self), self.args, self.__dict__)


class ScalenetError(PlainError, ValueError):
    """Say what a user got wrong."""


class UnknownNameError(ScalenetError):
    """Say that a name is not registered, and which registered names are near it."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, listing: str | None = None) -> None:
        super().__init__(f"unknown {kind} {name!r}", hint=nearest(name, known) or listing)


class RunError(PlainError):
    """Say that a run failed which was asked for rightly: it diverged, or the disk is full."""


class ConfigError(ScalenetError):
    """Say what is wrong in a config file, and where."""


def _again(kind: type[PlainError], args: tuple[Any, ...], attributes: dict[str, Any]) -> PlainError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


def one_line(error: BaseException) -> str:
    """Return the kind of an error and what it says in one line."""
    return plain(f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": "))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return "did you mean …?" for the names most like `name`, or None where none is near."""
    matches = difflib.get_close_matches(name, list(known), n=2, cutoff=0.6)
    return f"did you mean {' or '.join(repr(match) for match in matches)}?" if matches else None
