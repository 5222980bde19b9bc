"""Blocks of residual networks."""

from __future__ import annotations

from typing import Literal, TypeAlias

from scalenet.arch.layers import Layer, Sequence
from scalenet.arch.options import Groups, Kernel, Positive, Share
from scalenet.arch.slots import Slot, scaled, shortcut, squeeze_excite

Downsample: TypeAlias = Literal["conv", "avgpool"]


def basic(slot: Slot, *, kernel: Kernel = 3) -> Layer:
    """Two convolutions and a shortcut (ResNet, figure 5 left); `width` is the output's."""
    style, width = slot.style, slot.width
    main = (
        ("conv1", style.conv(slot.in_channels, width, kernel=kernel, stride=slot.stride)),
        ("conv2", style.conv(width, width, kernel=kernel, activate=False)),
    )
    return shortcut(slot, Sequence(main), width)


def bottleneck(
    slot: Slot,
    *,
    kernel: Kernel = 3,
    expansion: Positive = 4,
    groups: Groups = 1,
    se: Share | None = None,
    downsample: Downsample | None = None,
) -> Layer:
    """1×1, k×k and 1×1 convolutions and a shortcut (ResNet, figure 5 right; grouped: ResNeXt).

    `width` is the inner width; the output has `expansion` times as many channels. The stride stands in the k×k
    convolution ("v1.5", as in torchvision), not in the first 1×1. `se` is the squeeze's share of the output (SENet,
    figure 3). Where `downsample` is `avgpool`, the projection strides by averages (He et al. 2019, ResNet-D).
    """
    style, inner, out = slot.style, slot.width, slot.width * expansion
    main: list[tuple[str, Layer]] = [
        ("conv1", style.conv(slot.in_channels, inner)),
        ("conv2", style.conv(inner, inner, kernel=kernel, stride=slot.stride, group_width=scaled(inner, 1 / groups))),
        ("conv3", style.conv(inner, out, activate=False)),
    ]
    if se:
        main.append(("se", squeeze_excite(out, scaled(out, se), style)))
    return shortcut(slot, Sequence(tuple(main)), out, averaged=downsample == "avgpool")


def regnet(slot: Slot, *, kernel: Kernel = 3, group_width: Groups = 8, se: Share = 0) -> Layer:
    """1×1, grouped k×k and 1×1 convolutions and a shortcut, all of `width` channels (RegNet, figure 3, `b` = 1).

    A group has `group_width` channels. The squeeze width is `se` times the block's *input* width (RegNetY).
    """
    style, width = slot.style, slot.width
    main: list[tuple[str, Layer]] = [
        ("conv1", style.conv(slot.in_channels, width)),
        ("conv2", style.conv(width, width, kernel=kernel, stride=slot.stride, group_width=group_width)),
    ]
    if se:
        main.append(("se", squeeze_excite(width, scaled(slot.in_channels, se), style)))
    main.append(("conv3", style.conv(width, width, activate=False)))
    return shortcut(slot, Sequence(tuple(main)), width)
