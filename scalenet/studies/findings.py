"""What a study found: a row a point, slopes, comparisons, and sentences, from the results as they are recorded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from scalenet.arch.words import number
from scalenet.studies.contrasts import Estimate, Scored, mean_of, minus, slope_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scalenet.search.answer.coefficients import Piloted
    from scalenet.studies.plan import Facts, Placed, Plan

BASE = "baseline"
"""What the baseline stands as among the series."""


@dataclass(frozen=True)
class Training:
    """A training that ended: its accuracy is None where it diverged or failed, and `right` where it is not known."""

    network: str
    seed: int
    accuracy: float | None
    loss: float | None
    seconds: float
    right: Any = None


@dataclass(frozen=True, slots=True)
class Slope:
    """A series' slope: doublings of the error for each doubling of FLOPs, over so many networks."""

    series: str
    points: int
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Comparison:
    """By how much the first series is more accurate than the second one, at a cost or (None) in the mean of all."""

    cost: float | None
    first: str
    second: str
    estimate: Estimate


@dataclass(frozen=True)
class Findings:
    """What is known of a study; `latencies` are seconds by network, `rate` the learning rate of all trainings.

    `models` are the folders of trained networks that were kept, as they are called.
    """

    plan: Plan
    trainings: Sequence[Training]
    latencies: Mapping[str, float]
    rate: float | None = None
    pilot: Piloted | None = None
    models: Sequence[str] = ()

    @cached_property
    def scored(self) -> Scored | None:
        """The accuracies of networks by the seeds that all of them have, without those of which one diverged."""
        by_seed = {(one.network, one.seed): one for one in self.trainings}
        sound = [name for name in self.plan.networks if name not in self.unsound]
        seeds = [seed for seed in self.plan.seeds if all((name, seed) in by_seed for name in sound)]
        if not sound or not seeds:
            return None
        table = [[by_seed[name, seed] for seed in seeds] for name in sound]
        accuracies = np.array([[one.accuracy for one in row] for row in table], dtype=np.float64)
        rights = [[one.right for one in row] for row in table]
        sizes = {None if right is None else len(right) for row in rights for right in row}
        known = len(sizes) == 1 and None not in sizes
        right = np.array([np.mean(row, axis=0) for row in rights]) if known else None
        return Scored(tuple(sound), accuracies, right)

    @cached_property
    def unsound(self) -> dict[str, int]:
        """How many trainings of a network diverged or failed, where any did."""
        found: dict[str, int] = {}
        for one in self.trainings:
            if one.accuracy is None:
                found[one.network] = found.get(one.network, 0) + 1
        return found

    @cached_property
    def series(self) -> dict[str, list[Placed]]:
        """The points of each series that can be compared, by cost: the baseline is the first of those on a ray."""
        known = () if self.scored is None else self.scored.names
        found: dict[str, list[Placed]] = {}
        for name, series in self.plan.study.series.items():
            own = [point for point in self.plan.points if point.series == name]
            if getattr(series, "start", None) is None and series.kind != "networks":
                own = [self.plan.points[0], *own]
            found[name] = sorted((point for point in own if point.network in known), key=self._flops)
        return found

    def _flops(self, point: Placed) -> int:
        return self.facts(point.network).flops

    def facts(self, network: str) -> Facts:
        """Return the costs of a network."""
        return self.plan.networks[network]

    @cached_property
    def slopes(self) -> list[Slope]:
        """The slope of each series of two networks or more; the intervals hold together."""
        many = {name: points for name, points in self.series.items() if len({one.network for one in points}) > 1}
        if self.scored is None:
            return []
        found = []
        for name, points in many.items():
            weights = self._slope_weights(points)
            found.append(Slope(name, len(points), self.scored.log_error(weights, together=len(many))))
        return found

    def _slope_weights(self, points: Sequence[Placed]) -> dict[str, float]:
        names = list(dict.fromkeys(point.network for point in points))
        return slope_weights(names, [self.facts(name).flops for name in names])

    @cached_property
    def slope_differences(self) -> list[tuple[str, str, Estimate]]:
        """How the slopes of two series differ; the intervals hold together."""
        scored = self.scored
        pairs = list(combinations([slope.series for slope in self.slopes], 2))
        if scored is None:
            return []
        weights = {slope.series: self._slope_weights(self.series[slope.series]) for slope in self.slopes}
        return [
            (one, other, scored.log_error(minus(weights[one], weights[other]), together=len(pairs)))
            for one, other in pairs
        ]

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """All pairs of series at each cost that both were brought to, and in the mean of the costs all have.

        The intervals of one cost hold together.
        """
        scored = self.scored
        if scored is None:
            return []
        by_cost = {cost: self.at(cost) for cost in self.plan.study.costs}
        found: list[Comparison] = []
        for cost, networks in by_cost.items():
            found += _pairs(scored, cost, {name: [network] for name, network in networks.items()})
        everywhere = [name for name in self.series if all(name in networks for networks in by_cost.values())]
        if len(by_cost) > 1:
            found += _pairs(scored, None, {name: [own[name] for own in by_cost.values()] for name in everywhere})
        return found

    def at(self, cost: float) -> dict[str, str]:
        """Return the network that each series has at a cost."""
        return {name: point.network for name, points in self.series.items() for point in points if point.asked == cost}

    def best(self, cost: float | None) -> str | None:
        """Return the series that is most accurate at a cost, or in the mean of all; None where none compare."""
        pairs = [one for one in self.comparisons if one.cost == cost]
        names = list(dict.fromkeys(name for one in pairs for name in (one.first, one.second)))
        ahead = {name: sum(_from(one, name) for one in pairs) for name in names}
        return max(ahead, key=lambda name: ahead[name]) if ahead else None

    def against(self, cost: float | None, best: str) -> list[tuple[str, Estimate]]:
        """Return by how much a series is ahead of each other one at a cost."""
        found = []
        for one in self.comparisons:
            if one.cost == cost and best in (one.first, one.second):
                other = one.second if one.first == best else one.first
                sign = 1 if one.first == best else -1
                own = one.estimate
                found.append((other, Estimate(sign * own.value, own.half, own.seeds, own.images)))
        return found

    def rows(self) -> list[dict[str, Any]]:
        """Return a row a point: its costs, and its accuracy over so many seeds as far as it is known."""
        return [self._row(point) for point in self.plan.points]

    def _row(self, point: Placed) -> dict[str, Any]:
        facts, name = self.facts(point.network), point.network
        own = [one for one in self.trainings if one.network == name]
        accuracies = [one.accuracy for one in own if one.accuracy is not None]
        losses = [one.loss for one in own if one.loss is not None]
        interval = self.scored.mean(name).half if self.scored is not None and name in self.scored.names else math.nan
        sizes = dict.fromkeys(("depth", "width", "resolution"))
        if facts.multipliers is not None:
            sizes |= {axis: getattr(facts.multipliers, axis) for axis in sizes}
        latency = self.latencies.get(name)
        return {
            "series": point.series or BASE,
            "network": name,
            "cost": point.asked,
            "met": point.met,
            **sizes,
            "size": facts.resolution,
            "flops_ratio": facts.flops_ratio,
            "flops": facts.flops,
            "params": facts.params,
            "activations": facts.activations,
            "latency": None if latency is None else round(latency, 6),
            "seeds": len(accuracies),
            "accuracy": _tidy(float(np.mean(accuracies))) if accuracies else None,
            "interval": _tidy(interval),
            "loss": _tidy(float(np.mean(losses))) if losses else None,
            "diverged": self.unsound.get(name, 0),
        }

    def slope_rows(self) -> list[dict[str, Any]]:
        """Return a row a series: by how much each doubling of FLOPs changes its error, as a fraction, from and to."""
        return [
            {
                "series": slope.series,
                "networks": slope.points,
                **dict(zip(("change", "low", "high"), map(_tidy, changes(slope.estimate)), strict=True)),
            }
            for slope in self.slopes
        ]

    def comparison_rows(self) -> list[dict[str, Any]]:
        """Return a row a pair of series at a cost; an empty cost is the mean of all."""
        return [
            {
                "cost": one.cost,
                "first": one.first,
                "second": one.second,
                "difference": _tidy(one.estimate.value),
                "interval": _tidy(one.estimate.half),
                "seeds_error": _tidy(one.estimate.seeds),
                "images_error": _tidy(one.estimate.images),
                "told": one.estimate.told,
            }
            for one in self.comparisons
        ]

    @property
    def seeds(self) -> int:
        """How many seeds all networks have."""
        return 0 if self.scored is None else self.scored.accuracies.shape[1]

    def judged_by(self) -> str:
        """Return what the intervals are about, in words."""
        if self.scored is not None and self.scored.right is not None:
            return f"{number(self.seeds, 'seed')} and {self.scored.right.shape[1]} held-out images"
        return f"{number(self.seeds, 'seed')}, on these images alone"


def changes(estimate: Estimate) -> tuple[float, float, float]:
    """Return by which fraction each doubling of cost changes the error: the value, and its interval."""
    low, high = estimate.value - estimate.half, estimate.value + estimate.half
    value, first, last = (2.0**slope - 1 for slope in (estimate.value, low, high))
    return value, first, last


def _pairs(scored: Scored, cost: float | None, networks: Mapping[str, Sequence[str]]) -> list[Comparison]:
    pairs = list(combinations(networks, 2))
    return [
        Comparison(
            cost,
            one,
            other,
            scored.accuracy(minus(mean_of(networks[one]), mean_of(networks[other])), together=len(pairs)),
        )
        for one, other in pairs
    ]


def _from(comparison: Comparison, name: str) -> float:
    """Return by how much a series is ahead in a comparison; 0 where it is not in it."""
    value = comparison.estimate.value
    return value if comparison.first == name else -value if comparison.second == name else 0.0


def _tidy(value: float) -> float | None:
    """Return a figure as files have it, None for what is not known."""
    return round(value, 6) if math.isfinite(value) else None
