"""`check` and `lock` as one call each: the project of a folder, and of it the targets that are named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scalenet.arch.errors import ScalenetError
from scalenet.arch.files import write_text
from scalenet.arch.words import hush
from scalenet.checks import checking
from scalenet.checks.lock import dumps
from scalenet.checks.outcome import Locked
from scalenet.checks.project import find_project, find_projects
from scalenet.checks.selection import select

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scalenet.checks.outcome import Report
    from scalenet.checks.project import Project
    from scalenet.checks.selection import Selection
    from scalenet.scaling.scaler import Network


def check(
    *targets: Network,
    folder: str | Path = ".",
    inputs: Sequence[str] = (),
    base: str | None = None,
    fast: bool = False,
    progress: Callable[[str], None] = hush,
) -> Report:
    """Measure the targets of a project, compare them with its lock file, and hold them to its limits.

    Targets are names that the project lists, with `*` and `?`, config files, baselines, a config or architecture by its
    own name, or `package.module:callable` with its `inputs` (`1x3x224x224`, `mask=1x77:bool`); without any, all that
    `[tool.scalenet]` lists. The project is the nearest at or above `folder`, which paths start from. `base` is a branch
    with whose lock file costs are compared too; `fast` counts configs by formula, and no modules. `progress` is told of
    each target that was measured. The report's `code` is 0 where all holds; `print(report)` says what does not.
    """
    project, selection = _chosen(Path(folder), targets, inputs)
    return checking.check(project, selection, base=base, fast=fast, progress=progress)


def lock(
    *targets: Network,
    folder: str | Path = ".",
    inputs: Sequence[str] = (),
    progress: Callable[[str], None] = hush,
) -> Locked:
    """Measure the targets of a project and write the lock file that accepts what they cost; see `check` for the rest.

    What cannot be measured keeps its line, and is among the problems of what is returned.
    """
    project, selection = _chosen(Path(folder), targets, inputs)
    report, locked = checking.relock(project, selection, progress=progress)
    if locked.targets:
        write_text(project.lock, dumps(locked))
    return Locked(report, tuple(locked.targets))


def folders_of_projects(folder: str | Path = ".") -> list[Path]:
    """Return the folders of all projects at or below a folder; raise ScalenetError where there is none."""
    start = _start(Path(folder))
    projects = find_projects(start)
    if not projects:
        raise ScalenetError("no projects", hint=f"no pyproject.toml at or below {start} has [tool.scalenet]")
    return [project.folder for project in projects]


def _chosen(folder: Path, targets: Sequence[Network], inputs: Sequence[str]) -> tuple[Project, Selection]:
    start = _start(folder)
    project = find_project(start)
    return project, select(project, targets, inputs, start=start)


def _start(folder: Path) -> Path:
    start = Path.cwd() / folder
    if not start.is_dir():
        raise ScalenetError(f"{folder}: no such folder")
    return start
