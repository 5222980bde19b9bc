"""Blocks of VGG."""

from __future__ import annotations

from scalenet.arch.layers import Layer, Pool, Sequence
from scalenet.arch.options import Kernel
from scalenet.arch.slots import Slot


def vgg(slot: Slot, *, kernel: Kernel = 3, bias: bool = False) -> Layer:
    """Convolution, normalisation if there is one, activation (VGG, table 1); a stride puts max pooling in front.

    Without normalisation the convolution has a bias in any case.
    """
    conv = slot.style.conv(slot.in_channels, slot.width, kernel=kernel, bias=bias)
    if slot.stride == 1:
        return conv
    return Sequence((("pool", Pool("max", slot.stride, slot.stride, "valid")), *conv.layers))
