"""Budgets: the network nearest to a ray among those that cost what is asked (Tan & Le 2019, equation 2).

A scaling rule draws a line, its ray, through the lattice of networks. A network's distance from it is the root of the
squared distance of its means and of its spreads, in doublings (see `lattice`). All networks within a distance that may
cost what is asked are counted, the nearest first; the distance doubles until one does. Costs grow along every axis, so
that the corners of a cell of the lattice bound what it holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from scalenet.arch.config import Factors, Solution, TinyRay
from scalenet.arch.errors import ScalenetError
from scalenet.arch.spec import layer_tree
from scalenet.costs.formula import cost_many, each, total, walk
from scalenet.costs.memory import memory_many
from scalenet.scaling.lattice import Lattice
from scalenet.scaling.multiply import unrounded
from scalenet.scaling.resolutions import total_stride
from scalenet.scaling.rules import Multipliers, path, tidy, tiny_curves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from scalenet.arch.config import BudgetRule, Metric
    from scalenet.arch.layers import Count
    from scalenet.arch.spec import Dimensions, Model
    from scalenet.scaling.lattice import Axes, Index
    from scalenet.scaling.rounding import Rounding

_PHIS = np.linspace(-16, 16, 513)
_RADII = tuple(2.0 ** (power / 2) for power in range(-8, 9))
_WIDER = (0.04, 0.16, 0.64)
"""Tolerances with which the closest network is looked for where none meets the budget."""
_SLACK = 0.5
"""Doublings by which rounding may move a cost along the ray: one pixel too many in every feature map, at most."""
_CELL = 8
_LARGEST = 50_000_000


@dataclass(frozen=True, slots=True)
class Solved:
    """Rounded dimensions, the multipliers of the nearest point of the ray, and how well the budget is met."""

    numbers: Dimensions
    nearest: Multipliers
    solution: Solution


def solve(model: Model, rule: BudgetRule, rounding: Rounding) -> Solved:
    """Return the network nearest to the ray that costs what the rule asks, or else the one that costs most like it.

    Raises ScalenetError where the cost does not change along the ray, or no network keeps the ceilings.
    """
    search = _Search(model, rule, rounding)
    closest, miss = search.closest(search)
    for tolerance in () if miss == 0 or search.is_beneath() else _WIDER:
        wider = _Search(model, rule.model_copy(update={"tolerance": tolerance}), rounding)
        closest, miss = min((closest, miss), search.closest(wider), key=lambda found: found[1])
        if miss <= tolerance:
            break
    if math.isinf(miss):
        raise ScalenetError("no network near the ray keeps the ceilings", hint="raise them, or take another rule")
    return search.solved(closest)


def binding(model: Model, rule: BudgetRule, rounding: Rounding) -> BudgetRule:
    """Return the rule with that of its limits in the first place which the ray meets first, and ceilings of the others.

    That is the paper's equation 2: the largest network of the ray that keeps all limits.
    """
    limits = {rule.metric: rule.value, **rule.ceilings}

    def asking(metric: Metric) -> BudgetRule:
        ceilings = {other: limit for other, limit in limits.items() if other != metric}
        return rule.model_copy(update={"metric": metric, "value": limits[metric], "ceilings": ceilings})

    def meets(rule: BudgetRule) -> float:
        try:
            return _Search(model, rule, rounding).phi
        except ScalenetError:
            return math.inf

    return min(map(asking, limits), key=meets) if rule.ceilings else rule


def shortfalls(model: Model, rule: BudgetRule, rounding: Rounding, numbers: Dimensions) -> list[str]:
    """Return why no network meets a budget: what of the closest one cannot get any smaller."""
    search = _Search(model, rule, rounding)
    least = search.lattice.least()
    reasons = {
        "every stage has one block": numbers.depths == least.depths,
        "every width is at its least": numbers.widths == least.widths,
        f"{numbers.height} px is the smallest size": (numbers.height, numbers.width) == (least.height, least.width),
    }
    step = f"input sizes are multiples of {search.lattice.step} px, widths of {rounding.divisor}"
    return [reason for reason, holds in reasons.items() if holds] or [step]


class _Search:
    """One budget's ray through the lattice: `phi`, `point` and `direction` are where and how it meets the budget."""

    def __init__(self, model: Model, rule: BudgetRule, rounding: Rounding) -> None:
        self.model, self.rule, self.rounding = model, rule, rounding
        step = total_stride(model) if rule.sizes == "tight" else rule.sizes
        self.lattice = Lattice(model, rounding, step, per_stage=rule.per_stage)
        self.ray = self._tiny() if isinstance(rule.ray, TinyRay) else path(rule.ray, _PHIS)
        self.costs_along = self.counts(self._unrounded(*self.ray))[rule.metric]
        self.most = self._most()
        self.phi = self._crossing()
        self.point = self._doublings(self.phi)
        inside = float(np.clip(self.phi, _PHIS[0] + 1e-3, _PHIS[-1] - 1e-3))
        self.direction = (self._doublings(inside + 1e-3) - self._doublings(inside - 1e-3)) / 2e-3

    def closest(self, looked: _Search) -> tuple[Dimensions, float]:
        """Return the network that misses least of those that a search looks at, the nearest of equals, and its miss."""
        closest = self.lattice.least()
        least = float(self.misses(closest)[0])
        for radius in () if self.is_beneath() else _RADII:
            for numbers in looked.tube(radius):
                misses = self.misses(numbers)
                index = int(misses.argmin())
                if misses[index] < least:
                    closest, least = _one(numbers, index), float(misses[index])
                if least == 0:
                    return closest, least
        return closest, least

    def is_beneath(self) -> bool:
        """Return whether even the smallest network costs more than is asked."""
        return bool(self.counts(self.lattice.least())[self.rule.metric][0] > self._range()[1])

    def counts(self, numbers: Dimensions, *, exact: bool = False) -> dict[Metric, NDArray[Any]]:
        """Return what a budget may be about, of many networks; memory, which takes longer, only where it is asked."""
        counts = cost_many(self.model, numbers, exact=exact)
        result: dict[Metric, NDArray[Any]] = {
            "flops": counts.flops,
            "params": counts.params,
            "activations": counts.activations,
        }
        if "memory" in {self.rule.metric, *self.rule.ceilings}:
            result["memory"] = memory_many(
                self.model, numbers, batch=self.rule.batch, training=self.rule.training, exact=exact
            )
        return result

    def misses(self, numbers: Dimensions) -> NDArray[np.float64]:
        """Return how far each network's cost lies outside what is asked, as a logarithm; infinity above a ceiling."""
        counts = self.counts(numbers)
        found = counts[self.rule.metric]
        misses: NDArray[np.float64] = np.abs(np.log(found / np.clip(found, *self._range())))
        for metric, limit in self.rule.ceilings.items():
            misses[counts[metric] > limit] = np.inf
        return misses

    def tube(self, radius: float) -> Iterator[Dimensions]:
        """Yield the networks within `radius` of the ray that may cost what is asked, in blocks, nearest first."""
        axes = self._trimmed(self._around(radius))
        if not 0 < math.prod(map(len, axes)) <= _LARGEST:
            return
        index = self._plausible(axes)
        distances = self._distances(
            np.stack([axis.mean[chosen] for axis, chosen in zip(axes, index, strict=True)]),
            sum(axis.spread[chosen] for axis, chosen in zip(axes, index, strict=True)),
        )
        inside = np.flatnonzero(distances <= radius)
        order = inside[np.argsort(distances[inside], kind="stable")]
        start, length = 0, 512
        while start < len(order):
            block = order[start : start + length]
            yield self.lattice.numbers(axes, tuple(chosen[block] for chosen in index))
            start, length = start + length, min(4 * length, 131_072)

    def solved(self, numbers: Dimensions) -> Solved:
        """Return one network with what there is to say of it."""
        place, spread = self.lattice.place(numbers)
        steps = float((place - self.point) @ self.direction / (self.direction @ self.direction))
        nearest = self.point + steps * self.direction
        off = Multipliers(*map(tidy, 2.0 ** ((place - nearest) / (1, 2, 2))))
        solution = Solution(
            achieved=int(self.counts(numbers, exact=True)[self.rule.metric][0]),
            met=bool(self.misses(numbers)[0] == 0),
            phi=tidy(self.phi + steps),
            distance=tidy(float(self._distances(place[:, None], spread)[0])),
            spread=tidy(math.sqrt(spread)),
            off_ray=Factors(**off._asdict()),
        )
        return Solved(numbers, Multipliers(*map(float, 2.0 ** (nearest / (1, 2, 2)))), solution)

    def _crossing(self) -> float:
        """Return the φ at which the ray costs what is asked."""
        growing = np.maximum.accumulate(self.costs_along)
        if growing[0] == growing[-1]:
            raise ScalenetError(f"{self.rule.metric} do not change along this ray", hint="take another rule")
        if isinstance(self.rule.ray, TinyRay) and self.rule.value > growing[len(_PHIS) // 2]:
            raise ScalenetError("the tiny rule only shrinks", hint="ask for less than the base costs")
        if growing[-1] < self.rule.value:
            raise ScalenetError(
                f"{self.rule.metric}: {self.rule.value:,} are more than φ = 16 of this ray costs",
                hint="ask for less, or scale a larger baseline",
            )
        return float(np.interp(math.log(self.rule.value), np.log(growing), _PHIS))

    def _most(self) -> NDArray[np.float64]:
        """Return how far each axis can grow, in doublings, if nothing else does: half a doubling beyond the limits."""
        most = []
        for grown in range(3):
            logarithms = [np.full_like(_PHIS, -32.0) for _ in range(3)]
            logarithms[grown] = _PHIS / (1, 2, 2)[grown]
            counts = self.counts(self._unrounded(*logarithms))
            kept = [counts[metric] <= limit for metric, limit in self.rule.ceilings.items()]
            affordable = np.logical_and.reduce([counts[self.rule.metric] <= self._range()[1], *kept])
            most.append(_PHIS[affordable].max(initial=_PHIS[0]) + 0.5)
        return np.array(most)

    def _doublings(self, phi: float) -> NDArray[np.float64]:
        depth, width, resolution = (np.interp(phi, _PHIS, np.asarray(along)) for along in self.ray)
        return np.array([depth, 2 * width, 2 * resolution])

    def _tiny(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return depth and resolution as TinyNets have them, and the width with which they cost 2^φ of the base."""
        depth, resolution = tiny_curves(_PHIS)
        low, high = np.full_like(_PHIS, -12), np.full_like(_PHIS, 12)
        none = np.zeros_like(_PHIS)
        wanted = 2**_PHIS * self._smooth(none, none, none)
        for _ in range(24):
            middle = (low + high) / 2
            enough = self._smooth(depth, middle, resolution) >= wanted
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return depth, high, resolution

    def _smooth(self, *logarithms: Count) -> Count:
        """Return the FLOPs of unrounded networks as if feature maps need not be whole either."""
        return total(walk(layer_tree(self.model, self._unrounded(*logarithms)), smooth=True)).flops

    def _unrounded(self, *logarithms: Count) -> Dimensions:
        """Return unrounded networks by log₂ of depth, width and resolution; none is smaller than the smallest."""
        depth, width, resolution = (2.0**logarithm for logarithm in logarithms)
        numbers = unrounded(self.model, self.rounding, depth=depth, width=width, resolution=resolution)
        return self.lattice.at_least(numbers)

    def _range(self) -> tuple[float, float]:
        """Return the least and the most that the network may cost."""
        value, tolerance = self.rule.value, self.rule.tolerance
        return value * (1 - tolerance), value * (1 if self.rule.metric == "memory" else 1 + tolerance)

    def _around(self, radius: float) -> Axes:
        """Return the choices within `radius` of the part of the ray whose cost is at most √3 · radius doublings off."""
        off = np.abs(np.log2(self.costs_along / self.rule.value))
        close = np.flatnonzero(off <= max(math.sqrt(3) * radius + _SLACK, off.min()))
        way = np.stack([self._doublings(phi) for phi in _PHIS[close[0] : close[-1] + 1]])
        low, high = way.min(axis=0) - radius, way.max(axis=0) + radius
        return self.lattice.near(np.minimum(low, self.most), np.minimum(high, self.most))

    def _trimmed(self, axes: Axes) -> Axes:
        """Return the axes without what costs too much with the least of the others, or too little with the most."""
        for number in range(3):
            if not all(map(len, axes)):
                break
            spans = self._spans(self._edge(axes, number, np.min), self._edge(axes, number, np.max))
            axes = cast("Axes", (*axes[:number], axes[number].where(spans), *axes[number + 1 :]))
        return axes

    def _edge(self, axes: Axes, number: int, end: Callable[..., Any]) -> dict[Metric, NDArray[Any]]:
        """Return the costs of every choice of one axis with the least or the most of the others."""
        length = len(axes[number])
        rows = [
            axis.numbers if other == number else np.tile(end(axis.numbers, axis=0), (length, 1))
            for other, axis in enumerate(axes)
        ]
        return self.counts(self.lattice.dimensions(*rows))

    def _plausible(self, axes: Axes) -> Index:
        """Return the combinations in cells whose corners say that they may cost what is asked."""
        cells = (_CELL, 1 if self.rule.per_stage else _CELL, _CELL)
        edges = [
            np.append(np.arange(0, len(axis), cell), len(axis) - 1) for axis, cell in zip(axes, cells, strict=True)
        ]
        grid = np.meshgrid(*edges, indexing="ij")
        counts = self.counts(self.lattice.numbers(axes, tuple(map(np.ravel, grid))))
        corners = {metric: values.reshape(grid[0].shape) for metric, values in counts.items()}
        far = tuple(slice(1, None) if cell > 1 else slice(None, -1) for cell in cells)
        spans = self._spans(
            {metric: values[:-1, :-1, :-1] for metric, values in corners.items()},
            {metric: values[far] for metric, values in corners.items()},
        )
        cell_of = [np.arange(len(axis)) // cell for axis, cell in zip(axes, cells, strict=True)]
        return np.nonzero(spans[np.ix_(*cell_of)])

    def _spans(self, least: dict[Metric, NDArray[Any]], most: dict[Metric, NDArray[Any]]) -> NDArray[np.bool_]:
        """Return where there may be networks that cost what is asked, by the least and the most that is there."""
        low, high = self._range()
        spans: NDArray[np.bool_] = (least[self.rule.metric] <= high) & (most[self.rule.metric] >= low)
        for metric, limit in self.rule.ceilings.items():
            spans &= least[metric] <= limit
        return spans

    def _distances(self, places: NDArray[np.float64], spreads: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return the distances from the ray of places [3, networks]."""
        way = places - self.point[:, None]
        along = (self.direction / np.linalg.norm(self.direction)) @ way
        distances: NDArray[np.float64] = np.sqrt(np.maximum((way**2).sum(axis=0) - along**2 + spreads, 0))
        return distances


def _one(numbers: Dimensions, index: int) -> Dimensions:
    return each(numbers, lambda column: int(np.asarray(column)[index]))
