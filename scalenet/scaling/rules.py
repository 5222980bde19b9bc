"""Scaling rules: from a rule's numbers to the three multipliers.

On the surface αβ²γ² = 2 a rule is three *shares* of the extra FLOPs that add up to 1: log₂α for depth, 2·log₂β for
width, 2·log₂γ for resolution.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scalenet.arch.config import (
    BudgetRule,
    CompoundRay,
    CompoundRule,
    MultipliersRule,
    SharesRay,
    SharesRule,
)
from scalenet.arch.errors import ScalenetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalenet.arch.config import Ray, Rule
    from scalenet.arch.layers import Count

PAPER_COEFFICIENTS = {"alpha": 1.2, "beta": 1.1, "gamma": 1.15}
"""Found on EfficientNet-B0 under αβ²γ² ≈ 2 (Tan & Le 2019, section 4; their product is 1.92)."""

SHARES = {
    "depth": (1.0, 0.0, 0.0),
    "width": (0.0, 1.0, 0.0),
    "resolution": (0.0, 0.0, 1.0),
    "dwr": (0.1, 0.8, 0.1),
}
"""Named shares of depth, width and resolution; `dwr` is dWr of Dollár, Singh & Girshick 2021 (s^0.1, s^0.4, s^0.05)."""


TINY_CURVES = np.array(
    [
        # log₂ of the FLOPs relative to EfficientNet-B0's, depth, resolution
        [np.log2(24.4 / 385.8), 0.6, 0.475],
        [np.log2(51.6 / 385.8), 0.695, 0.68],
        [np.log2(99.5 / 385.8), 0.85, 0.825],
        [np.log2(200.7 / 385.8), 1.1, 0.84],
        [np.log2(336.9 / 385.8), 1.2, 0.86],
        [0.0, 1.0, 1.0],
    ]
)
"""TinyNet E to A and the base: the published multipliers, in place of the paper's Gaussian processes, which are not."""


LEAST, MOST = 1e-6, 1e6
"""What a multiplier may be."""


class Multipliers(NamedTuple):
    """Factors of depth, width and resolution: the paper's d, w, r."""

    depth: float
    width: float
    resolution: float

    @property
    def flops_ratio(self) -> float:
        """The nominal cost d · w² · r² (Tan & Le 2019, section 3.3)."""
        return self.depth * self.width**2 * self.resolution**2


def checked(factors: Multipliers) -> Multipliers:
    """Return multipliers that a network can have; raise ScalenetError for others."""
    if not all(LEAST <= factor <= MOST for factor in factors):
        text = ", ".join(f"{name} {factor:g}" for name, factor in factors._asdict().items())
        raise ScalenetError(f"multipliers out of range: {text}", hint="each must lie between 1e-6 and 1e6")
    return factors


def compound(alpha: float, beta: float, gamma: float, phi: float) -> Multipliers:
    """Return depth α^φ, width β^φ, resolution γ^φ (Tan & Le 2019, equation 3)."""
    if not min(alpha, beta, gamma) > 0:
        raise ScalenetError(f"alpha, beta, gamma = {alpha:g}, {beta:g}, {gamma:g} must be positive")
    try:
        return checked(Multipliers(alpha**phi, beta**phi, gamma**phi))
    except (OverflowError, ScalenetError):
        raise ScalenetError(f"phi = {phi:g} is too large to scale by", hint="each step doubles the FLOPs") from None


def shares(depth: float, width: float, resolution: float, phi: float) -> Multipliers:
    """Return depth 2^(φ·d), width 2^(φ·w/2), resolution 2^(φ·r/2) for shares that add up to 1."""
    return compound(*_bases(depth, width, resolution), phi)


def _bases(depth: float, width: float, resolution: float) -> tuple[float, float, float]:
    return 2**depth, 2 ** (width / 2), 2 ** (resolution / 2)


def doublings(alpha: float, beta: float, gamma: float) -> tuple[float, float, float]:
    """Return how often depth, width and resolution double the FLOPs: shares, where those add up to 1."""
    return math.log2(alpha), 2 * math.log2(beta), 2 * math.log2(gamma)


def path(ray: CompoundRay | SharesRay, phi: Count) -> tuple[Count, Count, Count]:
    """Return log₂ of the three multipliers at φ, or at an array of φ."""
    alpha, beta, gamma = map(math.log2, coefficients(ray))
    return alpha * phi, beta * phi, gamma * phi


def tiny_curves(phi: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log₂ of depth and resolution at 2^φ of the base's FLOPs; straight between the TinyNets, and past E."""
    known, *curves = TINY_CURVES.T
    below = np.minimum(phi - known[0], 0)
    slopes = [(curve[1] - curve[0]) / (known[1] - known[0]) for curve in np.log2(curves)]
    depth, resolution = (
        np.interp(phi, known, curve) + slope * below for curve, slope in zip(np.log2(curves), slopes, strict=True)
    )
    return depth, resolution


def multipliers(rule: CompoundRule | SharesRule | MultipliersRule) -> Multipliers:
    """Return the multipliers that a rule asks for."""
    match rule:
        case CompoundRule():
            return compound(rule.alpha, rule.beta, rule.gamma, rule.phi)
        case SharesRule():
            return shares(rule.depth, rule.width, rule.resolution, rule.phi)
        case MultipliersRule():
            return checked(Multipliers(rule.depth, rule.width, rule.resolution))


def coefficients(rule: Rule | Ray) -> tuple[float, float, float]:
    """Return the α, β, γ of a rule or of its ray, or the paper's where it has none."""
    match rule.ray if isinstance(rule, BudgetRule) else rule:
        case CompoundRay(alpha=alpha, beta=beta, gamma=gamma):
            return alpha, beta, gamma
        case SharesRay(depth=depth, width=width, resolution=resolution):
            return _bases(depth, width, resolution)
        case _:
            alpha, beta, gamma = PAPER_COEFFICIENTS.values()
            return alpha, beta, gamma


def tidy(value: float) -> float:
    """Return six significant digits, for figures that are read; the rule's own are exact."""
    return float(f"{value:.6g}")
