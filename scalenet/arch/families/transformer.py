"""Blocks of vision transformers."""

from __future__ import annotations

from scalenet.arch.layers import Activation, Attention, Conv, Layer, Sequence
from scalenet.arch.options import Groups, Positive
from scalenet.arch.slots import Slot, fronted, residual, scaled


def transformer(slot: Slot, *, head_width: Groups = 64, expand: Positive = 4) -> Layer:
    """Attention between all places, then two 1×1 convolutions, each normalised before and with a shortcut.

    Each head of the attention has `head_width` channels, so that wider networks have more heads.

    Pre-norm, as in ViT (Dosovitskiy et al. 2021, figure 1); linear layers over places are 1×1 convolutions here. Where
    stride or width change, a convolution as wide as its stride stands in front.
    """
    style, width = slot.style, slot.width
    inner = width * expand
    mix = Sequence(
        (
            ("norm", style.normalize(width)),
            ("qkv", Conv(width, 3 * width, 1, 1, width, bias=True)),
            ("attention", Attention(scaled(width, 1 / head_width))),
            ("project", Conv(width, width, 1, 1, width, bias=True)),
        )
    )
    feed = Sequence(
        (
            ("norm", style.normalize(width)),
            ("expand", Conv(width, inner, 1, 1, width, bias=True)),
            ("act", Activation(style.activation)),
            ("project", Conv(inner, width, 1, 1, inner, bias=True)),
        )
    )
    down = Conv(slot.in_channels, width, slot.stride, slot.stride, slot.in_channels, bias=True, padding="valid")
    block = Sequence((("mix", residual(mix)), ("feed", residual(feed))))
    return fronted(slot, Sequence((("conv", down),)), block)
