"""What the options of blocks may be: their annotations, which are the check."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from scalenet.arch.bounds import LARGEST
from scalenet.arch.records import as_tuple


def odd(kernel: int) -> int:
    """Return an odd kernel size as it is; an even one cannot be padded evenly."""
    if kernel % 2 == 0:
        raise ValueError("a kernel size must be odd")
    return kernel


Kernel: TypeAlias = Annotated[
    int,
    Field(ge=1, le=LARGEST),
    AfterValidator(odd),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": LARGEST, "not": {"multipleOf": 2}}),
]
Positive: TypeAlias = Annotated[int, Field(ge=1, le=LARGEST)]


def as_size(value: Any) -> Any:
    """Return one number as it is and [height, width] as a tuple; refuse anything else."""
    if isinstance(value, int) or (isinstance(value, list | tuple) and len(value) == 2):
        return as_tuple(value)
    raise ValueError("expected one number of pixels or [height, width]")


Resolution: TypeAlias = Annotated[
    Positive | tuple[Positive, Positive],
    BeforeValidator(as_size),
    Field(description="input size in pixels: one number for a square, [height, width] otherwise"),
]


def both_sides(resolution: int | tuple[int, int]) -> tuple[int, int]:
    """Return height and width of an input."""
    return (resolution, resolution) if isinstance(resolution, int) else resolution


class Divides:
    """Marks an option that a stage's width must be divisible by: every rounding keeps it so."""


Groups: TypeAlias = Annotated[int, Field(ge=1, le=LARGEST), Divides]
Ratio: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
ActivationName: TypeAlias = Literal["relu", "relu6", "silu", "hardswish", "gelu"]
GateName: TypeAlias = Literal["sigmoid", "hardsigmoid"]
