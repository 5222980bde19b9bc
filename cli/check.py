"""`scalenet check`: does every target still cost what the lock file says?"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from .errors import plain_errors
from .options import Json
from .output import emit_json, emit_lines, note

if TYPE_CHECKING:
    from scalenet.checks.checking import Report

Targets: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TARGET",
        help="Names of listed targets, with * and ?; a config file, a baseline, or package.module:callable. "
        "All that [tool.scalenet] lists, unless given.",
    ),
]
Inputs: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--input", metavar="SHAPE", help="An input of package.module:callable: 1x3x224x224, 1x77:int64."),
]


@plain_errors
def check(
    targets: Targets = None,
    input: Inputs = None,
    base: Annotated[
        str | None, typer.Option(metavar="BRANCH", help="Compare with the lock file where this branch was left.")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Configs by formula, without torch; no modules.")] = False,
    report: Annotated[
        list[str] | None, typer.Option(metavar="KIND=FILE", help="Write markdown=F, junit=F or json=F too.")
    ] = None,
    github: Annotated[
        bool | None, typer.Option(help="Write GitHub's job summary and annotations; by itself under GITHUB_ACTIONS.")
    ] = None,
    json: Json = False,
) -> None:
    """Measure costs and compare them with the lock file; exit 1 where a gate failed, 3 where a count is missing."""
    from scalenet.checks.checking import check as checked
    from scalenet.checks.checking import select
    from scalenet.checks.project import find_project
    from scalenet.checks.report import lines

    files = dict(map(_report, report or ()))
    project = find_project(Path.cwd())
    selection = select(project, targets or (), input or ())
    with measuring(quiet=fast) as progress:
        outcome = checked(project, selection, base=base, fast=fast, progress=progress)
    if json:
        from scalenet.checks.machine import as_json

        emit_json(as_json(outcome))
    else:
        emit_lines(lines(outcome))
    for kind, path in files.items():
        _write(outcome, kind, path)
    if os.environ.get("GITHUB_ACTIONS") == "true" if github is None else github:
        _tell_github(outcome)
    raise typer.Exit(outcome.code)


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


def _write(outcome: Report, kind: str, path: Path) -> None:
    from scalenet.arch.files import write_text
    from scalenet.arch.strict_json import dumps
    from scalenet.checks.machine import as_json, as_junit
    from scalenet.checks.report import markdown

    if kind == "json":
        write_text(path, dumps(as_json(outcome), indent=2) + "\n")
    else:
        write_text(path, markdown(outcome) if kind == "markdown" else as_junit(outcome))


def _tell_github(outcome: Report) -> None:
    from scalenet.arch.files import append_text
    from scalenet.checks.machine import github_commands
    from scalenet.checks.report import markdown

    root = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd())
    for line in github_commands(outcome, root):
        note(line)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        append_text(Path(summary), markdown(outcome))
