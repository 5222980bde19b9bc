"""Scaling rules: from a rule's numbers to the three multipliers.

On the surface αβ²γ² = 2 a rule is three *shares* of the extra FLOPs that add up to 1: log₂α for depth, 2·log₂β for
width, 2·log₂γ for resolution.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scalenet.arch.config import (
    CompoundRay,
    CompoundRule,
    MultipliersRule,
    PresetRule,
    Ray,
    Rule,
    SharesRay,
    SharesRule,
    TinyRay,
    TinyRule,
)
from scalenet.arch.errors import ScalenetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
    if not all(1e-6 <= factor <= 1e6 for factor in factors):
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


def tiny(phi: float) -> Multipliers:
    """Return the multipliers of 2^φ of the FLOPs for φ ≤ 0: depth and resolution from the curves, d · w² · r² = 2^φ."""
    if not phi <= 0:
        raise ScalenetError(f"phi = {phi:g}: the tiny rule only shrinks", hint="phi must not be above 0")
    depth, width, resolution = (float(2**logarithm) for logarithm in path(TinyRay(), phi))
    return checked(Multipliers(depth, width, resolution))


def path(ray: Ray, phi: Count) -> tuple[Count, Count, Count]:
    """Return log₂ of the three multipliers at φ, or at an array of φ; the tiny curve goes on straight at its ends."""
    match ray:
        case CompoundRay():
            return math.log2(ray.alpha) * phi, math.log2(ray.beta) * phi, math.log2(ray.gamma) * phi
        case SharesRay():
            return ray.depth * phi, ray.width / 2 * phi, ray.resolution / 2 * phi
        case TinyRay():
            depth, resolution = (_straight(phi, np.log2(curve)) for curve in TINY_CURVES.T[1:])
            return depth, (phi - depth) / 2 - resolution, resolution


def _straight(phi: Count, curve: NDArray[np.float64]) -> Count:
    """Return the curve at φ, linear between its points, and past the smallest as between the last two."""
    known = TINY_CURVES[:, 0]
    slope = (curve[1] - curve[0]) / (known[1] - known[0])
    return np.interp(phi, known, curve) + slope * np.minimum(phi - known[0], 0)


def multipliers(rule: CompoundRule | SharesRule | TinyRule | MultipliersRule) -> Multipliers:
    """Return the multipliers that a rule asks for."""
    match rule:
        case TinyRule():
            return tiny(rule.phi)
        case CompoundRule():
            return compound(rule.alpha, rule.beta, rule.gamma, rule.phi)
        case SharesRule():
            return shares(rule.depth, rule.width, rule.resolution, rule.phi)
        case MultipliersRule():
            return checked(Multipliers(rule.depth, rule.width, rule.resolution))


def coefficients(rule: Rule) -> tuple[float, float, float]:
    """Return a rule's α, β, γ, or the paper's where a rule has none."""
    match rule:
        case CompoundRule():
            return rule.alpha, rule.beta, rule.gamma
        case SharesRule():
            return _bases(rule.depth, rule.width, rule.resolution)
        case _:
            alpha, beta, gamma = PAPER_COEFFICIENTS.values()
            return alpha, beta, gamma


def effective_phi(rule: Rule, asked: Multipliers) -> float:
    """Return the rule's φ, or log₂ of the nominal cost where a rule has none."""
    return math.log2(asked.flops_ratio) if isinstance(rule, MultipliersRule | PresetRule) else rule.phi
