"""`scalenet lock`: write down what every target costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .check import Every, Folder, Inputs, Targets, chosen, measuring, shown_folder
from .errors import plain_errors
from .output import emit_lines, note

if TYPE_CHECKING:
    from scalenet.checks.project import Project
    from scalenet.checks.selection import Selection


@plain_errors
def lock(targets: Targets = None, input: Inputs = None, folder: Folder = Path(), every: Every = False) -> None:
    """Measure costs, print what changed, and write the lock file that accepts it."""
    codes = []
    for project, selection in chosen(folder, targets or (), input or (), every=every):
        if every:
            emit_lines([f"{shown_folder(project)}/pyproject.toml"])
        codes.append(_lock(project, selection))
    raise typer.Exit(max(codes))


def _lock(project: Project, selection: Selection) -> int:
    from scalenet.arch.files import write_text
    from scalenet.checks.checking import relock
    from scalenet.checks.lock import dumps
    from scalenet.checks.report import changes, counted, problem_text

    with measuring() as progress:
        outcome, locked = relock(project, selection, progress=progress)
    emit_lines(changes(outcome))
    for problem in outcome.problems:
        note(problem_text(problem))
    if locked.targets:
        write_text(project.lock, dumps(locked))
        note(f"wrote {project.lock.name}: {counted(list(locked.targets), 'target')}")
    if outcome.problems:
        note(f"not locked anew: {counted(outcome.problems, 'problem')}")
    return max((problem.code for problem in outcome.problems), default=0)
