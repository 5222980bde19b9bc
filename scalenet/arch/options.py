"""What the options of blocks may be: their annotations, which are the check."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, WithJsonSchema

from scalenet.arch.bounds import LARGEST


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


class Divides:
    """Marks an option that a stage's width must be divisible by: every rounding keeps it so."""


Groups: TypeAlias = Annotated[int, Field(ge=1, le=LARGEST), Divides]
Ratio: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
ActivationName: TypeAlias = Literal["relu", "relu6", "silu", "hardswish", "gelu"]
GateName: TypeAlias = Literal["sigmoid", "hardsigmoid"]
