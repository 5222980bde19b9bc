"""Python processes that do not import what lies in the working directory."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME, _MARK = "PYTHONSAFEPATH", "scalenet"


@contextmanager
def off_the_path() -> Iterator[None]:
    """Start processes in here with the working directory off their import path.

    `multiprocessing` starts them with `python -c`, which puts it first: a file called `pickle.py` would be run. They
    call `as_others_start` in turn, so that what they start themselves starts as it would.
    """
    if _NAME in os.environ:
        yield
        return
    os.environ[_NAME] = _MARK
    try:
        yield
    finally:
        as_others_start()


@contextmanager
def without_main() -> Iterator[None]:
    """Start processes in here that do not run this program's own file: a script without `if __name__ == "__main__"`.

    `multiprocessing` runs the file of `__main__` in each of them, where it has one. What they are sent must be found
    in other modules.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def as_others_start() -> None:
    """Let processes that are started from here on have the path that Python gives them."""
    if os.environ.get(_NAME) == _MARK:
        del os.environ[_NAME]
