"""What multipliers make of a network's dimensions, rounded and unrounded."""

from __future__ import annotations

from itertools import starmap
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
    *others, head = zip(base.widths, factors.widths, model.divisors, strict=True)
    return Dimensions(
        depths=tuple(map(rounding.round_depth, base.depths, factors.depths)),
        widths=(*starmap(rounding.round_width, others), rounding.round_head(*head)),
        size=tuple(map(rounding.round_resolution, base.size, factors.size)),
    )


def unrounded(model: Model, rounding: Rounding, *, depth: Count, width: Count, resolution: Count) -> Dimensions:
    """Return the multiplied dimensions before rounding, as floats or arrays of them."""
    return dimensions(model).each(mul, _factors(model, rounding, depth=depth, width=width, resolution=resolution))


def _factors(model: Model, rounding: Rounding, *, depth: Count, width: Count, resolution: Count) -> Dimensions:
    """Return what each dimension is multiplied by: 1 where the rounding set keeps it fixed."""
    stages, fixed = len(model.stages), rounding.fixed
    ends = {0, stages - 1} if "end_depths" in fixed else set()
    stem, head = (1 if name in fixed else width for name in ("stem", "head"))
    return Dimensions(
        depths=tuple(1 if number in ends else depth for number in range(stages)),
        widths=(stem, *[width] * stages, head),
        size=(resolution, resolution),
    )
