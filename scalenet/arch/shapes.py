"""What leaves a layer: the one place that knows padding, strides, joins, and which channels fit.

Numbers are `int`s, which are checked, or arrays and floats, which are followed. With `smooth`, strides divide a map's
sides without rounding: as if sizes need not be whole.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from scalenet.arch.errors import ScalenetError
from scalenet.arch.layers import (
    Activation,
    Attention,
    Branches,
    Choice,
    Conv,
    Count,
    Dropout,
    DropPath,
    Flatten,
    GlobalPool,
    Layer,
    Linear,
    Norm,
    Pool,
    Position,
    Scale,
    Sequence,
    Shuffle,
    both,
)

if TYPE_CHECKING:
    from scalenet.arch.layers import Network, Padding, Part, Sides


class MisfitError(ScalenetError):
    """A layer does not take what reaches it. `path` are the names that lead to it, innermost first."""

    path: tuple[str, ...] = ()

    def __str__(self) -> str:
        reason = super().__str__()
        return f"{'.'.join(reversed(self.path))}: {reason}" if self.path else reason


class Shape(NamedTuple):
    """A map, or where it is `flat`, a row of features."""

    channels: Count
    height: Count
    width: Count
    flat: bool = False
    smooth: bool = False

    @property
    def places(self) -> Count:
        """Elements a channel."""
        return self.height * self.width

    def __str__(self) -> str:
        return f"{self.channels} features" if self.flat else f"{self.channels}×{self.height}×{self.width}"


def shape_of(network: Network, *, smooth: bool = False) -> Shape:
    """Return the shape of a network's images."""
    return Shape(network.channels, network.height, network.width, smooth=smooth)


def fit(layer: Layer, shape: Shape, place: str) -> Shape:
    """Return what leaves a layer of whole numbers; raise ValueError that names the place where it does not fit."""
    try:
        return after(layer, shape)
    except MisfitError as misfit:
        raise ValueError(f"{place}: {misfit}; {shape} enter") from None


def after(layer: Layer, shape: Shape) -> Shape:  # noqa: PLR0911, PLR0912 - one return a kind
    """Return what leaves a layer; raise MisfitError where it does not take the shape."""
    match layer:
        case Conv():
            _check_conv(layer, shape)
            height, width = _sides(shape, layer.kernel, layer.stride, layer.padding)
            return Shape(layer.out_channels, height, width, False, shape.smooth)
        case Sequence():
            for name, inner in layer.layers:
                shape = _named(name, inner, shape)
            return shape
        case Branches():
            entering = entering_paths(layer, shape)
            left = [_named(name, path, part) for (name, path), part in zip(layer.paths, entering, strict=True)]
            return joined(layer, left)
        case Choice():
            if isinstance(layer.where, bool):
                return after(layer.chosen, shape)
            return chosen(layer, after(layer.yes, shape), after(layer.no, shape))
        case Pool():
            _check(not shape.flat, "pooling takes a map", shape)
            height, width = _sides(shape, layer.kernel, layer.stride, layer.padding, ceil=layer.ceil)
            return shape._replace(height=height, width=width)
        case GlobalPool():
            _check(not shape.flat, "pooling takes a map", shape)
            return shape._replace(height=layer.side, width=layer.side)
        case Flatten():
            return Shape(shape.channels * shape.places, 1, 1, flat=True, smooth=shape.smooth)
        case Linear():
            _check(shape.flat, "a linear layer takes what is flat", shape)
            _check_count(layer.in_features, shape, "a linear layer takes {} features")
            return shape._replace(channels=layer.out_features)
        case Norm():
            _check_count(layer.channels, shape, "{} channels are normalised")
            _check_divides(layer.groups, shape)
            _check_values(layer, shape)
            return shape
        case Scale():
            _check_count(layer.channels, shape, "{} channels are scaled")
            return shape
        case Position():
            _check_count(layer.channels, shape, "positions have {} channels")
            _check_sizes(Shape(layer.channels, layer.height, layer.width), shape)
            return shape
        case Shuffle():
            _check_divides(layer.groups, shape)
            return shape
        case Attention():
            if isinstance(layer.heads, int):
                _check_divides(3 * layer.heads, shape)
            return shape._replace(channels=_part(shape.channels, 3))
        case Activation() | Dropout() | DropPath():
            return shape
    raise MisfitError(f"a layer of an unknown kind, {type(layer).__name__}")


def passed(part: Part, entering: Shape, left: Shape, times: Count) -> Shape:
    """Return what enters the next run of a part, behind a run that is not its first."""
    if not part.grows:
        return entering
    if isinstance(times, int | float):
        return left if times else entering
    import numpy as np  # noqa: PLC0415 - only arrays need it

    return left._replace(channels=np.where(times > 0, left.channels, entering.channels))


def entering_paths(layer: Branches, shape: Shape) -> list[Shape]:
    """Return what enters each path."""
    if layer.take == "split":
        _check_divides(len(layer.paths), shape)
        shape = shape._replace(channels=_part(shape.channels, len(layer.paths)))
    return [shape] * len(layer.paths)


def joined(layer: Branches, left: list[Shape]) -> Shape:
    """Return what the maps that leave the paths become."""
    first, *others = left
    for other in others:
        gate = layer.join == "multiply" and (other.height, other.width) == (1, 1)
        if not gate:
            _check_sizes(first, other)
        whole = isinstance(first.channels, int) and isinstance(other.channels, int)
        if layer.join != "concat" and whole and first.channels != other.channels:
            raise MisfitError(_unlike(first, other))
    if layer.join == "concat":
        return first._replace(channels=sum(one.channels for one in left))
    return first


def chosen(layer: Choice, yes: Shape, no: Shape) -> Shape:
    """Return what leaves a choice of arrays: of each network what leaves its own side."""
    import numpy as np  # noqa: PLC0415 - only arrays need it

    def own(one: Count, other: Count) -> Count:
        whole = isinstance(one, int) and isinstance(other, int)
        return one if one is other or (whole and one == other) else cast("Count", np.where(layer.where, one, other))

    return Shape(
        own(yes.channels, no.channels), own(yes.height, no.height), own(yes.width, no.width), yes.flat, yes.smooth
    )


def padded(size: Count, kernel: int, stride: int, padding: Padding) -> Count:
    """Return by how many pixels one side of a map is padded in all; `padding` is one side's, if it is a number."""
    match padding:
        case "symmetric":
            return 2 * ((kernel - 1) // 2)
        case "same":
            missing = (_divided(size, stride) - 1) * stride + kernel - size
            return missing * (missing > 0)
        case "valid":
            return 0
    return 2 * cast("int", padding)


def patches(size: Count, side: int) -> Count:
    """Return how many whole patches of `side` pixels one side of an image has."""
    return size / side if isinstance(size, float) else _floored(size, side)


def _sides(shape: Shape, kernel: Sides, stride: int, padding: Padding, *, ceil: bool = False) -> tuple[Count, Count]:
    """Return height and width behind a window that moves."""
    if isinstance(kernel, int) and not isinstance(padding, tuple):
        height = _side(shape.height, shape.smooth, kernel, stride, padding, ceil)
        if shape.width is shape.height:
            return height, height
        return height, _side(shape.width, shape.smooth, kernel, stride, padding, ceil)
    tall, wide = both(kernel)
    above, beside = padding if isinstance(padding, tuple) else (padding, padding)
    return (
        _side(shape.height, shape.smooth, tall, stride, above, ceil),
        _side(shape.width, shape.smooth, wide, stride, beside, ceil),
    )


def _side(size: Count, smooth: bool, kernel: int, stride: int, padding: Padding, ceil: bool) -> Count:
    if padding == "same" or (padding == "symmetric" and kernel % 2 and not ceil):
        if stride == 1:
            return size
        return size / stride if smooth else _divided(size, stride)
    reach = size + padded(size, kernel, stride, padding) - kernel
    if smooth:
        return reach / stride + 1
    left = (_divided(reach, stride) if ceil else _floored(reach, stride)) + 1
    if ceil:  # a window that is not whole still begins within the map
        left = left - 1 * ((left - 1) * stride >= size + padded(size, kernel, stride, padding) // 2)
    if least(left) < 1:
        side = f"{least(size):g}"
        raise MisfitError(f"a kernel of {kernel} is larger than a map of {side} pixels a side; take larger images")
    return left


def _divided(size: Count, stride: int) -> Count:
    """Return size / stride rounded up; `np.ceil` is ten times faster on float arrays than `//`."""
    if isinstance(size, int):
        return -(-size // stride)
    import numpy as np  # noqa: PLC0415 - only arrays need it

    return np.ceil(size / stride)


def _floored(size: Count, stride: int) -> Count:
    if isinstance(size, int):
        return size // stride
    import numpy as np  # noqa: PLC0415 - only arrays need it

    return np.floor(size / stride)


def least(size: Any) -> float:
    """Return the least of numbers; of none, and of an expression, which is not known yet, infinity."""
    return float(size.min()) if getattr(size, "size", 0) else size if isinstance(size, int | float) else math.inf


def _part(channels: Count, parts: int) -> Count:
    return channels // parts if isinstance(channels, int) else channels / parts


def _named(name: str, layer: Layer, shape: Shape) -> Shape:
    try:
        return after(layer, shape)
    except MisfitError as misfit:
        misfit.path = (*misfit.path, name)
        raise


def _check_conv(layer: Conv, shape: Shape) -> None:
    inside, outside, width = layer.in_channels, layer.out_channels, layer.group_width
    if shape.flat:
        raise MisfitError(f"a convolution takes a map, and {shape} come in")
    _check_count(inside, shape, "a convolution takes {} channels")
    whole = isinstance(inside, int) and isinstance(outside, int) and isinstance(width, int)
    if width is not inside and whole and (inside % width or outside % (inside // width)):
        raise MisfitError(f"groups of {width} channels do not divide a convolution from {inside} to {outside} channels")


def _check(fits: bool, what: str, shape: Shape) -> None:
    if not fits:
        raise MisfitError(f"{what}, and {shape} come in")


def _check_count(wanted: Count, shape: Shape, what: str) -> None:
    if isinstance(wanted, int) and isinstance(shape.channels, int) and wanted != shape.channels:
        raise MisfitError(f"{what.format(wanted)}, and {shape} come in")


def _check_divides(parts: int, shape: Shape) -> None:
    if isinstance(shape.channels, int):
        _check(shape.channels % parts == 0, f"{parts} equal parts of channels are wanted", shape)


def _check_values(norm: Norm, shape: Shape) -> None:
    """Check that there is something to normalise: PyTorch refuses groups of one value."""
    if norm.kind == "groupnorm" and isinstance(shape.channels, int) and isinstance(shape.places, int):
        alone = shape.channels * shape.places == norm.groups
        _check(not alone, "group normalisation takes more than one value a group", shape)


def _check_sizes(one: Shape, other: Shape) -> None:
    """Check that maps are of one size, where sizes are whole."""
    if not (one.smooth or (_same(one.height, other.height) and _same(one.width, other.width))):
        raise MisfitError(_unlike(one, other))


def _same(one: Count, other: Count) -> bool:
    if one is other or isinstance(one, float):
        return True
    if isinstance(one, int) and isinstance(other, int):
        return one == other
    import numpy as np  # noqa: PLC0415 - only arrays need it

    return bool(np.array_equal(one, other))


def _unlike(one: Shape, other: Shape) -> str:
    return f"maps that meet are not alike, {one} and {other}"
