"""Explanation of a scaled network: the φ that each axis and the FLOPs really have, and why, stage by stage."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scalenet.arch.config import MultipliersRule
from scalenet.arch.errors import ScalenetError
from scalenet.costs.formula import cost
from scalenet.scaling.causes import deviations
from scalenet.scaling.resolutions import cliffs_below
from scalenet.scaling.rules import Multipliers, coefficients
from scalenet.scaling.scaler import applied, asked_of, base_of, scale_by

if TYPE_CHECKING:
    from scalenet.arch.config import Config, Scaling
    from scalenet.arch.spec import Architecture, Model
    from scalenet.scaling.causes import Deviation
    from scalenet.scaling.resolutions import Cliff


@dataclass(frozen=True, slots=True)
class Axis:
    """What was asked of depth, width, resolution or FLOPs, and what came of it.

    The ratios are to the base. Each φ is the logarithm of a ratio to the axis' own coefficient: α, β, γ, and 2 for the
    FLOPs; None where the coefficient is 1, and the axis does not grow with φ.
    """

    name: str
    asked: float
    achieved: float
    coefficient: float

    @property
    def asked_phi(self) -> float | None:
        """The φ that was asked for."""
        return self._phi(self.asked)

    @property
    def phi(self) -> float | None:
        """The φ that the network has."""
        return self._phi(self.achieved)

    def _phi(self, ratio: float) -> float | None:
        return None if self.coefficient == 1 else math.log(ratio, self.coefficient)


@dataclass(frozen=True, slots=True)
class PartFlops:
    """FLOPs of stem, a stage or head: the base's times the asked ratio, those achieved, and what each cause adds."""

    name: str
    base: int
    asked: float
    achieved: int
    added: dict[str, float]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a network costs what it costs, beside its base."""

    base: Architecture
    config: Config
    axes: tuple[Axis, ...]
    deviations: tuple[Deviation, ...]
    parts: tuple[PartFlops, ...]
    cliffs: tuple[Cliff, ...]


def explain(config: Config, base: Architecture | None = None) -> Explanation:
    """Return why a scaled config costs what it costs, or how any config differs from a `base` of as many stages.

    Without a record of its scaling a network is compared with the multipliers that its base would need to become it.
    """
    other = base or base_of(_record(config))
    _check_stages(other, config)
    if base is not None:
        rule = MultipliersRule(**applied(base.model, config.model)._asdict())
        config = config.changed(scaling=scale_by(base, rule).scaling)
    found = deviations(other, config)
    return Explanation(
        base=other,
        config=config,
        axes=_axes(other, config.model, _record(config)),
        deviations=tuple(found),
        parts=_parts(other, config.model, found),
        cliffs=tuple(cliffs_below(config.model)),
    )


def _record(config: Config) -> Scaling:
    if config.scaling is None:
        raise ScalenetError(
            f"{config.name} was not scaled",
            hint="explain a file of `scalenet scale -o` or a preset, or compare with --base NAME",
        )
    return config.scaling


def _check_stages(base: Architecture, config: Config) -> None:
    own, others = len(config.model.stages), len(base.model.stages)
    if own != others:
        raise ScalenetError(
            f"{config.name} has {own} stages, and {base.name} has {others}",
            hint="an explanation goes stage by stage; `scalenet diff` compares any two networks",
        )


def _axes(base: Architecture, model: Model, scaling: Scaling) -> tuple[Axis, ...]:
    asked, target = asked_of(base, scaling)
    rows = zip(Multipliers._fields, asked, applied(base.model, model), coefficients(scaling.rule), strict=True)
    return (*(Axis(*row) for row in rows), Axis("flops", target, cost(model).flops / cost(base).flops, 2.0))


def _parts(base: Architecture, model: Model, found: list[Deviation]) -> tuple[PartFlops, ...]:
    """Return the parts; what was asked of each is what is left when all that the causes add is taken away."""
    pairs = zip(cost(base).parts, cost(model).parts, *(one.flops for one in found), strict=True)
    return tuple(
        PartFlops(
            name=after.name,
            base=int(before.cost.flops),
            asked=float(after.cost.flops - sum(added)),
            achieved=int(after.cost.flops),
            added=dict(zip((one.cause for one in found), added, strict=True)),
        )
        for before, after, *added in pairs
    )
