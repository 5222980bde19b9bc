"""Scaling rules: from a rule's numbers to the three multipliers.

On the surface αβ²γ² = 2 a rule is three *shares* of the extra FLOPs that add up to 1: log₂α for depth, 2·log₂β for
width, 2·log₂γ for resolution.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from scalenet.arch.config import CompoundRule, MultipliersRule, PresetRule, Rule, SharesRule
from scalenet.arch.errors import ScalenetError

PAPER_COEFFICIENTS = {"alpha": 1.2, "beta": 1.1, "gamma": 1.15}
"""Found on EfficientNet-B0 under αβ²γ² ≈ 2 (Tan & Le 2019, section 4; their product is 1.92)."""

SHARES = {
    "depth": (1.0, 0.0, 0.0),
    "width": (0.0, 1.0, 0.0),
    "resolution": (0.0, 0.0, 1.0),
    "dwr": (0.1, 0.8, 0.1),
}
"""Named shares of depth, width and resolution; `dwr` is dWr of Dollár, Singh & Girshick 2021 (s^0.1, s^0.4, s^0.05)."""


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


def multipliers(rule: CompoundRule | SharesRule | MultipliersRule) -> Multipliers:
    """Return the multipliers that a rule asks for."""
    match rule:
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
