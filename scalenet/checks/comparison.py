"""What changed between two costs of a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scalenet.arch.comparison import differences
from scalenet.arch.convention import MATRIX_OPERATORS
from scalenet.checks.amounts import METRICS, percent, shown, step
from scalenet.checks.patterns import matches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from scalenet.checks.amounts import Metric
    from scalenet.checks.lock import StageCost, TargetCost
    from scalenet.checks.project import Gate, Increase

    Figures: TypeAlias = Callable[[StageCost], dict[str, int]]

COUNTS: tuple[Metric, ...] = ("flops", "params", "activations")


@dataclass(frozen=True, slots=True)
class Move:
    """How far the count of one operator, or of `params` or `activations`, moved in one stage."""

    stage: str
    operator: str
    before: int
    after: int

    @property
    def delta(self) -> int:
        """The difference, negative where the count fell."""
        return self.after - self.before

    def __str__(self) -> str:
        return f"{self.stage} {self.operator} {shown(self.delta, sign=True).replace('-', '−')}"


@dataclass(frozen=True, slots=True)
class Change:
    """Two costs of one target."""

    before: TargetCost
    after: TargetCost

    def __bool__(self) -> bool:
        return bool(self.metrics or self.moves or self.is_asked_otherwise)

    @property
    def is_asked_otherwise(self) -> bool:
        """Whether another input is measured, or another list of operators accepted."""
        return (self.before.input, self.before.accepted) != (self.after.input, self.after.accepted)

    @property
    def metrics(self) -> dict[Metric, tuple[int, int]]:
        """The totals that moved: before and after."""
        pairs: dict[Metric, tuple[int, int]] = {
            metric: (getattr(self.before, metric), getattr(self.after, metric)) for metric in (*COUNTS, "memory")
        }
        return {metric: pair for metric, pair in pairs.items() if None not in pair and pair[0] != pair[1]}

    @property
    def moves(self) -> list[Move]:
        """The operators that moved by stage, the largest move first; where none did, parameters and activations."""
        return self._moves(_operators) or self._moves(_counts)

    @property
    def moved_in_stages(self) -> set[str]:
        """The counts that moved in any stage; FLOPs do where any of fvcore's operators does."""
        moved = {move.operator for move in self._moves(_counts)}
        return moved | {"flops"} if self._moves(_operators) else moved

    def _moves(self, figures: Figures) -> list[Move]:
        old, new = (_by_stage(cost, figures) for cost in (self.before, self.after))
        moves = [Move(*key, old.get(key, 0), new.get(key, 0)) for key in {**old, **new}]
        return sorted((move for move in moves if move.delta), key=lambda move: (-abs(move.delta), move.stage))

    @property
    def fields(self) -> list[tuple[str, Any, Any]]:
        """The fields of the description that moved: place, before and after; of a module what was asked for."""
        if self.before.model is None or self.after.model is None:
            asked = {
                "input": (" and ".join(self.before.input), " and ".join(self.after.input)),
                "accept": (list(self.before.accepted or ()), list(self.after.accepted or ())),
            }
            return [(key, *pair) for key, pair in asked.items() if pair[0] != pair[1]]
        return list(differences(self.before.model, self.after.model))

    @property
    def only_convention(self) -> bool:
        """Whether each stage does the same work, counted otherwise: a pooling as a `mean`, a linear layer as a conv."""
        others = {move.operator for move in self.moves} - {*MATRIX_OPERATORS, "adaptive_avg_pool2d"}
        same_work = not (self.metrics or self._moves(_counts) or self.is_asked_otherwise)
        return same_work and bool(self.moves) and not others

    @property
    def summary(self) -> str:
        """The change in one line: the totals that moved, and the three largest moves."""
        totals = ", ".join(f"{METRICS[metric]} {step(*pair)}" for metric, pair in self.metrics.items())
        if self.only_convention:
            sums = [_counted(cost) for cost in (self.before, self.after)]
            totals = f"a change of convention alone, no less and no more work: fvcore's total {percent(*sums)}"
        moves = ", ".join(map(str, self.moves[:3]))
        return ": ".join(text for text in (totals or "totals as before", moves) if text)


def _operators(stage: StageCost) -> dict[str, int]:
    return stage.operators


def _counts(stage: StageCost) -> dict[str, int]:
    return {metric: getattr(stage, metric) for metric in COUNTS}


def _by_stage(cost: TargetCost, figures: Figures) -> dict[tuple[str, str], int]:
    return {(name, what): count for name, stage in cost.stages.items() for what, count in figures(stage).items()}


def _counted(cost: TargetCost) -> int:
    return sum(count for stage in cost.stages.values() for count in stage.operators.values())


def field_text(place: str, before: Any, after: Any) -> str:
    """Return a field that moved for reading: stages[4].kernel 5 → 3."""
    if isinstance(before, list) and isinstance(after, list):
        return f"{place} {len(before)} → {len(after)} entries"
    return f"{place} {_value(before)} → {_value(after)}"


def _value(value: Any) -> str:
    return "none" if value is None else str(value)


def is_drift(name: str, change: Change, gates: Iterable[Gate]) -> bool:
    """Return whether a cost is not the locked one.

    A count with tolerances is where its total is beyond the strictest of them; its stages are not compared then. All
    else is exact.
    """
    tolerances: dict[Metric, list[Increase]] = {}
    for gate in gates:
        if gate.tolerance and matches(name, gate.target):
            tolerances.setdefault(gate.metric, []).append(gate.tolerance)
    beyond = any(
        abs(after - before) > min((one.above(before) for one in tolerances.get(metric, ())), default=0)
        for metric, (before, after) in change.metrics.items()
    )
    return beyond or change.is_asked_otherwise or bool(change.moved_in_stages - tolerances.keys())
