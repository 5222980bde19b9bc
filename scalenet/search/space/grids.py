"""Grids: which α, β, γ a search tries, as YAML files.

`steps` are steps of α, β, γ with a tolerance on αβ²γ² (the paper's way); `shares` are steps on the surface
αβ²γ² = product itself, as shares of the extra FLOPs for depth, width and resolution; `list` is what it says.
"""

from __future__ import annotations

import math
from functools import cache
from importlib import resources
from itertools import product
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from scalenet.arch.config import Name
from scalenet.arch.records import Record, as_tuple
from scalenet.arch.shipped import load_shipped, shipped_files
from scalenet.scaling.rules import PAPER_COEFFICIENTS, SHARES, shares

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable
    from pathlib import Path

LARGEST = 1_000_000
"""Combinations of a grid; more are refused."""

AtLeastOne: TypeAlias = Annotated[float, Field(ge=1, allow_inf_nan=False)]
Coefficients: TypeAlias = tuple[float, float, float]
Triple: TypeAlias = Annotated[tuple[AtLeastOne, AtLeastOne, AtLeastOne], BeforeValidator(as_tuple)]


class Range(Record):
    """Values from `low` to `high`, both included, `step` apart."""

    low: AtLeastOne = 1.0
    high: AtLeastOne
    step: Annotated[float, Field(ge=1e-4)]

    def __len__(self) -> int:
        return max(0, math.floor((self.high - self.low) / self.step + 1e-9) + 1)

    def values(self) -> list[float]:
        """Return the values, without the noise of adding steps."""
        return [round(self.low + number * self.step, 9) for number in range(len(self))]


class Steps(Record):
    """All α, β, γ on their ranges with |αβ²γ² - product| ≤ tolerance (Tan & Le 2019, section 3.3)."""

    kind: Literal["steps"]
    alpha: Range
    beta: Range
    gamma: Range
    tolerance: Annotated[float, Field(ge=0)]

    @model_validator(mode="after")
    def _countable(self) -> Steps:
        combinations = len(self.alpha) * len(self.beta) * len(self.gamma)
        if combinations > LARGEST:
            raise ValueError(f"{combinations:,} combinations are more than {LARGEST:,}; take larger steps")
        return self

    def coefficients(self, target: float) -> Iterator[Coefficients]:
        """Yield α, β, γ with αβ²γ² near `target`."""
        for alpha, beta, gamma in product(self.alpha.values(), self.beta.values(), self.gamma.values()):
            if abs(alpha * beta**2 * gamma**2 - target) <= self.tolerance + 1e-9:
                yield alpha, beta, gamma


class Shares(Record):
    """All shares of depth, width and resolution that are multiples of 1 / `divisions` and add up to 1."""

    kind: Literal["shares"]
    divisions: Annotated[int, Field(ge=1, le=1000)]

    def coefficients(self, target: float) -> Iterator[Coefficients]:
        """Yield α, β, γ with αβ²γ² = `target`."""
        for depth in range(self.divisions + 1):
            for width in range(self.divisions - depth + 1):
                parts = depth, width / 2, (self.divisions - depth - width) / 2
                alpha, beta, gamma = (round(target ** (part / self.divisions), 9) for part in parts)
                yield alpha, beta, gamma


class Listed(Record):
    """The α, β, γ that are listed."""

    kind: Literal["list"]
    values: Annotated[tuple[Triple, ...], BeforeValidator(as_tuple), Field(min_length=1)]

    def coefficients(self, target: float) -> Iterator[Coefficients]:  # noqa: ARG002 - as the others
        """Yield α, β, γ."""
        yield from self.values


class Grid(Record):
    """A search grid.

    `product` is the αβ²γ² aimed at. The single dimensions (`corners`) and the paper's coefficients (`paper`) are always
    among the points unless `include` leaves them out. Under the constraint `nominal` a point is the network that
    α, β, γ give at φ = 1; under `measured` it is the network nearest to their ray that costs `product` times the
    baseline (closed-loop rounding). `achieved` keeps only networks whose FLOPs ratio is within that fraction of
    `product`, because networks of unequal cost are not comparable: all under `nominal`, 0.01 under `measured`, unless
    given. An included point that misses it is brought to it as under `measured`. `rounding` replaces the baseline's
    rounding set.
    """

    schema_: Literal["scalenet-grid/1"] = Field(alias="schema")
    name: Name
    description: str = ""
    points: Annotated[Steps | Shares | Listed, Field(discriminator="kind")]
    product: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 2.0
    include: Annotated[tuple[Literal["corners", "paper"], ...], BeforeValidator(as_tuple)] = ("corners", "paper")
    constraint: Literal["nominal", "measured"] = "nominal"
    achieved: Annotated[float, Field(gt=0, lt=1)] | None = None
    rounding: str | None = None

    @property
    def tolerance(self) -> float | None:
        """The largest deviation of a FLOPs ratio from `product`, as a fraction of it; None where any will do."""
        return 0.01 if self.achieved is None and self.constraint == "measured" else self.achieved

    def coefficients(self) -> list[Coefficients]:
        """Return the grid's own points, then those included, without those that have the same label."""
        distinct: dict[str, Coefficients] = {}
        for point in (*self.points.coefficients(self.product), *self.included()):
            distinct.setdefault(label(point), point)
        return list(distinct.values())

    def included(self) -> Iterator[Coefficients]:
        """Yield the single dimensions and the paper's α, β, γ at αβ²γ² near `product`, where they are wanted."""
        doublings = math.log2(self.product)
        if "corners" in self.include:
            for corner in ("depth", "width", "resolution"):
                depth, width, resolution = shares(*SHARES[corner], doublings)
                yield round(depth, 9), round(width, 9), round(resolution, 9)
        if "paper" in self.include:
            alpha, beta, gamma = (round(value**doublings, 9) for value in PAPER_COEFFICIENTS.values())
            yield alpha, beta, gamma


def label(point: Coefficients) -> str:
    """Return α, β, γ as they stand in a candidate's name: six digits of each."""
    alpha, beta, gamma = (f"{value:.6g}" for value in point)
    return f"a{alpha}_b{beta}_g{gamma}"


@cache
def files() -> dict[str, Traversable]:
    """Return the file of every shipped grid by name."""
    import scalenet_grids  # noqa: PLC0415 - installed beside this package

    return shipped_files(resources.files(scalenet_grids))


def load_grid(name_or_path: str | Path) -> Grid:
    """Return a shipped grid, or the grid in a YAML file."""
    return load_shipped(Grid, name_or_path, files(), kind="grid")
