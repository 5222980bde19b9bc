"""What multipliers make of a network's dimensions, rounded and unrounded."""

from __future__ import annotations

from operator import mul
from typing import TYPE_CHECKING

from scalenet.arch.spec import Dimensions, dimensions

if TYPE_CHECKING:
    from scalenet.arch.layers import Count
    from scalenet.arch.spec import Model
    from scalenet.scaling.rounding import Rounding


def scale_dimensions(model: Model, rounding: Rounding, *, depth: Count, width: Count, resolution: Count) -> Dimensions:
    """Return the multiplied dimensions, rounded; arrays of multipliers give arrays of dimensions."""
    base, factors = dimensions(model), _factors(model, rounding, depth=depth, width=width, resolution=resolution)
    common, own, grown = model.norm.divisor, base.head, factors.head
    return Dimensions(
        height=rounding.round_resolution(base.height, factors.height),
        width=rounding.round_resolution(base.width, factors.width),
        stem=rounding.round_width(base.stem, factors.stem, groups=common),
        widths=tuple(
            rounding.round_width(number, factor, groups=divisor)
            for number, factor, divisor in zip(base.widths, factors.widths, model.divisors, strict=True)
        ),
        depths=tuple(map(rounding.round_depth, base.depths, factors.depths)),
        head=None if own is None or grown is None else rounding.round_head(own, grown, groups=common),
    )


def unrounded(model: Model, rounding: Rounding, *, depth: Count, width: Count, resolution: Count) -> Dimensions:
    """Return the multiplied dimensions before rounding, as floats or arrays of them."""
    base, factors = dimensions(model), _factors(model, rounding, depth=depth, width=width, resolution=resolution)
    return Dimensions(
        height=base.height * factors.height,
        width=base.width * factors.width,
        stem=base.stem * factors.stem,
        widths=tuple(map(mul, base.widths, factors.widths)),
        depths=tuple(map(mul, base.depths, factors.depths)),
        head=None if base.head is None or factors.head is None else base.head * factors.head,
    )


def _factors(model: Model, rounding: Rounding, *, depth: Count, width: Count, resolution: Count) -> Dimensions:
    """Return what each dimension is multiplied by: 1 where the rounding set keeps it fixed."""
    last = len(model.stages) - 1
    ends = {0, last} if "end_depths" in rounding.fixed else set()
    return Dimensions(
        height=resolution,
        width=resolution,
        stem=1 if "stem" in rounding.fixed else width,
        widths=(width,) * (last + 1),
        depths=tuple(1 if number in ends else depth for number in range(last + 1)),
        head=1 if "head" in rounding.fixed else width,
    )
