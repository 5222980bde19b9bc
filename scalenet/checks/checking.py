"""The check: measure the targets, compare them with the lock file and with the base, hold them to their limits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from scalenet.arch.errors import ConfigError
from scalenet.arch.words import hush
from scalenet.checks.comparison import Change, is_drift
from scalenet.checks.git import file_at, merge_base, moved_file_at, place_in_repository
from scalenet.checks.limits import Budget, Guarded, budgets, stages, timed
from scalenet.checks.lock import Lock, NewerLockError, TargetCost, parse_lock, read_lock
from scalenet.checks.measuring import measure_targets
from scalenet.checks.outcome import Report, Result, Status
from scalenet.checks.patterns import matches
from scalenet.checks.renames import Renames, Sources, find_renames
from scalenet.checks.targets import ASKED_WRONGLY, NOT_LOCKED, Problem, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from scalenet.checks.amounts import Metric
    from scalenet.checks.project import Gate, Project
    from scalenet.checks.selection import Selection


Costs: TypeAlias = list[tuple[Target, TargetCost]]


def check(
    project: Project,
    selection: Selection,
    *,
    base: str | None = None,
    fast: bool = False,
    progress: Callable[[str], None] = hush,
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
    for told in _told_of_latency(guarded, costs, gates):
        problems.append(told) if isinstance(told, Problem) else limits.append(told)
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
        folder=project.folder,
        new=project.settings.new,
    )


def relock(project: Project, selection: Selection, *, progress: Callable[[str], None] = hush) -> tuple[Report, Lock]:
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
    report = Report(selection.words, project.lock, None, tuple(results), (), tuple(problems), (), folder=project.folder)
    return report, lock


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
    gates = [gate for gate in project.settings.gates if any(matches(one, gate.target) for one in names)]
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


def _told_of_latency(guarded: Iterable[Guarded], costs: Costs, gates: Sequence[Gate]) -> Iterator[Budget | Problem]:
    for target, (measured, _) in zip(guarded, costs, strict=True):
        if measured.latency is not None:
            yield from timed(target, measured.latency, gates)


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
        guarded = [cost for target, cost in costs if matches(target.name, gate.target)]
        if not any(matches(name, gate.target) for name in names):
            yield Problem("", f"{place}: no target is called {gate.target!r}", ASKED_WRONGLY)
        elif guarded and not any(matches(stage, gate.stage or "*") for cost in guarded for stage in cost.stages):
            yield Problem("", f"{place}: no stage is called {gate.stage!r}", ASKED_WRONGLY)
