"""`scalenet lock`: write down what every target costs."""

from __future__ import annotations

from pathlib import Path

import typer

from .check import Inputs, Targets, measuring
from .errors import plain_errors
from .output import emit_lines, note


@plain_errors
def lock(targets: Targets = None, input: Inputs = None) -> None:
    """Measure costs, print what changed, and write the lock file that accepts it."""
    from scalenet.arch.files import write_text
    from scalenet.checks.checking import relock, select
    from scalenet.checks.lock import dumps
    from scalenet.checks.project import find_project
    from scalenet.checks.report import changes, counted, problem_text

    project = find_project(Path.cwd())
    selection = select(project, targets or (), input or ())
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
        raise typer.Exit(max(problem.code for problem in outcome.problems))
