"""Budgets: the network nearest to a ray among those that cost what is asked (Tan & Le 2019, equation 2).

A scaling rule draws a line, its ray, through the lattice of networks. A network's distance from it is the root of the
squared distance of its means and of its spreads, in doublings (see `lattice`). It is found by branch and bound within a
distance that doubles until there is one: costs grow along every axis, so that the corners of a cell of the lattice
bound what it holds, and cells are halved where they may hold something better than the best corner so far.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from scalenet.arch.config import Factors, Solution, TinyRay
from scalenet.arch.errors import ScalenetError
from scalenet.arch.spec import layer_tree
from scalenet.costs.formula import cost_many, total, walk
from scalenet.costs.memory import memory_many
from scalenet.scaling.lattice import Lattice
from scalenet.scaling.multiply import unrounded
from scalenet.scaling.resolutions import total_stride
from scalenet.scaling.rules import Multipliers, path, tidy, tiny_curves

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from scalenet.arch.config import BudgetRule, Metric
    from scalenet.arch.layers import Count
    from scalenet.arch.spec import Dimensions, Model
    from scalenet.scaling.lattice import Axes, Cells
    from scalenet.scaling.rounding import Rounding

    Counts: TypeAlias = dict[Metric, NDArray[Any]]

_PHIS = np.linspace(-16, 16, 513)
_RADII = tuple(2.0**power for power in range(-3, 5))
_SLACK = 2.0
"""Doublings by which rounding may move a cost along the ray: at most, feature maps of one pixel become 2 × 2."""
_ANY = 1e3
"""A miss, as a logarithm, that no network has."""
_LARGEST = 300_000
"""Cells that are counted at once; more of them may hold the network only where next to nothing is met."""

_DEEPEST_GROWING = 128
"""Blocks of the deepest stage where blocks grow with their place: there each costs another look."""


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
    found = search.lattice.least() if search.is_beneath() else search.nearest()
    miss = search.miss(found)
    if math.isinf(miss):
        raise ScalenetError("no network near the ray keeps the ceilings", hint="raise them, or take another rule")
    return search.solved(found, met=miss == 0)


def binding(model: Model, rule: BudgetRule, rounding: Rounding) -> BudgetRule:
    """Return the rule with that of its limits in the first place which the ray meets first, and ceilings of the others.

    That is the paper's equation 2: the largest network of the ray that keeps all limits.
    """

    def meets(rule: BudgetRule) -> float:
        try:
            return _Search(model, rule, rounding).phi
        except ScalenetError:
            return math.inf

    return first_met(rule, meets)


def first_met(rule: BudgetRule, meets: Callable[[BudgetRule], float]) -> BudgetRule:
    """Return the rule with that limit in the first place which is met at the least φ, as `meets` tells."""
    limits = {rule.metric: rule.value, **rule.ceilings}

    def asking(metric: Metric) -> BudgetRule:
        ceilings = {other: limit for other, limit in limits.items() if other != metric}
        return rule.changed(metric=metric, value=limits[metric], ceilings=ceilings)

    return min(map(asking, limits), key=meets) if rule.ceilings else rule


def shortfalls(model: Model, rule: BudgetRule, rounding: Rounding, numbers: Dimensions) -> list[str]:
    """Return why no network meets a budget: what of the closest one cannot get any smaller."""
    search = _Search(model, rule, rounding)
    least = search.lattice.least()
    reasons = {
        "every stage has one block": numbers.depths == least.depths,
        "every width is at its least": numbers.widths == least.widths,
        f"{numbers.size[0]} px is the smallest size": numbers.size == least.size,
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

    def nearest(self) -> Dimensions:
        """Return the nearest network that costs what is asked, or else the one that misses least."""
        looked = _RADII[0]
        for radius in _RADII:
            found, whole = self.within(radius, 0.0)
            if found or not whole:
                break
            looked = radius
        return found or self.within(looked, _ANY)[0] or self.lattice.least()

    def is_beneath(self) -> bool:
        """Return whether even the smallest network costs more than is asked."""
        return bool(self.counts(self.lattice.least())[self.rule.metric][0] > self._range()[1])

    def counts(self, numbers: Dimensions, *, exact: bool = False) -> Counts:
        """Return what a budget may be about, of one network or many; memory, which takes longer, only where asked."""
        counts = cost_many(self.model, numbers, exact=exact)
        figures: dict[Metric, Any] = {
            "flops": counts.flops,
            "params": counts.params,
            "activations": counts.activations,
        }
        result: Counts = {metric: np.atleast_1d(figure) for metric, figure in figures.items()}
        if "memory" in {self.rule.metric, *self.rule.ceilings}:
            result["memory"] = memory_many(
                self.model, numbers, batch=self.rule.batch, training=self.rule.training, exact=exact
            )
        return result

    def miss(self, numbers: Dimensions) -> float:
        """Return how far a network's cost lies outside what is asked, as a logarithm; infinity above a ceiling."""
        counts = self.counts(numbers)
        return float(self._least_misses(counts, counts)[0])

    def within(self, radius: float, miss: float) -> tuple[Dimensions | None, bool]:
        """Return the network within `radius` that misses least, by `miss` at most, the nearest of equals.

        It comes with whether the search was whole: it ends before that where too many cells may hold the network.
        """
        cells = self.lattice.cells(self._around(radius))
        best, found = (miss, radius), None
        while True:
            cells = cells.where(self._least_distances(cells) <= radius)
            if not 0 < len(cells) <= _LARGEST:
                break
            least, most = self._corners(cells)
            own, index = self._nearest_corner(cells, least)
            if own <= best:
                best, found = own, _one(self.lattice.numbers(cells.axes, cells.least), index)
            if not cells.shift.any():
                break
            misses, distances = self._least_misses(least, most), self._least_distances(cells)
            cells = cells.where((misses < best[0]) | ((misses == best[0]) & (distances <= best[1]))).halved()
        return found, len(cells) <= _LARGEST

    def solved(self, numbers: Dimensions, *, met: bool) -> Solved:
        """Return one network with what there is to say of it."""
        place, spread = self.lattice.place(numbers)
        steps = float((place - self.point) @ self.direction / (self.direction @ self.direction))
        nearest = self.point + steps * self.direction
        off = Multipliers(*map(tidy, 2.0 ** ((place - nearest) / (1, 2, 2))))
        solution = Solution(
            achieved=int(self.counts(numbers, exact=True)[self.rule.metric][0]),
            met=met,
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
            numbers = self._unrounded(*logarithms)
            counts = self.counts(numbers)
            kept = [counts[metric] <= limit for metric, limit in self.rule.ceilings.items()]
            affordable = np.logical_and.reduce([counts[self.rule.metric] <= self._range()[1], *kept])
            affordable[0] = True  # the smallest network, whatever it costs
            most.append(self.lattice.means(numbers)[grown, affordable].max() + 0.5)
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
        if any(self.model.growing):
            depth = np.minimum(depth, _DEEPEST_GROWING / max(stage.depth for stage in self.model.stages))
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

    def _corners(self, cells: Cells) -> list[Counts]:
        """Return the costs of the least and of the most network of each cell."""
        both = self.counts(self.lattice.numbers(cells.axes, np.concatenate([cells.least, cells.most], axis=1)))
        halves = {metric: np.split(values, 2) for metric, values in both.items()}
        return [{metric: half[end] for metric, half in halves.items()} for end in (0, 1)]

    def _nearest_corner(self, cells: Cells, least: Counts) -> tuple[tuple[float, float], int]:
        """Return miss and distance of the cells' least network that misses least, nearest of equals, and its index."""
        misses, distances = self._least_misses(least, least), self._distances(*cells.places(cells.least))
        index = int(np.lexsort((distances, misses))[0])
        return (float(misses[index]), float(distances[index])), index

    def _least_misses(self, least: Counts, most: Counts) -> NDArray[np.float64]:
        """Return how little a network may miss, as a logarithm, whose costs lie between the least and the most."""
        low, high = self._range()
        over, under = least[self.rule.metric] / high, low / most[self.rule.metric]
        misses: NDArray[np.float64] = np.log(np.maximum(1, np.maximum(over, under)))
        for metric, limit in self.rule.ceilings.items():
            misses[least[metric] > limit] = np.inf
        return misses

    def _least_distances(self, cells: Cells) -> NDArray[np.float64]:
        """Return how near the ray a network of each cell may lie: a plane across the way to the ray holds it off."""
        (low, _), (high, _) = cells.places(cells.least), cells.places(cells.most)
        off = self._off((low + high) / 2)
        distances = np.linalg.norm(off, axis=0)
        reach = (np.abs(off) * (high - low) / 2).sum(axis=0) / np.maximum(distances, 1e-12)
        least: NDArray[np.float64] = np.hypot(np.maximum(distances - reach, 0), np.sqrt(cells.spread))
        return least

    def _off(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the ways to places [3, networks] from the nearest points of the ray."""
        way, along = places - self.point[:, None], self.direction / np.linalg.norm(self.direction)
        return way - np.outer(along, along @ way)

    def _distances(self, places: NDArray[np.float64], spreads: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return the distances from the ray of places [3, networks]."""
        distances: NDArray[np.float64] = np.sqrt((self._off(places) ** 2).sum(axis=0) + spreads)
        return distances


def _one(numbers: Dimensions, index: int) -> Dimensions:
    return numbers.each(lambda column: int(np.asarray(column)[index]))
