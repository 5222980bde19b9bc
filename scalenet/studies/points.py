"""The networks of a study: each point of a series is one, and points that give the same network share it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scalenet.arch.config import BudgetRule, CompoundRay, MultipliersRule, SharesRay, config_of, digest
from scalenet.arch.errors import ScalenetError
from scalenet.arch.spec import Architecture
from scalenet.costs.network import cost
from scalenet.scaling.factories import UnusedArgumentError
from scalenet.scaling.rules import PAPER_COEFFICIENTS, SHARES
from scalenet.scaling.scaler import find_config, scale_by, shortfall
from scalenet.studies.definition import Grown, Multiplied

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scalenet.arch.config import Config, Ray
    from scalenet.studies.definition import Definition, Named, Series

FARTHEST = 0.1
"""By how much a network may miss its cost, a fraction: beyond it the study is refused."""

ASTRAY = 0.5
"""Doublings that a network may lie off its ray."""

_LOOSER = (0.01, 0.02, 0.05)


@dataclass(frozen=True)
class Point:
    """A network of a series; `asked` is the cost that it was brought to, and `met` whether it is that."""

    series: str
    config: Config
    asked: float | None = None
    met: bool = True

    @property
    def network(self) -> str:
        """The name of the network."""
        return self.config.name


@dataclass(frozen=True)
class Points:
    """The points of a study, and each network once, by name: the baseline first."""

    points: tuple[Point, ...]
    networks: Mapping[str, Config]

    @property
    def largest(self) -> Config:
        """The network that sees the most pixels."""
        return max(self.networks.values(), key=lambda config: max(config.network.size))


def find_points(definition: Definition, base: Architecture, found: Mapping[str, float] | None) -> Points:
    """Return the points of a study; `found` are the α, β, γ of its series `found`.

    Raise ScalenetError where no network comes near a cost that is asked for.
    """
    points = [Point("", config_of(base).changed(name=base.name))]
    for name, series in definition.series.items():
        try:
            points += _of_series(definition, name, series, base, found)
        except UnusedArgumentError as error:
            hint = f"mend it, or leave {name} out of a copy (`scalenet studies {definition.name}`)"
            raise ScalenetError(f"{name}: {error.message}", hint=hint) from None
    return _once(points)


def _of_series(
    definition: Definition, name: str, series: Series, base: Architecture, found: Mapping[str, float] | None
) -> Iterator[Point]:
    match series:
        case Grown():
            return _grown(definition, name, series, base, found)
        case Multiplied():
            return _multiplied(definition, name, series, base)
        case _:
            return _named(name, series, base)


def _grown(
    definition: Definition, name: str, series: Grown, base: Architecture, found: Mapping[str, float] | None
) -> Iterator[Point]:
    ray, start = _ray(series, found), base
    rounding = definition.rounding or base.rounding
    if series.start is not None:
        depth, width, resolution = series.start
        rule = MultipliersRule(depth=depth, width=width, resolution=resolution)
        config = scale_by(base, rule, rounding=rounding, name=f"{name}_start")
        start = Architecture(base.name, config.network, rounding)
        yield Point(name, config)
    for times in definition.costs:
        value = round(times * cost(base).flops)
        config = _nearest(start, ray, value, definition, name=f"{name}_{times:g}x", place=f"{name} at {times:g}×")
        met = abs(cost(config.network).flops / value - 1) <= definition.tolerance
        yield Point(name, config, times, met)


def _nearest(start: Architecture, ray: Ray, value: int, definition: Definition, *, name: str, place: str) -> Config:
    """Return a network near the ray that costs so much, as exactly as one can be had there.

    The closed loop meets any cost, far off the ray if it must: a deeper network that is narrower, too. Then one that
    misses the cost a little is more what the series is about.
    """
    rounding = definition.rounding or start.rounding
    for tolerance in dict.fromkeys((definition.tolerance, *_LOOSER, FARTHEST)):
        budget = BudgetRule(ray=ray, metric="flops", value=value, tolerance=max(tolerance, definition.tolerance))
        config = scale_by(start, budget, rounding=rounding, name=name)
        assert config.scaling is not None
        assert config.scaling.solution is not None
        if config.scaling.solution.met and config.scaling.solution.distance <= ASTRAY:
            return config
    achieved = cost(config.network).flops / value
    why = "".join(shortfall(start, config)).partition(": ")[2].rpartition(": ")[2] or "others lie far off its ray"
    raise ScalenetError(
        f"{place} the FLOPs: no network of {start.name} costs that, the nearest {achieved:.3g} times as much ({why})",
        hint="take another --base or --resolution, or leave it out of a copy (`scalenet studies NAME`)",
    )


def _ray(series: Grown, found: Mapping[str, float] | None) -> Ray:
    if series.shares is not None:
        depth, width, resolution = series.shares
        return SharesRay(depth=depth, width=width, resolution=resolution)
    if series.ray in SHARES:
        depth, width, resolution = SHARES[series.ray]
        return SharesRay(depth=depth, width=width, resolution=resolution)
    if series.ray == "found" and found is None:
        raise ScalenetError("a series wants found coefficients", hint="--coefficients runs/SEARCH/coefficients.yaml")
    return CompoundRay(**(PAPER_COEFFICIENTS if series.ray == "paper" else dict(found or {})))


def _multiplied(definition: Definition, name: str, series: Multiplied, base: Architecture) -> Iterator[Point]:
    for depth, width, resolution in series.values:
        rule = MultipliersRule(depth=depth, width=width, resolution=resolution)
        own = f"{name}_d{depth:g}_w{width:g}_r{resolution:g}"
        yield Point(name, scale_by(base, rule, rounding=definition.rounding or base.rounding, name=own))


def _named(name: str, series: Named, base: Architecture) -> Iterator[Point]:
    for one in series.values:
        config = find_config(one)
        classes = base.network.classes
        network = config.network if classes is None else config.network.with_classes(classes)
        own = f"{name}_{config.name}" if config.name == base.name else config.name
        yield Point(name, config_of(Architecture(own, network, config.architecture().rounding)))


def _once(points: list[Point]) -> Points:
    """Return the points with one name for each network, that of its first point."""
    first: dict[str, Config] = {}
    networks: dict[str, Config] = {}
    same = []
    for point in points:
        config = first.setdefault(digest(point.config.network), point.config)
        if networks.setdefault(config.name, config) is not config:
            raise ScalenetError(f"two networks of the study are called {config.name}", hint="rename a series")
        same.append(Point(point.series, config, point.asked, point.met))
    return Points(tuple(same), networks)
