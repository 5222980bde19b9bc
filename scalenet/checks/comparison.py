"""What changed between two costs of a target."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from scalenet.arch.comparison import differences
from scalenet.arch.convention import MATRIX_OPERATORS
from scalenet.checks.amounts import METRICS, percent, shown, step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scalenet.checks.amounts import Metric
    from scalenet.checks.lock import TargetCost
    from scalenet.checks.project import Gate

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
        asked = (self.before.input, self.before.accepted) != (self.after.input, self.after.accepted)
        return bool(self.metrics or self.moves or asked)

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
        return self._moves(operators=True) or self._moves(operators=False)

    def _moves(self, *, operators: bool) -> list[Move]:
        old, new = (_figures(cost, operators=operators) for cost in (self.before, self.after))
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
        """Whether it is the same work, counted otherwise: a pooling as a `mean`, a linear layer as a convolution."""
        others = {move.operator for move in self.moves} - {*MATRIX_OPERATORS, "adaptive_avg_pool2d"}
        return not self.metrics and bool(self.moves) and not others

    @property
    def summary(self) -> str:
        """The change in one line: the totals that moved, and the three largest moves."""
        totals = ", ".join(f"{METRICS[metric]} {step(*pair)}" for metric, pair in self.metrics.items())
        if self.only_convention:
            sums = [_counted(cost) for cost in (self.before, self.after)]
            totals = f"a change of convention alone, no less and no more work: fvcore's total {percent(*sums)}"
        moves = ", ".join(map(str, self.moves[:3]))
        return ": ".join(text for text in (totals or "totals as before", moves) if text)


def _figures(cost: TargetCost, *, operators: bool) -> dict[tuple[str, str], int]:
    return {
        (name, what): count
        for name, stage in cost.stages.items()
        for what, count in (
            stage.operators if operators else {"params": stage.params, "activations": stage.activations}
        ).items()
    }


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
    """Return whether a cost is not the locked one: exactly, or where tolerances are set for it, beyond those."""
    tolerances = {gate.metric: gate.tolerance for gate in gates if gate.tolerance and fnmatchcase(name, gate.target)}
    beyond = [
        metric
        for metric, (before, after) in change.metrics.items()
        if metric not in tolerances or abs(after - before) > tolerances[metric].above(before)
    ]
    return bool(beyond) if tolerances else bool(change)
