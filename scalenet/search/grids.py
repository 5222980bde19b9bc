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

from pydantic import BeforeValidator, Field

from scalenet.arch.config import Name
from scalenet.arch.shipped import load_shipped, shipped_files
from scalenet.arch.spec import Record, as_tuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable
    from pathlib import Path

AtLeastOne: TypeAlias = Annotated[float, Field(ge=1, allow_inf_nan=False)]
Triple: TypeAlias = Annotated[tuple[AtLeastOne, AtLeastOne, AtLeastOne], BeforeValidator(as_tuple)]


class Range(Record):
    """Values from `low` to `high`, both included, `step` apart."""

    low: AtLeastOne = 1.0
    high: AtLeastOne
    step: Annotated[float, Field(ge=1e-4)]

    def values(self) -> list[float]:
        """Return the values, without the noise of adding steps."""
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
        return [round(self.low + number * self.step, 9) for number in range(count)]


class Steps(Record):
    """All α, β, γ on their ranges with |αβ²γ² - product| ≤ tolerance (Tan & Le 2019, section 3.3)."""

    kind: Literal["steps"]
    alpha: Range
    beta: Range
    gamma: Range
    tolerance: Annotated[float, Field(ge=0)]

    def coefficients(self, target: float) -> Iterator[tuple[float, float, float]]:
        """Yield α, β, γ with αβ²γ² near `target`."""
        for alpha, beta, gamma in product(self.alpha.values(), self.beta.values(), self.gamma.values()):
            if abs(alpha * beta**2 * gamma**2 - target) <= self.tolerance + 1e-9:
                yield alpha, beta, gamma


class Shares(Record):
    """All shares of depth, width and resolution that are multiples of 1 / `divisions` and add up to 1."""

    kind: Literal["shares"]
    divisions: Annotated[int, Field(ge=1, le=1000)]

    def coefficients(self, target: float) -> Iterator[tuple[float, float, float]]:
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

    def coefficients(self, target: float) -> Iterator[tuple[float, float, float]]:  # noqa: ARG002 - as the others
        """Yield α, β, γ."""
        yield from self.values


class Grid(Record):
    """A search grid.

    `product` is the αβ²γ² aimed at. `achieved` keeps only candidates whose measured FLOPs ratio is within that fraction
    of it, because networks of unequal cost are not comparable. `rounding` replaces the baseline's rounding set.
    """

    schema_: Literal["scalenet-grid/1"] = Field(alias="schema")
    name: Name
    description: str = ""
    points: Annotated[Steps | Shares | Listed, Field(discriminator="kind")]
    product: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 2.0
    achieved: Annotated[float, Field(gt=0, lt=1)] | None = None
    rounding: str | None = None


@cache
def files() -> dict[str, Traversable]:
    """Return the file of every shipped grid by name."""
    import scalenet_grids  # noqa: PLC0415 - installed beside this package

    return shipped_files(resources.files(scalenet_grids))


def load_grid(name_or_path: str | Path) -> Grid:
    """Return a shipped grid, or the grid in a YAML file."""
    return load_shipped(Grid, name_or_path, files(), kind="grid")
