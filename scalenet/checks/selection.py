"""Which targets a command is about: all that the project lists, or those that it names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from scalenet.arch import registry
from scalenet.arch.errors import ScalenetError
from scalenet.checks.project import ModuleTarget, Project, find_projects
from scalenet.checks.targets import Problem, Target, described_target, find_targets
from scalenet.scaling.scaler import find_config

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scalenet.scaling.scaler import Network


@dataclass(frozen=True, slots=True)
class Selection:
    """The targets of a run: all that the project lists, or those that the `words` of the command name."""

    targets: list[Target]
    problems: list[Problem]
    words: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether these are all targets."""
        return not self.words


def select(
    project: Project, networks: Sequence[Network], inputs: Sequence[str], *, start: Path | None = None
) -> Selection:
    """Return the listed targets, or of them those that match a name; what matches none is a target by itself.

    `inputs` belong to a module that is named: `package.module:name`. Paths start from `start`, or from where we are. A
    description is a target by its own name.
    """
    names = [str(one) for one in networks if isinstance(one, str | Path)]
    described = [described_target(find_config(one)) for one in networks if not isinstance(one, str | Path)]
    listed, problems = find_targets(project.settings.targets, project.folder)
    if not networks:
        if not (listed or problems):
            raise ScalenetError("no targets", hint=_where_targets_are(project))
        return Selection(listed, problems)
    all_names = *(target.name for target in listed), *(problem.name for problem in problems)
    names = [_from_folder(name, start or Path.cwd(), project.folder) for name in names]
    chosen = {target.name: target for target in described}
    own_names = tuple(chosen)
    wrong: list[Problem] = []
    for name in names:
        matches = [] if inputs else _called(name, listed, project.folder)
        if not matches:
            entry = ModuleTarget(module=name, input=tuple(inputs)) if inputs else name
            matches, more = find_targets([entry], project.folder)
            wrong += more
        chosen.update({target.name: target for target in matches})
    words = (*own_names, *names, *(f"--input={one}" for one in inputs))
    return Selection(list(chosen.values()), wrong, words, all_names)


def _called(name: str, targets: Iterable[Target], folder: Path) -> list[Target]:
    """Return the target of this very name, or if there is none, nor a file, those that match it as a pattern."""
    exact = [target for target in targets if target.name == name]
    if exact or (registry.is_path(name) and (folder / name).exists()):
        return exact
    return [target for target in targets if fnmatchcase(target.name, name)]


def _where_targets_are(project: Project) -> str:
    below = [_relative(one.folder, project.folder) for one in find_projects(project.folder) if one != project]
    if not below:
        return "list them in [tool.scalenet] of pyproject.toml, or name one"
    return f"projects below: {', '.join(below[:5])}{', …' * (len(below) > 5)}; -C {below[0]}, or --all"


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _from_folder(name: str, start: Path, folder: Path) -> str:
    """Return the path of a file as it is from `folder`, and any other name as it is."""
    is_file = registry.is_path(name) and (start / name).is_file()
    return _relative(start / name, folder) if is_file else name
