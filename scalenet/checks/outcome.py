"""The outcome of a check: what became of each target, which limits hold, what could not be checked."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from scalenet.checks.targets import NOT_LOCKED

if TYPE_CHECKING:
    from scalenet.checks.comparison import Change
    from scalenet.checks.limits import Budget
    from scalenet.checks.lock import TargetCost
    from scalenet.checks.targets import Problem

Status: TypeAlias = Literal["unchanged", "changed", "renamed", "new", "gone"]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a target. `accepted` is whether the lock file says so; `was` its former name, if it has another.

    `change` runs from the base to now, or where they are equal, from the lock file. `file` is where the target is
    written, and `line` where in it, as far as that is known.
    """

    name: str
    status: Status
    accepted: bool
    cost: TargetCost | None = None
    change: Change | None = None
    file: Path | None = None
    line: int = 1
    was: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a check. `lock` and `base` name what was compared with; `skipped` targets were not measured.

    `words` are those of the command that chose the targets. `unclear` are new targets that may be one of several gone
    ones. `bare` is whether the base has no lock file at all. `folder` is the project's, `place` the same from the
    repository's top; `untimed` are targets whose latency is limited and was not measured. `new` are the
    project's patterns of what needs no base.
    """

    words: tuple[str, ...]
    lock: Path
    base: str | None
    results: tuple[Result, ...]
    budgets: tuple[Budget, ...]
    problems: tuple[Problem, ...]
    skipped: tuple[str, ...]
    unclear: dict[str, list[str]] = field(default_factory=dict)
    bare: bool = False
    place: str = "."
    untimed: tuple[str, ...] = ()
    folder: Path = field(default_factory=Path)
    new: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return what `scalenet check` prints: what changed, the limits, the verdict, the command that accepts."""
        from scalenet.checks.report import lines  # noqa: PLC0415 - which is about reports

        return "\n".join(lines(self, self.shown_folder))

    @property
    def shown_folder(self) -> str:
        """How the project's folder is written from here: `.` where we are in it."""
        here = Path.cwd()
        return "." if here.is_relative_to(self.folder) else Path(os.path.relpath(self.folder, here)).as_posix()

    @property
    def code(self) -> int:
        """0 where all holds, 1 where a gate failed, 2 where something was asked wrongly, 3 where a count is missing."""
        return max([int(self.failed), *(problem.code for problem in self.problems)])

    @property
    def failed(self) -> bool:
        """Whether a gate failed."""
        return bool(self.drifted) or any(not budget.ok for budget in self.budgets)

    @property
    def drifted(self) -> list[Result]:
        """The targets whose cost is not the locked one."""
        return [result for result in self.results if not result.accepted]

    def accepting(self, folder: str = ".") -> str | None:
        """Return the command that accepts what is not as locked, given where the project lies from there.

        None where nothing is to be accepted, or a target has no cost that could be.
        """
        missing = self.drifted or any(problem.code == NOT_LOCKED for problem in self.problems)
        refused = any(problem.name for problem in self.problems)
        where = [] if folder == "." else ["-C", folder]
        return shlex.join(["scalenet", "lock", *where, *self.words]) if missing and not refused else None

    def of(self, status: Status) -> list[Result]:
        """Return the targets with this status."""
        return [result for result in self.results if result.status == status]


@dataclass(frozen=True, slots=True)
class Locked:
    """What became of a lock file: a report of what changed since it was written before, and the targets in it."""

    report: Report
    targets: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The lock file."""
        return self.report.lock

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Why some targets are not locked anew."""
        return self.report.problems

    @property
    def code(self) -> int:
        """0 where all is locked, 2 where something was asked wrongly, 3 where a count is missing."""
        return max((problem.code for problem in self.problems), default=0)

    def __str__(self) -> str:
        """Return what changed, in lines."""
        from scalenet.checks.report import changes  # noqa: PLC0415 - which is about reports

        return "\n".join(changes(self.report))
