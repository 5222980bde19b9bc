"""Evaluators: what says how accurate a candidate is.

`train` is scalenet's own training. A command runs the user's own trainer, a function is called, and a table has known
results. All take a job and give a result, and report how far they are in between.
"""

from __future__ import annotations

import re
from pathlib import Path

from scalenet.arch.errors import ScalenetError, nearest
from scalenet.search.evaluators.base import Evaluator, Job, Report, Result, Tell
from scalenet.search.evaluators.command import Command
from scalenet.search.evaluators.function import Function
from scalenet.search.evaluators.table import Table

__all__ = ["Command", "Evaluator", "Function", "Job", "Report", "Result", "Table", "Tell", "find_evaluator"]


def find_evaluator(text: str) -> Evaluator:
    """Return the evaluator of `table:FILE`, `package.module:function`, or a command with placeholders."""
    if text.startswith("table:"):
        return Table(Path(text.removeprefix("table:")).absolute())
    if re.fullmatch(r"[\w.]+:[\w.]+", text):
        return Function(text, str(Path.cwd()))
    if not re.search(r"[\s{]", text):
        raise ScalenetError(
            f"{text!r} is no evaluator",
            hint=nearest(text, ["train", "table:"]) or "write train, table:FILE, package.module:function, or a command",
        )
    return Command(text)
