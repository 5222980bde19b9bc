"""Blocks of ShuffleNetV2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from scalenet.arch.layers import IDENTITY, Branches, Choice, Layer, Sequence, Shuffle
from scalenet.arch.options import Divides, Kernel
from scalenet.arch.slots import Slot, scaled

if TYPE_CHECKING:
    from scalenet.arch.layers import Count

Halves = Annotated[Literal[2], Divides]
"""The width is split into so many equal parts."""


def shuffle(slot: Slot, *, kernel: Kernel = 3, parts: Halves = 2) -> Layer:
    """One half of the channels as it is, the other through a depthwise block, then shuffled (ShuffleNetV2, figure 3).

    Where stride or width change, both halves are made of all channels that come in.
    """
    style, channels, half = slot.style, slot.in_channels, scaled(slot.width, 1 / parts)

    def depthwise(width: Count, stride: int) -> Sequence:
        return style.conv(width, width, kernel=kernel, stride=stride, group_width=1, activate=False)

    def made(entering: Count) -> Sequence:
        first, last = style.conv(entering, half), style.conv(half, half)
        return Sequence((("expand", first), ("depthwise", depthwise(half, slot.stride)), ("project", last)))

    left = Sequence((("depthwise", depthwise(channels, slot.stride)), ("project", style.conv(channels, half))))
    from_all = Branches((("left", left), ("right", made(channels))), "concat")
    from_half = Branches((("left", IDENTITY), ("right", made(half))), "concat", take="split")
    halves = Choice(slot.matches(slot.width), from_half, from_all)
    return Sequence((("halves", halves), ("shuffle", Shuffle(parts))))
