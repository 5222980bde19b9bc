"""Blocks of RepVGG."""

from __future__ import annotations

from scalenet.arch.layers import Activation, Branches, Choice, Layer, Sequence
from scalenet.arch.options import Kernel
from scalenet.arch.slots import Slot


def repvgg(slot: Slot, *, kernel: Kernel = 3) -> Layer:
    """k×k and 1×1 convolutions and, where shapes match, the identity, each normalised, added and activated.

    This is the form that is trained (RepVGG, figure 2 B); one convolution can take its place afterwards.
    """
    style = slot.style
    convs = tuple(
        (name, style.conv(slot.in_channels, slot.width, kernel=size, stride=slot.stride, activate=False))
        for name, size in (("three", kernel), ("one", 1))
    )
    identity = Sequence((("norm", style.normalize(slot.in_channels)),))
    act = Activation(style.activation)
    three = Branches((("identity", identity), *convs), "add", activation=act)
    return Choice(slot.matches(slot.width), three, Branches(convs, "add", activation=act))
