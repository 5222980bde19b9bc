"""From exceptions to one plain line and an exit code.

0 done or yes · 1 a check said no · 2 asked wrongly · 3 the run failed · 130 interrupted.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NoReturn, ParamSpec, TypeVar

import typer

from .entry import interrupt_as_usual
from .output import note

NO, ASKED_WRONGLY, FAILED, INTERRUPTED = 1, 2, 3, 130

P = ParamSpec("P")
T = TypeVar("T")


def plain_errors(command: Callable[P, T]) -> Callable[P, T]:
    """Wrap a command so that what goes wrong in it is one line on stderr; SCALENET_DEBUG=1 shows the traceback."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            interrupt_as_usual()
            _check_numbers(kwargs)
            return command(*args, **kwargs)
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt:
            _leave("interrupted", None, INTERRUPTED)
        except Exception as error:
            _leave(*told(error))

    return wrapped


def told(error: Exception) -> tuple[str, str | None, int]:
    """Return what an error says in one line, a next step, and the exit code; with SCALENET_DEBUG=1 raise it."""
    if os.environ.get("SCALENET_DEBUG") == "1":
        raise error
    from scalenet.arch.errors import PlainError, RunError, one_line

    if isinstance(error, PlainError):
        return error.message, error.hint, FAILED if isinstance(error, RunError) else ASKED_WRONGLY
    if isinstance(error, OSError):
        return _of_system(error)
    if _lacks_memory(error):
        return f"not enough memory: {one_line(error)}", "ask for less at once", FAILED
    if isinstance(error, OverflowError):
        return "a number is too large", "SCALENET_DEBUG=1 shows where", ASKED_WRONGLY
    return one_line(error), "SCALENET_DEBUG=1 shows where", FAILED


_TOO_LARGE = ("can't allocate memory", "Storage size calculation overflowed")


def _lacks_memory(error: Exception) -> bool:
    """Return whether memory was refused, which PyTorch says in words."""
    of_torch = type(error).__name__ == "OutOfMemoryError" or any(words in str(error) for words in _TOO_LARGE)
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and of_torch)


def _check_numbers(options: Mapping[str, Any]) -> None:
    """Refuse numbers that no option takes: no command is to fill the memory, or to work for days, by a slip."""
    from scalenet.arch.bounds import LARGEST
    from scalenet.arch.errors import ScalenetError

    for name, value in options.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ScalenetError(f"--{name.replace('_', '-')}: {value} is no number")
        if isinstance(value, int | float) and abs(value) > LARGEST and name != "seed":
            raise ScalenetError(f"--{name.replace('_', '-')}: {value:.4g} is more than a billion")


def _of_system(error: OSError) -> tuple[str, str | None, int]:
    """Return message, hint and exit code of what the system refused: 2 where a place was named wrongly, else 3."""
    said = error.strerror or str(error) or type(error).__name__
    if error.filename is None and isinstance(error, FileNotFoundError):
        return "the working directory is gone", "change to one that is there", ASKED_WRONGLY
    if error.filename is not None and error.errno in _PLACES:
        return f"{os.fsdecode(error.filename)}: {said}", None, ASKED_WRONGLY
    place = "" if error.filename is None else f"{error.filename}: "
    return f"{place}{said}", "SCALENET_DEBUG=1 shows where", FAILED


_PLACES = tuple(
    getattr(errno, name)
    for name in ("ENOENT", "EACCES", "EPERM", "EROFS", "ENAMETOOLONG", "ENOTDIR", "EISDIR", "EEXIST", "ELOOP", "EINVAL")
)


def _leave(message: str, hint: str | None, code: int) -> NoReturn:
    note(f"scalenet: {message}")
    if hint:
        note(f"  {hint}")
    raise typer.Exit(code)
