"""Elasticity: the powers of depth, width and resolution with which a network's costs really grow.

The paper's αβ²γ² has FLOPs grow with d, w² and r². Stem, head, first blocks, depthwise convolutions and squeeze-excite
grow more slowly, so that each network has exponents of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scalenet.arch.spec import layer_tree
from scalenet.costs.formula import cost, total, walk
from scalenet.scaling.multiply import unrounded
from scalenet.scaling.rounding import rounding_set
from scalenet.scaling.rules import PAPER_COEFFICIENTS, Multipliers, compound
from scalenet.scaling.scaler import scale

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalenet.arch.spec import Architecture
    from scalenet.costs.formula import Cost, Tally

NOMINAL = {
    "flops": Multipliers(1, 2, 2),
    "params": Multipliers(1, 2, 0),
    "activations": Multipliers(1, 1, 2),
}
"""The exponents of a network of nothing but like convolutions (Tan & Le 2019, section 3.3)."""

_STEP = 1e-4


@dataclass(frozen=True, slots=True)
class Exponent:
    """The power of one multiplier with which a cost grows, beside the nominal one.

    `local` is the derivative of the cost's logarithm at the base, without rounding; `doubled` and `halved` are the
    rounded network's cost over the base's at twice and half the multiplier.
    """

    axis: str
    cost: str
    nominal: float
    local: float
    doubled: float
    halved: float


@dataclass(frozen=True, slots=True)
class Growth:
    """What one step of φ multiplies the FLOPs by: the nominal αβ²γ², by the measured exponents, and when rounded."""

    nominal: float
    measured: float
    achieved: float


def exponents(base: Architecture) -> list[Exponent]:
    """Return the exponents of every cost of a network on every axis."""
    own = cost(base)
    return [exponent for axis in Multipliers._fields for exponent in _on_axis(base, own, axis)]


def growth(base: Architecture) -> Growth:
    """Return what one step of φ costs with the paper's α, β, γ."""
    step = compound(**PAPER_COEFFICIENTS, phi=1)
    local = [exponent.local for exponent in exponents(base) if exponent.cost == "flops"]
    return Growth(
        nominal=step.flops_ratio,
        measured=math.prod(map(pow, step, local)),
        achieved=cost(scale(base, **step._asdict())).flops / cost(base).flops,
    )


def _on_axis(base: Architecture, own: Cost, axis: str) -> Iterator[Exponent]:
    low, high = (_smooth(base, _along(axis, math.exp(step))) for step in (-_STEP, _STEP))
    half, double = (cost(scale(base, **_along(axis, factor)._asdict())) for factor in (0.5, 2.0))
    for name, nominal in NOMINAL.items():
        yield Exponent(
            axis,
            name,
            nominal=getattr(nominal, axis),
            local=math.log(getattr(high, name) / getattr(low, name)) / (2 * _STEP),
            doubled=getattr(double, name) / getattr(own, name),
            halved=getattr(half, name) / getattr(own, name),
        )


def _along(axis: str, factor: float) -> Multipliers:
    return Multipliers(1.0, 1.0, 1.0)._replace(**{axis: factor})


def _smooth(base: Architecture, factors: Multipliers) -> Tally:
    """Return the costs at unrounded dimensions."""
    numbers = unrounded(base.model, rounding_set(base.rounding), **factors._asdict())
    return total(walk(layer_tree(base.model, numbers), smooth=True))
