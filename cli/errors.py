"""From exceptions to one plain line and an exit code.

0 done or yes · 1 a check said no · 2 asked wrongly · 3 the run failed · 130 interrupted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import NoReturn, ParamSpec, TypeVar

import typer

from .output import note

NO, ASKED_WRONGLY, FAILED, INTERRUPTED = 1, 2, 3, 130

P = ParamSpec("P")
T = TypeVar("T")


def plain_errors(command: Callable[P, T]) -> Callable[P, T]:
    """Wrap a command so that what goes wrong in it is one line on stderr; SCALENET_DEBUG=1 shows the traceback."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            _leave("interrupted", None, INTERRUPTED)
        except Exception as error:
            if os.environ.get("SCALENET_DEBUG") == "1":
                raise
            from scalenet.arch.errors import PlainError, RunError

            if isinstance(error, PlainError):
                _leave(error.message, error.hint, FAILED if isinstance(error, RunError) else ASKED_WRONGLY)
            reason = " ".join(str(error).split()) or type(error).__name__
            _leave(f"{type(error).__name__}: {reason}", "SCALENET_DEBUG=1 shows where", FAILED)

    return wrapped


def _leave(message: str, hint: str | None, code: int) -> NoReturn:
    note(f"scalenet: {message}")
    if hint:
        note(f"  {hint}")
    raise typer.Exit(code)
