"""Candidates: the networks that a grid's α, β, γ give at φ = 1, each of them once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scalenet.arch.config import CompoundRule, Config, digest
from scalenet.arch.errors import ScalenetError
from scalenet.scaling.scaler import scale_by

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scalenet.arch.spec import Architecture
    from scalenet.search.grids import Grid


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network of the search: its coefficients, and its config with cost and achieved ratio."""

    alpha: float
    beta: float
    gamma: float
    config: Config

    @property
    def name(self) -> str:
        """The name of the candidate's config and of its results."""
        return self.config.name

    @property
    def rounding(self) -> str:
        """The rounding set that made the network."""
        assert self.config.scaling is not None
        return self.config.scaling.rounding.name

    @property
    def nominal(self) -> float:
        """αβ²γ²."""
        return self.alpha * self.beta**2 * self.gamma**2

    @property
    def flops(self) -> int:
        """Multiply-adds of convolutions and linear layers."""
        assert self.config.cost is not None
        return self.config.cost.flops

    @property
    def params(self) -> int:
        """Trainable numbers."""
        assert self.config.cost is not None
        return self.config.cost.params

    @property
    def flops_ratio(self) -> float:
        """FLOPs relative to the baseline's."""
        assert self.config.scaling is not None
        return self.config.scaling.applied.flops_ratio


@dataclass(frozen=True, slots=True)
class Enumeration:
    """The candidates of a grid, and how many of its points were dropped and why."""

    candidates: tuple[Candidate, ...]
    points: int
    duplicates: int
    off_target: int


def enumerate_candidates(base: Architecture, grid: Grid) -> Enumeration:
    """Return the networks of a grid in its order, without points that round to a network already there.

    Raises ScalenetError where nothing is left.
    """
    points = _distinct(grid.points.coefficients(grid.product))
    rounding = grid.rounding or base.rounding
    kept = [_candidate(base, point, rounding) for point in points]
    on_target = [candidate for candidate in kept if _on_target(candidate, grid)]
    unique: dict[str, Candidate] = {}
    for candidate in on_target:
        unique.setdefault(digest(candidate.config.model), candidate)
    if not unique:
        raise ScalenetError(f"grid {grid.name} has no candidates for {base.name}: {_why_empty(kept, grid)}")
    return Enumeration(
        candidates=tuple(unique.values()),
        points=len(points),
        duplicates=len(on_target) - len(unique),
        off_target=len(kept) - len(on_target),
    )


def _distinct(points: Iterable[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """Return the points that differ in the six digits that name a candidate."""
    return list({tuple(f"{value:.6g}" for value in point): point for point in points}.values())


def _candidate(base: Architecture, point: tuple[float, float, float], rounding: str) -> Candidate:
    alpha, beta, gamma = point
    rule = CompoundRule(alpha=alpha, beta=beta, gamma=gamma, phi=1.0)
    name = f"{base.name}_a{alpha:.6g}_b{beta:.6g}_g{gamma:.6g}"
    return Candidate(alpha, beta, gamma, scale_by(base, rule, rounding=rounding, name=name))


def _on_target(candidate: Candidate, grid: Grid) -> bool:
    return grid.achieved is None or abs(candidate.flops_ratio / grid.product - 1) <= grid.achieved + 1e-9


def _why_empty(points: list[Candidate], grid: Grid) -> str:
    if not points:
        return f"no α, β, γ of its ranges has αβ²γ² near {grid.product:g}; widen its tolerance or its ranges"
    nearest = min(points, key=lambda candidate: abs(candidate.flops_ratio / grid.product - 1))
    return (
        f"none of {len(points)} points costs {grid.product:g}× the baseline within {100 * (grid.achieved or 0):g} % "
        f"(the nearest is {nearest.flops_ratio:.3g}×); widen `achieved`, or round finer"
    )
