"""`scalenet check`: does every target still cost what the lock file says?"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from .errors import plain_errors
from .options import Inputs, Json
from .output import emit_json, emit_lines, order

if TYPE_CHECKING:
    from scalenet.checks.outcome import Report

Targets: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TARGET",
        help="Names of listed targets, with * and ?; a config file, a baseline, or package.module:callable. "
        "All that [tool.scalenet] lists, unless given.",
    ),
]
Folder: TypeAlias = Annotated[
    Path, typer.Option("-C", metavar="DIR", help="Take the project of this folder; targets' paths start there.")
]
Every: TypeAlias = Annotated[bool, typer.Option("--all", help="Take every project at or below the folder.")]


@plain_errors
def check(
    targets: Targets = None,
    input: Inputs = None,
    folder: Folder = Path(),
    every: Every = False,
    base: Annotated[
        str | None, typer.Option(metavar="BRANCH", help="Compare with the lock file where this branch was left.")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Configs by formula, without torch; no modules.")] = False,
    report: Annotated[
        list[str] | None, typer.Option(metavar="KIND=FILE", help="Write markdown=F, junit=F or json=F too.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the check in its comment.  [default: its folder]"),
    ] = None,
    github: Annotated[
        bool | None, typer.Option(help="Write GitHub's job summary and annotations; by itself under GITHUB_ACTIONS.")
    ] = None,
    json: Json = False,
) -> None:
    """Measure costs and compare them with the lock file; exit 1 where a gate failed, 3 where a count is missing."""
    import scalenet

    files = dict(map(_report, report or ()))
    outcomes = []
    for place in folders(folder, targets, input, every=every):
        with measuring(quiet=fast) as progress:
            outcome = scalenet.check(
                *(targets or ()), folder=place, inputs=input or (), base=base, fast=fast, progress=progress
            )
        outcomes.append(outcome)
        if not json:
            emit_lines([*title(outcome, every=every), *str(outcome).splitlines()])
    if json:
        emit_json(_as_json(outcomes, every=every))
    for kind, path in files.items():
        _write(outcomes, kind, path, name, every=every)
    if os.environ.get("GITHUB_ACTIONS") == "true" if github is None else github:
        _tell_github(outcomes, name)
    raise typer.Exit(max(outcome.code for outcome in outcomes))


def folders(folder: Path, targets: list[str] | None, inputs: list[str] | None, *, every: bool) -> list[Path]:
    """Return the folder whose project is meant, or those of `every` project at or below it."""
    from scalenet.arch.errors import ScalenetError
    from scalenet.checks.calls import folders_of_projects

    if not every:
        return [folder]
    if targets or inputs:
        raise ScalenetError("--all takes every project, and no targets", hint="name one project with -C DIR")
    return folders_of_projects(folder)


def title(outcome: Report, *, every: bool) -> list[str]:
    """Return the line above a project's, where there may be several."""
    return [f"{outcome.shown_folder}/pyproject.toml"] if every else []


@contextmanager
def measuring(*, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Show on a terminal which target was measured last."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text("measuring")) as status:
        yield lambda name: status.update(Text(f"measured {name}"))


def _report(text: str) -> tuple[str, Path]:
    from scalenet.arch.errors import ScalenetError, nearest

    kinds = ("markdown", "junit", "json")
    kind, _, path = text.partition("=")
    if kind not in kinds or not path:
        raise ScalenetError(f"--report {text}: not KIND=FILE", hint=nearest(kind, kinds) or f"KIND: {', '.join(kinds)}")
    return kind, Path(path)


def _as_json(outcomes: Sequence[Report], *, every: bool) -> object:
    from scalenet.checks.machine import as_json

    return list(map(as_json, outcomes)) if every else as_json(outcomes[0])


def _write(outcomes: Sequence[Report], kind: str, path: Path, name: str | None, *, every: bool) -> None:
    from scalenet.arch.files import write_text
    from scalenet.arch.strict_json import dumps
    from scalenet.checks.machine import as_junit
    from scalenet.checks.report import comment

    if kind == "json":
        write_text(path, dumps(_as_json(outcomes, every=every), indent=2) + "\n")
    else:
        write_text(path, comment(outcomes, name) if kind == "markdown" else as_junit(outcomes))


def _tell_github(outcomes: Sequence[Report], name: str | None) -> None:
    from scalenet.arch.files import append_text
    from scalenet.checks.machine import github_commands
    from scalenet.checks.report import comment

    root = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd())
    for command in github_commands(outcomes, root):
        order(command)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        append_text(Path(summary), comment(outcomes, name))
