"""The limits of targets and stages: values, limits, headroom, and limits that have nothing to be held to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scalenet.arch.config import as_record
from scalenet.arch.spec import Model
from scalenet.checks.amounts import METRICS, shown_as
from scalenet.checks.patterns import matches
from scalenet.checks.targets import NOT_MEASURED, Problem
from scalenet.costs.memory import memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scalenet.checks.amounts import Metric
    from scalenet.checks.lock import StageCost, TargetCost
    from scalenet.checks.project import Gate

RUNS = 20
_RULES = {"max": "max", "max_increase": "max_increase to"}


@dataclass(frozen=True, slots=True)
class Guarded:
    """A target under limits, and what it was: `base` has what increases are counted from, `was` another name.

    `new` are patterns of the targets, and of `target stage`, that need no base.
    """

    name: str
    cost: TargetCost
    base: TargetCost | None = None
    was: str | None = None
    new: tuple[str, ...] = ()

    def matches(self, gate: Gate) -> bool:
        """Return whether a limit is one of this target, by its name or by what that was."""
        return any(matches(name, gate.target) for name in (self.name, self.was) if name)

    def may_be_new(self, stage: str) -> bool:
        """Return whether the project file accepts that the target, or its stage, has no base."""
        return any(exempts(pattern, self.name, stage) for pattern in self.new)


@dataclass(frozen=True, slots=True)
class Budget:
    """A count and its limit; `stage` is empty for a whole target, `rule` says which limit it is.

    `limit` is None where there is no base to count an increase from; `accepted` is whether that may be so.
    """

    target: str
    stage: str
    metric: Metric
    rule: str
    value: int
    limit: int | None
    was: str | None = None
    accepted: bool = False

    @property
    def ok(self) -> bool:
        """Whether the limit holds."""
        return self.accepted if self.limit is None else self.value <= self.limit

    @property
    def headroom(self) -> int | None:
        """What is left up to the limit; negative where it does not hold."""
        return None if self.limit is None else self.limit - self.value

    @property
    def place(self) -> str:
        """The target, and the stage where there is one."""
        return f"{self.target} {self.stage}".strip()

    @property
    def state(self) -> str:
        """The outcome in a word: ok, OVER or NO BASE."""
        return "ok" if self.ok else "NO BASE" if self.limit is None else "OVER"

    @property
    def summary(self) -> str:
        """Value, limit and headroom in one line."""
        what = f"{self.place}: {METRICS[self.metric]}"
        if self.limit is None:
            accepted = ", accepted as new" if self.accepted else ""
            return f"{what} {shown_as(self.metric, self.value)}, {self.rule} without a base{accepted}"
        counts = self.value, self.limit, abs(self.limit - self.value)
        value, limit, room = (shown_as(self.metric, count) for count in counts)
        if value == limit and self.limit:
            value, limit, room = (shown_as(self.metric, count, exact=True) for count in counts)
        rest = f"headroom {room}" if self.ok else f"{room} too many"
        was = f" (was {self.was})" if self.was else ""
        noise = f" (median of {RUNS} runs, limit with its tolerance)" if self.metric == "latency" else ""
        return f"{what} {value}, {_RULES[self.rule]} {limit}, {rest}{was}{noise}"


def budgets(target: Guarded, gates: Iterable[Gate], *, has_base: bool = True) -> Iterator[Budget]:
    """Yield every limit on a target; increases only where there `has_base` to compare with."""
    for gate in filter(target.matches, gates):
        if gate.metric == "latency":
            continue
        for stage in [""] if gate.stage is None else stages(target.cost, gate):
            value = _metric(target.cost, stage, gate.metric)
            if value is None:  # limited by a former name: the gate itself is told
                continue
            if gate.max is not None:
                yield Budget(target.name, stage, gate.metric, "max", value, gate.max)
            if gate.max_increase and has_base:
                before = _before(target, stage, gate.metric)
                limit = None if before is None else before + gate.max_increase.above(before)
                yield Budget(
                    target.name, stage, gate.metric, "max_increase", value, limit, target.was, target.may_be_new(stage)
                )


def timed(target: Guarded, latency: tuple[int, int], gates: Iterable[Gate]) -> Iterator[Budget | Problem]:
    """Yield every limit on latency: over where even the fastest run is, and a problem where runs differ too much."""
    median, fastest = latency
    for gate in filter(target.matches, gates):
        if gate.metric == "latency" and gate.max is not None and gate.tolerance is not None:
            limit = gate.max + gate.tolerance.above(gate.max)
            if fastest <= limit < median:
                runs = f"{shown_as('latency', fastest)}, half of them {shown_as('latency', median)} or more"
                message = (
                    f"latency cannot be told from its limit {shown_as('latency', limit)}: the fastest run took {runs}"
                )
                yield Problem(target.name, message, NOT_MEASURED)
            else:
                yield Budget(target.name, "", "latency", "max", median, limit)


def exempts(pattern: str, target: str, stage: str) -> bool:
    """Return whether an entry of `new` lets a target, or its stage, be without a base."""
    return any(matches(place, pattern) for place in (target, f"{target} {stage}"))


def stages(cost: TargetCost, gate: Gate) -> list[str]:
    """Return the stages that a gate names."""
    return [stage for stage in cost.stages if matches(stage, gate.stage or "*")]


def _before(target: Guarded, stage: str, metric: Metric) -> int | None:
    if target.base is None:
        return None
    if metric == "memory" and target.base.memory is None and target.base.model is not None:
        return memory(as_record(Model, target.base.model, target.name)).peak  # the limit is new, its base is described
    old = stage_before(target.base, target.cost, stage) if stage else ""
    return None if old is None else _metric(target.base, old, metric)


def stage_before(base: TargetCost, cost: TargetCost, stage: str) -> str | None:
    """Return what a stage was called in the base: of stages that are new and gone there are as many, in order."""
    if stage in base.stages:
        return stage
    gone = [name for name in base.stages if name not in cost.stages]
    new = [name for name in cost.stages if name not in base.stages]
    same: list[StageCost] = [base.stages[name] for name in gone]
    if cost.stages[stage] in same:
        return gone[same.index(cost.stages[stage])]
    return gone[new.index(stage)] if len(gone) == len(new) else None


def _metric(cost: TargetCost, stage: str, metric: Metric) -> int | None:
    value: int | None = getattr(cost.stages[stage] if stage else cost, metric)
    return value
