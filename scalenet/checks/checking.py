"""The check: measure the targets, compare them with the lock file and with the base, hold them to their limits."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from scalenet.arch import registry
from scalenet.arch.errors import ConfigError, ScalenetError
from scalenet.checks.comparison import Change, is_drift
from scalenet.checks.git import file_at, merge_base, moved_file_at, place_in_repository
from scalenet.checks.limits import Budget, Guarded, budgets, stages, timed
from scalenet.checks.lock import Lock, NewerLockError, TargetCost, parse_lock, read_lock
from scalenet.checks.measuring import measure_targets
from scalenet.checks.project import Gate, ModuleTarget, Project, find_projects
from scalenet.checks.renames import Renames, Sources, find_renames
from scalenet.checks.targets import ASKED_WRONGLY, NOT_LOCKED, Problem, Target, find_targets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from scalenet.checks.amounts import Metric


Status: TypeAlias = Literal["unchanged", "changed", "renamed", "new", "gone"]
Costs: TypeAlias = list[tuple[Target, TargetCost]]


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
    ones. `bare` is whether the base has no lock file at all. `place` is the project's folder from the repository's top;
    `untimed` are targets whose latency is limited and was not measured.
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


def select(project: Project, names: Sequence[str], inputs: Sequence[str], *, start: Path | None = None) -> Selection:
    """Return the listed targets, or of them those that match a name; what matches none is a target by itself.

    `inputs` belong to a module that is named: `package.module:name`. Paths start from `start`, or from where we are.
    """
    listed, problems = find_targets(project.settings.targets, project.folder)
    if not names:
        if not (listed or problems):
            raise ScalenetError("no targets", hint=_where_targets_are(project))
        return Selection(listed, problems)
    all_names = *(target.name for target in listed), *(problem.name for problem in problems)
    names = [_from_folder(name, start or Path.cwd(), project.folder) for name in names]
    chosen: dict[str, Target] = {}
    wrong: list[Problem] = []
    for name in names:
        matches = [] if inputs else [target for target in listed if fnmatchcase(target.name, name)]
        if not matches:
            entry = ModuleTarget(module=name, input=tuple(inputs)) if inputs else name
            matches, more = find_targets([entry], project.folder)
            wrong += more
        chosen.update({target.name: target for target in matches})
    words = (*names, *(f"--input={one}" for one in inputs))
    return Selection(list(chosen.values()), wrong, words, all_names)


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


def check(
    project: Project,
    selection: Selection,
    *,
    base: str | None = None,
    fast: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Report:
    """Measure, compare and judge; `base` is a branch or commit whose merge-base with HEAD has the earlier lock file."""
    problems = list(selection.problems)
    lock = _lock(project, problems)
    earlier = _earlier(project, base, problems) if base else None
    reference = lock if earlier is None or earlier.lock is None else earlier.lock
    costs = _measured(project, selection, problems, fast=fast, progress=progress)
    renames = _renames(project, selection, costs, reference, earlier.commit if earlier else "HEAD")
    gates = project.settings.gates
    if selection.whole:
        problems += _idle_gates(gates, _names(selection, problems), costs)
    results = _results(costs, lock, reference, renames, gates) if lock else []
    if selection.whole and lock:
        results += _gone(selection, problems, lock, reference, renames)
    guarded = _guarded(project, costs, earlier.lock if earlier else lock, renames)
    problems += _lost_stages(guarded, gates)
    limits = [budget for target in guarded for budget in budgets(target, gates)]
    for target, (measured, _) in zip(guarded, costs, strict=True):
        for one in timed(target, measured.latency, gates) if measured.latency else ():
            problems.append(one) if isinstance(one, Problem) else limits.append(one)
    if earlier is None or earlier.broken:  # the lock file itself is what is held to, or what it would be is not known
        limits = [budget for budget in limits if budget.limit is not None]
    return Report(
        selection.words,
        project.lock,
        earlier.name if earlier else None,
        tuple(results),
        tuple(limits),
        tuple(problems),
        skipped=tuple(target.name for target in selection.targets if fast and target.module),
        unclear=renames.unclear,
        bare=bool(earlier and earlier.bare),
        place=place_in_repository(project.folder),
        untimed=tuple(target.name for target, _ in costs if "latency" in target.limited and not target.latency),
    )


def relock(
    project: Project, selection: Selection, *, progress: Callable[[str], None] = lambda _: None
) -> tuple[Report, Lock]:
    """Measure, and return what changed since the lock file was written, and the lock file that accepts it.

    Where only some targets are measured, the others stay as they are locked, and so do those that cannot be measured.
    """
    problems = list(selection.problems)
    old = _replaceable(project.lock, whole=selection.whole)
    costs = _measured(project, selection, problems, progress=progress)
    renames = _renames(project, selection, costs, old, "HEAD")
    results = _results(costs, old, old, renames, gates=())
    if selection.whole:
        results += _gone(selection, problems, old, old, renames)
    wrong = {problem.name for problem in problems}
    kept = {name: cost for name, cost in old.targets.items() if name in wrong or not selection.whole}
    lock = Lock(targets={**kept, **{target.name: cost for target, cost in costs}})
    return Report(selection.words, project.lock, None, tuple(results), (), tuple(problems), ()), lock


def _replaceable(path: Path, *, whole: bool) -> Lock:
    """Return the lock file that is to be replaced; one that cannot be read is empty, unless others' lines were lost."""
    try:
        return read_lock(path) or Lock(targets={})
    except NewerLockError:
        raise
    except ConfigError:
        if not whole:
            raise
        return Lock(targets={})


def _lock(project: Project, problems: list[Problem]) -> Lock | None:
    try:
        lock = read_lock(project.lock)
    except ConfigError as error:
        problems.append(Problem("", str(error), ASKED_WRONGLY))
        return None
    if lock is None:
        problems.append(Problem("", f"{project.lock.name}: missing (`scalenet lock` makes it)", NOT_LOCKED))
    return lock


@dataclass(frozen=True, slots=True)
class _Base:
    """The commit that is compared with, its `name` for people, and its lock file, if there is one that can be read."""

    name: str
    commit: str
    lock: Lock | None
    bare: bool = False

    @property
    def broken(self) -> bool:
        """Whether there is a lock file that cannot be read."""
        return self.lock is None and not self.bare


def _earlier(project: Project, base: str, problems: list[Problem]) -> _Base:
    commit = merge_base(base, project.folder)
    where, file = f"{base} ({commit[:7]})", Path(project.settings.lock).as_posix()
    text = file_at(commit, project.folder, file) or moved_file_at(commit, project.folder, file)
    try:
        lock = parse_lock(text, f"{project.lock.name} at {where}") if text else None
    except ConfigError as error:
        problems.append(Problem("", error.message, ASKED_WRONGLY))
        lock = None
    return _Base(where, commit, lock, bare=text is None)


def _limited(name: str, project: Project) -> tuple[Metric, ...]:
    """Return what is measured only where a limit asks for it, and does of this target, by any name that it had."""
    names = (name, project.settings.was.get(name, name))
    gates = [gate for gate in project.settings.gates if any(fnmatchcase(one, gate.target) for one in names)]
    return tuple({gate.metric for gate in gates} & {"memory", "latency"})


def _renames(project: Project, selection: Selection, costs: Costs, reference: Lock | None, commit: str) -> Renames:
    """Return what the new ones of these targets were of those that the project has no more."""
    known = reference.targets if reference else {}
    named = {*selection.listed, *_names(selection, selection.problems)}
    gone = {name: cost for name, cost in known.items() if name not in named}
    new = {target.name: cost for target, cost in costs if target.name not in known}
    modules = {target.name: target.module for target, _ in costs if target.module}
    return find_renames(gone, new, Sources(project.folder, commit, modules), said=project.settings.was)


def _guarded(project: Project, costs: Costs, base: Lock | None, renames: Renames) -> list[Guarded]:
    known, new = (base.targets if base else {}), project.settings.new
    was = renames.was
    return [
        Guarded(target.name, cost, known.get(was.get(target.name, target.name)), was.get(target.name), new)
        for target, cost in costs
    ]


def _measured(
    project: Project,
    selection: Selection,
    problems: list[Problem],
    *,
    progress: Callable[[str], None],
    fast: bool = False,
) -> Costs:
    costs: Costs = []
    limit = project.settings.time_limit
    targets = [replace(target, limited=_limited(target.name, project)) for target in selection.targets]
    for target, cost in measure_targets(targets, folder=project.folder, time_limit=limit, fast=fast):
        progress(target.name)
        if isinstance(cost, Problem):
            problems.append(cost)
        else:
            costs.append((target, cost))
    return costs


def _results(costs: Costs, lock: Lock, reference: Lock | None, renames: Renames, gates: Sequence[Gate]) -> list[Result]:
    return [
        _result(target, cost, lock, reference or lock, renames.was.get(target.name), gates) for target, cost in costs
    ]


def _result(
    target: Target, cost: TargetCost, lock: Lock, reference: Lock, was: str | None, gates: Sequence[Gate]
) -> Result:
    locked, before = lock.targets.get(target.name), reference.targets.get(was or target.name)
    drift = locked is None or is_drift(target.name, Change(locked, cost), gates)
    change = (before and Change(before, cost)) or (locked and Change(locked, cost)) or None
    status: Status = "unchanged"
    if was is not None:
        status = "renamed"
    elif before is None:
        status = "new"
    elif change and (drift or reference is not lock):
        status = "changed"
    accepted = not drift
    return Result(target.name, status, accepted, cost, change, file=target.file, line=target.line, was=was)


def _names(selection: Selection, problems: list[Problem]) -> set[str]:
    return {target.name for target in selection.targets} | {problem.name for problem in problems}


def _gone(
    selection: Selection, problems: list[Problem], lock: Lock, reference: Lock | None, renames: Renames
) -> list[Result]:
    """Return what the lock file or the base has, and the project lists no more, under any name."""
    locked = {*lock.targets, *(reference.targets if reference else ())}
    names = sorted(locked - _names(selection, problems) - set(renames.was.values()))
    return [Result(name, "gone", accepted=name not in lock.targets) for name in names]


def _lost_stages(targets: Iterable[Guarded], gates: Sequence[Gate]) -> Iterator[Problem]:
    """Yield a problem for each limit on stages of which a target had some in the base, and has none any more."""
    for target in targets:
        for number, gate in enumerate(gates):
            had = target.base is not None and gate.stage is not None and target.matches(gate)
            if had and target.base and stages(target.base, gate) and not stages(target.cost, gate):
                message = f"no stage is called {gate.stage!r} any more ([tool.scalenet]: gates[{number}])"
                yield Problem(target.name, message, ASKED_WRONGLY)


def _idle_gates(gates: Iterable[Gate], names: Iterable[str], costs: Costs) -> Iterator[Problem]:
    """Yield a problem for each gate that no target or no stage matches: it guards nothing."""
    for number, gate in enumerate(gates):
        place = f"[tool.scalenet]: gates[{number}]"
        matches = [cost for target, cost in costs if fnmatchcase(target.name, gate.target)]
        if not any(fnmatchcase(name, gate.target) for name in names):
            yield Problem("", f"{place}: no target is called {gate.target!r}", ASKED_WRONGLY)
        elif matches and not any(fnmatchcase(stage, gate.stage or "*") for cost in matches for stage in cost.stages):
            yield Problem("", f"{place}: no stage is called {gate.stage!r}", ASKED_WRONGLY)
