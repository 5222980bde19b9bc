"""Evaluators: what says how accurate a candidate is.

`train` is scalenet's own training. A command runs the user's own trainer, a function is called, and a table has known
results. All take a job and give a result, and report how far they are in between.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalenet.arch.errors import ScalenetError, nearest
from scalenet.search.evaluators.base import Evaluator, Job, Kept, Report, Result, Tell
from scalenet.search.evaluators.command import Command
from scalenet.search.evaluators.function import Function, Given, by_name
from scalenet.search.evaluators.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Command",
    "Evaluator",
    "Function",
    "Given",
    "Job",
    "Kept",
    "Report",
    "Result",
    "Table",
    "Tell",
    "find_evaluator",
    "the_evaluator",
]


def the_evaluator(evaluate: str | Callable[..., Any]) -> Evaluator | None:
    """Return what judges candidates, None for scalenet's own training.

    A function that other processes can import is theirs as well; any other is for this process alone.
    """
    if evaluate == "train":
        return None
    if isinstance(evaluate, str):
        return find_evaluator(evaluate)
    if not callable(evaluate):
        raise ScalenetError(f"no evaluator: {type(evaluate).__name__}", hint="give a function, or text")
    return by_name(evaluate) or Given(evaluate)


def find_evaluator(text: str) -> Evaluator:
    """Return the evaluator of `table:FILE`, `package.module:function`, or a command with placeholders."""
    if text.startswith("table:"):
        return Table(Path(text.removeprefix("table:")).absolute())
    if re.fullmatch(r"__main__:.+|functools:partial|[\w.]+:.*<.+>.*", text):
        raise ScalenetError(
            f"{text} is a function of a script or a notebook", hint="that goes on with it; `search results` reads it"
        )
    if re.fullmatch(r"[\w.]+:[\w.]+", text):
        return Function(text, str(Path.cwd()))
    if not re.search(r"[\s{]", text):
        raise ScalenetError(
            f"{text!r} is no evaluator",
            hint=nearest(text, ["train", "table:"]) or "write train, table:FILE, package.module:function, or a command",
        )
    return Command(text)
