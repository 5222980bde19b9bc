"""Blocks of residual networks."""

from __future__ import annotations

from scalenet.arch.layers import Layer, Sequence
from scalenet.arch.options import Groups, Kernel, Positive
from scalenet.arch.slots import Slot, scaled, shortcut


def basic(slot: Slot, *, kernel: Kernel = 3) -> Layer:
    """Two convolutions and a shortcut (ResNet, figure 5 left); `width` is the output's."""
    style, width = slot.style, slot.width
    main = (
        ("conv1", style.conv(slot.in_channels, width, kernel=kernel, stride=slot.stride)),
        ("conv2", style.conv(width, width, kernel=kernel, activate=False)),
    )
    return shortcut(slot, Sequence(main), width)


def bottleneck(slot: Slot, *, kernel: Kernel = 3, expansion: Positive = 4, groups: Groups = 1) -> Layer:
    """1×1, k×k and 1×1 convolutions and a shortcut (ResNet, figure 5 right; grouped: ResNeXt).

    `width` is the inner width; the output has `expansion` times as many channels. The stride stands in the k×k
    convolution ("v1.5", as in torchvision), not in the first 1×1.
    """
    style, inner, out = slot.style, slot.width, slot.width * expansion
    main = (
        ("conv1", style.conv(slot.in_channels, inner)),
        ("conv2", style.conv(inner, inner, kernel=kernel, stride=slot.stride, group_width=scaled(inner, 1 / groups))),
        ("conv3", style.conv(inner, out, activate=False)),
    )
    return shortcut(slot, Sequence(main), out)
