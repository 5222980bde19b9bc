"""Blocks of mobile networks: depthwise convolutions between 1×1 ones."""

from __future__ import annotations

from scalenet.arch.layers import Layer, Sequence
from scalenet.arch.options import Kernel, Ratio, Share
from scalenet.arch.slots import Slot, linked, scaled, squeeze_excite


def mbconv(slot: Slot, *, kernel: Kernel = 3, expand: Ratio = 6, se: Share = 0) -> Layer:
    """Mobile inverted bottleneck: expand, depthwise, squeeze-excite, project; `width` is the output's.

    The squeeze width is `se` times the block's *input* width, rounded down, at least 1 (MobileNetV2, section 3;
    official EfficientNet code, `MBConvBlock`). There is no expansion when `expand` is 1.
    """
    style, inner = slot.style, scaled(slot.in_channels, expand)
    layers: list[tuple[str, Layer]] = []
    if expand != 1:
        layers.append(("expand", style.conv(slot.in_channels, inner)))
    layers.append(("depthwise", style.conv(inner, inner, kernel=kernel, stride=slot.stride, group_width=1)))
    if se:
        layers.append(("se", squeeze_excite(inner, scaled(slot.in_channels, se), style)))
    layers.append(("project", style.conv(inner, slot.width, activate=False)))
    return linked(Sequence(tuple(layers)), matches=slot.matches(slot.width))


def separable(slot: Slot, *, kernel: Kernel = 3) -> Sequence:
    """Depthwise separable convolution, each half normalised and activated (MobileNetV1, table 1)."""
    style, channels = slot.style, slot.in_channels
    return Sequence(
        (
            ("depthwise", style.conv(channels, channels, kernel=kernel, stride=slot.stride, group_width=1)),
            ("pointwise", style.conv(channels, slot.width)),
        )
    )
