"""Blocks of mobile networks: depthwise convolutions between 1×1 ones, and what they are fused to."""

from __future__ import annotations

from scalenet.arch.layers import Layer, Sequence
from scalenet.arch.options import ActivationName, Kernel, Positive, Ratio, Share
from scalenet.arch.slots import Slot, divisible, linked, scaled, squeeze_excite


def mbconv(
    slot: Slot,
    *,
    kernel: Kernel = 3,
    expand: Ratio = 6,
    se: Share = 0,
    multiple_of: Positive | None = None,
    activation: ActivationName | None = None,
) -> Layer:
    """Mobile inverted bottleneck: expand, depthwise, squeeze-excite, project; `width` is the output's.

    The squeeze width is `se` times the block's *input* width, rounded down, at least 1 (MobileNetV2, section 3;
    official EfficientNet code, `MBConvBlock`). There is no expansion when `expand` is 1. With `multiple_of` the
    expanded width is a multiple of it, and so is the squeeze width, a share of the *expanded* width then (MobileNetV3,
    section 5.3). `activation` is the block's own where it is not the network's.
    """
    style = slot.style.with_activation(activation)
    if multiple_of is None:
        inner, squeeze = scaled(slot.in_channels, expand), scaled(slot.in_channels, se)
    else:
        inner = slot.in_channels if expand == 1 else divisible(slot.in_channels, expand, multiple_of)
        squeeze = divisible(inner, se, multiple_of)
    layers: list[tuple[str, Layer]] = []
    if expand != 1:
        layers.append(("expand", style.conv(slot.in_channels, inner)))
    layers.append(("depthwise", style.conv(inner, inner, kernel=kernel, stride=slot.stride, group_width=1)))
    if se:
        layers.append(("se", squeeze_excite(inner, squeeze, style)))
    layers.append(("project", style.conv(inner, slot.width, activate=False)))
    return linked(Sequence(tuple(layers)), matches=slot.matches(slot.width))


def fused_mbconv(slot: Slot, *, kernel: Kernel = 3, expand: Ratio = 4) -> Layer:
    """`mbconv` whose expansion and depthwise convolution are one (EfficientNetV2, figure 2); `width` is the output's.

    When `expand` is 1, that one is all there is, and activated.
    """
    style = slot.style
    if expand == 1:
        main = [("fused", style.conv(slot.in_channels, slot.width, kernel=kernel, stride=slot.stride))]
    else:
        inner = scaled(slot.in_channels, expand)
        main = [
            ("fused", style.conv(slot.in_channels, inner, kernel=kernel, stride=slot.stride)),
            ("project", style.conv(inner, slot.width, activate=False)),
        ]
    return linked(Sequence(tuple(main)), matches=slot.matches(slot.width))


def separable(slot: Slot, *, kernel: Kernel = 3) -> Sequence:
    """Depthwise separable convolution, each half normalised and activated (MobileNetV1, table 1)."""
    style, channels = slot.style, slot.in_channels
    return Sequence(
        (
            ("depthwise", style.conv(channels, channels, kernel=kernel, stride=slot.stride, group_width=1)),
            ("pointwise", style.conv(channels, slot.width)),
        )
    )
