"""Scaling of factories: width and depth are arguments, and what the factory makes of them is found by counting.

A factory rounds by itself, so its costs go up in steps that nobody has written down. A budget is met by closing in on
it along the ray; where a step leaps over it, width and size are moved off the ray, from both sides of the step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from scalenet.arch.config import BudgetRule, Factors, Solution, TinyRay
from scalenet.arch.errors import ScalenetError
from scalenet.arch.factory import DEPTH, WIDTH
from scalenet.arch.words import count
from scalenet.costs.network import figures
from scalenet.scaling.rules import Multipliers, path, tidy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scalenet.arch.config import Metric
    from scalenet.arch.factory import Factory
    from scalenet.scaling.rounding import Rounding

_GUESSES, _HALVINGS = 4, 8
"""How often a cost is looked for where it is to be expected between two others, and then in their middle."""
_FARTHEST = 16.0
_NEAR = 0.1
"""Doublings from the ray within which nothing nearer is looked for."""
_FALLING = 0.95
"""How much less a larger network may cost than a smaller one: what a factory rounds may do that."""


def multiplied(base: Factory, rounding: Rounding, factors: Multipliers) -> Factory:
    """Return a factory with its arguments multiplied: whole numbers are rounded, others are not."""
    width, depth = base.width * factors.width, base.depth * factors.depth
    sides = tuple(rounding.round_resolution(side, factors.resolution) for side in base.size)
    height, across = map(int, sides)
    return base.changed(
        width=rounding.round_width(base.width, factors.width) if isinstance(base.width, int) else tidy(width),
        depth=rounding.round_depth(base.depth, factors.depth) if isinstance(base.depth, int) else tidy(depth),
        resolution=height if height == across else (height, across),
    )


def applied(base: Factory, scaled: Factory) -> Multipliers:
    """Return what became of the multipliers: ratios of the arguments, and of the side of the input."""
    side = math.sqrt(math.prod(scaled.size) / math.prod(base.size))
    return Multipliers(scaled.depth / base.depth, scaled.width / base.width, side)


class UnusedArgumentError(ScalenetError):
    """Say that an argument is to be scaled and makes no difference."""


def check_used(base: Factory, factors: Multipliers) -> None:
    """Raise UnusedArgumentError for an argument that is to be scaled and makes no difference when it is doubled."""
    for name in (WIDTH, DEPTH):
        if getattr(factors, name) == 1:
            continue
        own, doubled = getattr(base, name), base.changed(**{name: 2 * getattr(base, name)})
        try:
            same = figures(doubled) == figures(base)
        except ScalenetError:  # it does not go so far
            continue
        if same:
            raise UnusedArgumentError(
                f"{base.callable} ignores {name}: {2 * own:g} costs what {own:g} costs",
                hint=f"let the network follow from {name}, or leave it as it is (--rule, --depth, --width)",
            )


@dataclass(frozen=True)
class Solved:
    """A factory's call, the multipliers of the nearest point of the ray, and how well the budget is met."""

    network: Factory
    nearest: Multipliers
    solution: Solution


@dataclass
class _Line:
    """Networks along a line, by their place on it, and what they cost; what cannot be made is told by `problem`."""

    network: Callable[[float], Factory]
    metric: Metric
    costs: dict[float, int] = field(default_factory=dict)
    problem: ScalenetError | None = None

    def cost(self, place: float) -> int | None:
        """Return the cost of the network at a place, None where it cannot be made or run."""
        if place not in self.costs:
            try:
                self.costs[place] = getattr(figures(self.network(place)), self.metric)
            except ScalenetError as error:
                self.problem = error
                return None
        return self.costs[place]

    def nearest_to(self, value: int, low: float, high: float, within: float) -> None:
        """Close in on a cost between two places, one on each side of it, until one costs it or they nearly meet."""
        for look in range(_GUESSES + _HALVINGS):
            ends = self.costs.get(low), self.costs.get(high)
            middle = low + (high - low) * (_share(*ends, value) if look < _GUESSES else 0.5)
            own = self.cost(middle)
            if own is not None and abs(own / value - 1) <= within:
                return
            too_far = middle > 0 if own is None else own > value
            low, high = (low, middle) if too_far else (middle, high)

    def nearest(self, value: int) -> Factory:
        """Return the network that costs most like a value."""
        return self.network(min(self.costs, key=lambda place: abs(math.log(self.costs[place] / value))))

    def sides(self, value: int) -> list[float]:
        """Return the places just below and just above a cost."""
        below = [place for place, cost in self.costs.items() if cost <= value]
        above = [place for place, cost in self.costs.items() if cost > value]
        return [*([max(below)] if below else ()), *([min(above)] if above else ())]

    def check_growing(self, base: Factory) -> None:
        """Raise ScalenetError where a larger network costs clearly less than a smaller one."""
        for (place, cost), (beyond, other) in pairwise(sorted(self.costs.items())):
            if other < _FALLING * cost:
                raise ScalenetError(
                    f"{base.callable}: costs do not grow with its arguments: {self.network(place)} has {count(cost)} "
                    f"{self.metric}, {self.network(beyond)} only {count(other)}"
                )


def _share(below: int | None, above: int | None, value: int) -> float:
    """Return where a cost is to be expected between two, as a share of the way, not too near either of them."""
    if not below or not above or below == above:
        return 0.5
    share = (math.log(value) - math.log(below)) / (math.log(above) - math.log(below))
    return min(max(share, 0.1), 0.9)


class _Ray:
    """One budget's ray through the calls of a factory."""

    def __init__(self, base: Factory, rule: BudgetRule, rounding: Rounding) -> None:
        self.base, self.rule, self.rounding = base, rule, rounding
        if isinstance(rule.ray, TinyRay) or rule.per_stage or rule.sizes == "tight" or rule.training:
            asked = {"the rule tiny": isinstance(rule.ray, TinyRay), "--per-stage": rule.per_stage}
            what = next((name for name, given in asked.items() if given), "--sizes tight")
            raise ScalenetError(f"{what} needs a description of layers: {base.callable} is a factory")
        if "memory" in {rule.metric, *rule.ceilings}:
            raise ScalenetError(f"memory needs a description of layers: {base.callable} is a factory")
        self.step = rule.sizes
        depth, width, resolution = path(rule.ray, 1.0)
        self.direction = (float(depth), 2 * float(width), 2 * float(resolution))
        self.line = _Line(lambda phi: self.network(self.factors(phi)), rule.metric)

    def factors(self, phi: float) -> Multipliers:
        """Return the multipliers of a point of the ray."""
        assert not isinstance(self.rule.ray, TinyRay)
        return Multipliers(*(2.0 ** float(one) for one in path(self.rule.ray, phi)))

    def network(self, factors: Multipliers) -> Factory:
        """Return the call that multipliers give, at an admissible size."""
        scaled = multiplied(self.base, self.rounding, factors)
        if self.step == 1:
            return scaled
        height, across = (max(self.step, round(side / self.step) * self.step) for side in scaled.size)
        return scaled.at(height if height == across else (height, across))

    def bracket(self, value: int) -> tuple[float, float]:
        """Return places on the ray on both sides of a cost."""
        base = self.line.cost(0.0)
        if base is None:
            assert self.line.problem is not None
            raise self.line.problem
        guess = min(max(math.log2(value / base), -_FARTHEST), _FARTHEST)
        upward = value >= base
        inner, reach = 0.0, guess or 1.0
        for _ in range(6):
            own = self.line.cost(reach)
            if own is None or (own >= value if upward else own <= value):
                return (inner, reach) if upward else (reach, inner)
            inner, reach = reach, reach * 1.5
        self.line.check_growing(self.base)
        if len(set(self.line.costs.values())) == 1:
            raise ScalenetError(f"{self.rule.metric} do not change along this ray", hint="take another rule")
        return (inner, reach) if upward else (reach, inner)

    def off(self, network: Factory) -> tuple[float, tuple[float, float, float]]:
        """Return φ of the point of the ray that is nearest to a network, and the way from there, in doublings."""
        ratios = applied(self.base, network)
        place = [math.log2(ratios.depth), 2 * math.log2(ratios.width), 2 * math.log2(ratios.resolution)]
        along = sum(one * two for one, two in zip(place, self.direction, strict=True))
        phi = along / sum(one * one for one in self.direction)
        depth, width, size = (one - phi * two for one, two in zip(place, self.direction, strict=True))
        return phi, (depth, width, size)

    def distance(self, network: Factory) -> float:
        """Return how far a network's arguments lie from the ray, in doublings."""
        return math.hypot(*self.off(network)[1])

    def miss(self, network: Factory) -> float:
        """Return how far a network's cost lies outside what is asked, as a logarithm; infinity above a ceiling."""
        own, value = figures(network), self.rule.value
        if any(getattr(own, metric) > limit for metric, limit in self.rule.ceilings.items()):
            return math.inf
        found = abs(getattr(own, self.rule.metric) / value - 1)
        return 0.0 if found <= self.rule.tolerance else abs(math.log(getattr(own, self.rule.metric) / value))


def crossing(base: Factory, rule: BudgetRule, rounding: Rounding) -> float:
    """Return φ at which a ray costs what a rule asks, without what lies off it; infinity where it never does."""
    ray = _Ray(base, rule, rounding)
    try:
        low, high = ray.bracket(rule.value)
    except ScalenetError:
        return math.inf
    ray.line.nearest_to(rule.value, low, high, rule.tolerance)
    return max(ray.line.sides(rule.value))


def solve(base: Factory, rule: BudgetRule, rounding: Rounding) -> Solved:
    """Return the call nearest to the ray that costs what the rule asks, or else the one that misses least.

    Raise ScalenetError where costs do not grow along the ray, an argument makes no difference, or no call keeps the
    ceilings.
    """
    ray = _Ray(base, rule, rounding)
    check_used(base, ray.factors(1.0))
    low, high = ray.bracket(rule.value)
    ray.line.nearest_to(rule.value, low, high, rule.tolerance)
    ray.line.check_growing(base)
    found = []
    for network in _closest(ray):
        found.append(network)
        if ray.miss(network) == 0 and ray.distance(network) <= _NEAR:
            break
    best = min(found, key=lambda network: (ray.miss(network), ray.distance(network)))
    if math.isinf(ray.miss(best)):
        raise ScalenetError("no network near the ray keeps the ceilings", hint="raise them, or take another rule")
    return _solved(ray, best)


def _closest(ray: _Ray) -> Iterator[Factory]:
    """Yield the network of the ray that costs most like what is asked, then those beside both sides of a step."""
    yield ray.line.nearest(ray.rule.value)
    names = ("width",) if ray.rule.metric == "params" else ("width", "resolution")
    for place in ray.line.sides(ray.rule.value):
        yield from _beside(ray, ray.factors(place), names)


def _beside(ray: _Ray, factors: Multipliers, names: tuple[str, ...]) -> Iterator[Factory]:
    """Yield networks around a point whose width or size closes in on the cost, or one after the other."""
    value = ray.rule.value
    for name in names:
        line = _Line(_moved(ray, factors, name), ray.rule.metric)
        line.cost(-0.5)
        line.cost(0.5)
        line.nearest_to(value, -0.5, 0.5, ray.rule.tolerance)
        if not line.costs:
            continue
        nearest = line.nearest(value)
        yield nearest
        if ray.miss(nearest) > 0:
            others = tuple(other for other in names if other != name)
            for off in line.sides(value):
                yield from _beside(ray, _times(factors, name, off), others)


def _times(factors: Multipliers, name: str, off: float) -> Multipliers:
    """Return multipliers of which one is 2^off times as large."""
    return factors._replace(**{name: getattr(factors, name) * 2.0**off})


def _moved(ray: _Ray, factors: Multipliers, name: str) -> Callable[[float], Factory]:
    return lambda off: ray.network(_times(factors, name, off))


def _solved(ray: _Ray, network: Factory) -> Solved:
    phi, off = ray.off(network)
    depth, width, resolution = (tidy(2.0 ** (one / over)) for one, over in zip(off, (1, 2, 2), strict=True))
    solution = Solution(
        achieved=getattr(figures(network), ray.rule.metric),
        met=ray.miss(network) == 0,
        phi=tidy(phi),
        distance=tidy(ray.distance(network)),
        spread=0.0,
        off_ray=Factors(depth=depth, width=width, resolution=resolution),
    )
    return Solved(network, ray.factors(phi), solution)
