"""Candidates: the networks that a grid's α, β, γ give, each of them once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scalenet.arch.config import BudgetRule, CompoundRay, CompoundRule, Config, digest
from scalenet.arch.errors import ScalenetError
from scalenet.arch.factory import Factory
from scalenet.costs.network import cost
from scalenet.scaling.scaler import scale_by
from scalenet.search.space.grids import label

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scalenet.arch.config import CostRecord, Scaling
    from scalenet.arch.spec import Architecture, Buildable
    from scalenet.search.space.grids import Coefficients, Grid
    from scalenet.search.space.objective import Ceiling


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network of the search: its coefficients, and its config with cost and achieved ratio.

    `merged` are the α, β, γ of other points that gave the same network, as labels.
    """

    alpha: float
    beta: float
    gamma: float
    config: Config
    merged: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the candidate's config and of its results."""
        return self.config.name

    @property
    def scaling(self) -> Scaling:
        """How the network came from the baseline."""
        assert self.config.scaling is not None
        return self.config.scaling

    @property
    def cost(self) -> CostRecord:
        """What the network costs."""
        assert self.config.cost is not None
        return self.config.cost

    @property
    def rounding(self) -> str:
        """The rounding set that made the network."""
        return self.scaling.rounding.name

    @property
    def nominal(self) -> float:
        """αβ²γ²."""
        return self.alpha * self.beta**2 * self.gamma**2

    @property
    def flops_ratio(self) -> float:
        """FLOPs relative to the baseline's."""
        return self.scaling.applied.flops_ratio

    @property
    def distance(self) -> float | None:
        """Doublings between the ray of α, β, γ and a network that was brought to the target; None at φ = 1."""
        return None if self.scaling.solution is None else self.scaling.solution.distance

    def facts(self) -> Facts:
        """Return what tables and answers say of the candidate."""
        network = self.config.network
        depth, width = _size(network)
        return Facts(
            name=self.name,
            alpha=self.alpha,
            beta=self.beta,
            gamma=self.gamma,
            nominal=round(self.nominal, 6),
            flops=self.cost.flops,
            flops_ratio=self.flops_ratio,
            distance=self.distance,
            params=self.cost.params,
            activations=self.cost.activations,
            depth=depth,
            width=width,
            resolution="x".join(map(str, dict.fromkeys(network.size))),
            rounding=self.rounding,
            merged=self.merged,
        )


def _size(network: Buildable) -> tuple[float, float]:
    """Return a description's blocks and the width of its last stage, or depth and width of a factory's call."""
    if isinstance(network, Factory):
        return network.depth, network.width
    return sum(stage.depth for stage in network.stages), network.stages[-1].width


@dataclass(frozen=True, slots=True)
class Facts:
    """What tables and answers say of a candidate: its coefficients, its costs, and its size.

    `nominal` is αβ²γ², `flops_ratio` relative to the baseline, `depth` the blocks of all stages, `width` that of the
    last stage, or what a factory is called with, and `merged` the labels of other points that gave the same network.
    """

    name: str
    alpha: float
    beta: float
    gamma: float
    nominal: float
    flops: int
    flops_ratio: float
    distance: float | None
    params: int
    activations: int
    depth: float
    width: float
    resolution: str
    rounding: str
    merged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Enumeration:
    """The candidates of a grid, and how many of its points were dropped and why."""

    candidates: tuple[Candidate, ...]
    points: int
    duplicates: int
    off_target: int
    over_ceilings: int = 0


def enumerate_candidates(
    base: Architecture, grid: Grid, *, ceilings: Mapping[Ceiling, int] | None = None
) -> Enumeration:
    """Return the networks of a grid in its order: points that give the same network are one candidate.

    Networks above `ceilings` are dropped. Raise ScalenetError where nothing is left.
    """
    included = set(map(label, grid.included()))
    points = [_candidate(base, point, grid, always=label(point) in included) for point in grid.coefficients()]
    on_target = [candidate for candidate in points if _on_target(candidate, grid)]
    unique: dict[str, list[Candidate]] = {}
    for candidate in on_target:
        unique.setdefault(digest(candidate.config.network), []).append(candidate)
    distinct = [_merged(*same) for same in unique.values()]
    kept = [one for one in distinct if all(getattr(one.cost, name) <= most for name, most in (ceilings or {}).items())]
    if not kept:
        why = _why_above(distinct, ceilings or {}) if distinct else _why_empty(points, grid)
        raise ScalenetError(f"grid {grid.name} has no candidates for {base.name}: {why}")
    return Enumeration(
        candidates=tuple(kept),
        points=len(points),
        duplicates=len(on_target) - len(unique),
        off_target=len(points) - len(on_target),
        over_ceilings=len(unique) - len(kept),
    )


def _candidate(base: Architecture, point: Coefficients, grid: Grid, *, always: bool) -> Candidate:
    """Return the network of a point; one that is `always` wanted is brought to a target that it misses."""
    alpha, beta, gamma = point
    rounding, name = grid.rounding or base.rounding, f"{base.name}_{label(point)}"
    if grid.constraint == "nominal":
        rule = CompoundRule(alpha=alpha, beta=beta, gamma=gamma, phi=1.0)
        candidate = Candidate(*point, scale_by(base, rule, rounding=rounding, name=name))
        if _on_target(candidate, grid) or not always:
            return candidate
    assert grid.tolerance is not None
    budget = BudgetRule(
        ray=CompoundRay(alpha=alpha, beta=beta, gamma=gamma),
        metric="flops",
        value=round(grid.product * cost(base).flops),
        tolerance=grid.tolerance,
    )
    return Candidate(*point, scale_by(base, budget, rounding=rounding, name=name))


def _on_target(candidate: Candidate, grid: Grid) -> bool:
    solution = candidate.scaling.solution
    if solution is not None:
        return solution.met
    return grid.tolerance is None or abs(candidate.flops_ratio / grid.product - 1) <= grid.tolerance + 1e-9


def _merged(first: Candidate, *others: Candidate) -> Candidate:
    return replace(first, merged=tuple(label((other.alpha, other.beta, other.gamma)) for other in others))


def _why_above(distinct: list[Candidate], ceilings: Mapping[Ceiling, int]) -> str:
    least = {name: min(getattr(candidate.cost, name) for candidate in distinct) for name in ceilings}
    return "none of them keeps " + " and ".join(
        f"{most:,} {name} (the least is {least[name]:,})" for name, most in ceilings.items()
    )


def _why_empty(points: list[Candidate], grid: Grid) -> str:
    if not points:
        return f"no α, β, γ of its ranges has αβ²γ² near {grid.product:g}; widen its tolerance or its ranges"
    nearest = min(points, key=lambda candidate: abs(candidate.flops_ratio / grid.product - 1))
    return (
        f"none of {len(points)} points costs {grid.product:g}× the baseline within {100 * (grid.tolerance or 0):g} % "
        f"(the nearest is {nearest.flops_ratio:.3g}×); widen `achieved`, or round finer"
    )
