"""Where a block stands, and the forms that blocks of many families are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from scalenet.arch.layers import (
    IDENTITY,
    Activation,
    Branches,
    Choice,
    Conv,
    Count,
    DropPath,
    GlobalPool,
    Layer,
    Mask,
    Pool,
    Sequence,
)

if TYPE_CHECKING:
    from scalenet.arch.style import Style


_NOISE = 5e-10


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a block stands: the channels that come in, its stage's width, its stride, and the network's style.

    A stem's slot has the images' height and width, `pixels`, too.
    """

    in_channels: Count
    width: Count
    stride: int
    style: Style
    pixels: tuple[Count, Count] = (0, 0)

    def matches(self, out_channels: Count) -> Mask:
        """Return whether input and output have the same shape."""
        return self.stride == 1 and (self.in_channels is out_channels or self.in_channels == out_channels)


def squeeze_excite(channels: Count, squeeze: Count, style: Style) -> Branches:
    """Return a gate from the channels' means through `squeeze` channels (SENet; 1×1 convolutions with bias)."""
    branch = (
        ("pool", GlobalPool(style.squeeze_excite.pool)),
        ("reduce", Conv(channels, squeeze, 1, 1, channels, bias=True)),
        ("act", Activation(style.squeeze_excite.activation or style.activation)),
        ("expand", Conv(squeeze, channels, 1, 1, squeeze, bias=True)),
        ("gate", Activation(style.squeeze_excite.gate)),
    )
    return Branches((("input", IDENTITY), ("branch", Sequence(branch))), "multiply")


def shortcut(slot: Slot, main: Sequence, out_channels: Count, *, averaged: bool = False) -> Branches:
    """Return `main` plus the identity, or a 1×1 projection where the shape changes, then activated.

    The projection strides; where it is `averaged`, averages over the stride's squares stand before it instead.
    """
    pooled = averaged and slot.stride > 1
    projection = slot.style.conv(slot.in_channels, out_channels, stride=1 if pooled else slot.stride, activate=False)
    if pooled:
        pool = Pool("avg", slot.stride, slot.stride, padding="valid", ceil=True)
        projection = Sequence((("pool", pool), *projection.layers))
    link = Choice(slot.matches(out_channels), IDENTITY, projection)
    return residual(main, link, activation=Activation(slot.style.activation))


def linked(main: Sequence, *, matches: Mask) -> Layer:
    """Return `main` plus the identity where shapes match, and `main` alone elsewhere."""
    return Choice(matches, residual(main), Sequence((("main", main),)))


def residual(main: Sequence, link: Layer = IDENTITY, *, activation: Activation | None = None) -> Branches:
    """Return `main`, which stochastic depth may drop, plus a shortcut, the identity unless given."""
    dropped = Sequence((*main.layers, ("drop_path", DropPath())))
    return Branches((("main", dropped), ("shortcut", link)), "add", activation=activation)


def fronted(slot: Slot, front: Sequence, block: Layer) -> Layer:
    """Return a block with what brings the map to its shape `front` of it, where stride or width change."""
    changed = Sequence((("front", front), ("block", block)))
    return Choice(slot.matches(slot.width), Sequence((("block", block),)), changed)


def scaled(channels: Count, ratio: float) -> Count:
    """Return `channels` × `ratio` rounded down, at least 1, as the official code's squeeze widths are.

    Noise below 5e-10 makes nothing less: 0.29 × 100 is 28.999999999999996 in binary. A `float` is not rounded.
    """
    if ratio == int(ratio):
        return channels * int(ratio)
    if isinstance(channels, float):
        return channels * ratio
    if isinstance(channels, int):
        return max(1, int(channels * ratio + _NOISE))
    import numpy as np  # noqa: PLC0415 - only arrays need it

    return cast("Count", np.maximum(1, np.floor(channels * ratio + _NOISE)))


def divisible(channels: Count, ratio: float, divisor: int) -> Count:
    """Return the multiple of `divisor` nearest to `channels` × `ratio`, the next one where that loses a tenth.

    MobileNet's official `make_divisible`. A `float` is not rounded.
    """
    if isinstance(channels, float):
        return channels * ratio
    import numpy as np  # noqa: PLC0415 - loading the registry does without it

    target = np.round(channels * ratio, 9)
    nearest = np.maximum(divisor, np.floor(target / divisor + 0.5) * divisor)
    rounded = np.where(nearest < 0.9 * target, nearest + divisor, nearest)
    return int(rounded) if isinstance(channels, int) else cast("Count", rounded)
