"""`scalenet lock`: write down what every target costs."""

from __future__ import annotations

from pathlib import Path

import typer

from .check import Every, Folder, Targets, folders, measuring, title
from .errors import plain_errors
from .options import Inputs
from .output import emit_lines, note


@plain_errors
def lock(targets: Targets = None, input: Inputs = None, folder: Folder = Path(), every: Every = False) -> None:
    """Measure costs, print what changed, and write the lock file that accepts it."""
    import scalenet
    from scalenet.checks.report import counted, problem_text

    code = 0
    for place in folders(folder, targets, input, every=every):
        with measuring() as progress:
            locked = scalenet.lock(*(targets or ()), folder=place, inputs=input or (), progress=progress)
        emit_lines([*title(locked.report, every=every), *str(locked).splitlines()])
        for problem in locked.problems:
            note(problem_text(problem))
        if locked.targets:
            note(f"wrote {locked.path.name}: {counted(locked.targets, 'target')}")
        if locked.problems:
            note(f"not locked anew: {counted(locked.problems, 'problem')}")
        code = max(code, locked.code)
    raise typer.Exit(code)
