"""Blocks of SqueezeNet."""

from __future__ import annotations

from scalenet.arch.layers import Branches, Layer, Pool, Sequence
from scalenet.arch.options import Kernel, Share
from scalenet.arch.slots import Slot, scaled


def fire(slot: Slot, *, kernel: Kernel = 3, squeeze: Share = 0.125, three: Share = 0.5) -> Layer:
    """Squeeze to a share of the width, then 1×1 and k×k convolutions side by side (SqueezeNet, figure 1).

    `three` is the k×k convolution's share of the width. A stride puts max pooling of 3×3 windows in front.
    """
    style = slot.style
    inner, large = scaled(slot.width, squeeze), scaled(slot.width, three)
    paths = ("one", style.conv(inner, slot.width - large)), ("three", style.conv(inner, large, kernel=kernel))
    block = Sequence((("squeeze", style.conv(slot.in_channels, inner)), ("expand", Branches(paths, "concat"))))
    if slot.stride == 1:
        return block
    pool = Pool("max", 3, slot.stride, "valid", ceil=True)
    return Sequence((("pool", pool), *block.layers))
