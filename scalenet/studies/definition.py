"""What a study compares, as YAML files: series of networks, brought to equal costs or as they are given."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from scalenet.arch.config import Multiplier, Name
from scalenet.arch.records import Record, as_tuple
from scalenet.arch.shipped import load_shipped, shipped_files

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

RayName: TypeAlias = Literal["depth", "width", "resolution", "dwr", "paper", "found"]
"""A way to grow: one dimension alone, dWr, the paper's α, β, γ, or those that a search found."""

Factors: TypeAlias = Annotated[tuple[Multiplier, Multiplier, Multiplier], BeforeValidator(as_tuple)]
"""Multipliers of depth, width and resolution."""

Cost: TypeAlias = Annotated[float, Field(ge=1e-3, le=1e6)]
"""FLOPs relative to the baseline's."""

Shares: TypeAlias = Annotated[tuple[float, float, float], BeforeValidator(as_tuple)]


def _distinct(values: tuple[float, ...]) -> tuple[float, ...]:
    if len(set(values)) < len(values):
        raise ValueError("a cost stands there twice")
    return values


class Grown(Record):
    """Networks on a ray, the nearest to it that cost what the study asks for (closed loop).

    The ray has a name, or `shares` of depth, width and resolution in the extra FLOPs. It begins at the baseline, or at
    the `start`, the baseline with these multipliers, which is a network of the series then.
    """

    kind: Literal["ray"]
    ray: RayName | None = None
    shares: Shares | None = None
    start: Factors | None = None

    @model_validator(mode="after")
    def _one_ray(self) -> Grown:
        if (self.ray is None) == (self.shares is None):
            raise ValueError("give a ray or shares, one of them")
        return self


class Multiplied(Record):
    """The baseline with these multipliers of depth, width and resolution, whatever they cost."""

    kind: Literal["multipliers"]
    values: Annotated[tuple[Factors, ...], BeforeValidator(as_tuple), Field(min_length=1)]


class Named(Record):
    """Networks by name or file, whatever they cost, at their own resolutions."""

    kind: Literal["networks"]
    values: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Field(min_length=1)]


Series: TypeAlias = Annotated[Grown | Multiplied | Named, Field(discriminator="kind")]


class Definition(Record):
    """A study: which networks are compared.

    Rays are brought to each of the `costs`, in FLOPs relative to the baseline's, within the `tolerance`; `rounding`
    replaces the baseline's rounding set. `figure` is what of the paper it follows.
    """

    schema_: Literal["scalenet-study/1"] = Field(alias="schema")
    name: Name
    description: str = ""
    figure: str = ""
    costs: Annotated[tuple[Cost, ...], BeforeValidator(as_tuple), AfterValidator(_distinct)] = ()
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.01
    rounding: str | None = None
    series: Annotated[dict[Name, Series], Field(min_length=1)]

    @model_validator(mode="after")
    def _costs_for_rays(self) -> Definition:
        if not self.costs and any(isinstance(one, Grown) for one in self.series.values()):
            raise ValueError("a ray wants costs: [2, 4, 8]")
        return self

    def without(self, name: str) -> Definition:
        """Return the study without one of its series."""
        return self.changed(series={other: one for other, one in self.series.items() if other != name})


@cache
def files() -> dict[str, Traversable]:
    """Return the file of every shipped study by name."""
    return shipped_files(resources.files("scalenet.studies"))


def load_study(name_or_path: str | Path) -> Definition:
    """Return a shipped study, or the study in a YAML file."""
    return load_shipped(Definition, name_or_path, files(), kind="study", listing="scalenet studies")
