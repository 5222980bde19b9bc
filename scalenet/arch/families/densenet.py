"""Blocks of DenseNet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalenet.arch.layers import IDENTITY, Activation, Branches, Conv, Layer, Pool, Sequence
from scalenet.arch.options import Kernel, Positive
from scalenet.arch.slots import Slot, scaled

if TYPE_CHECKING:
    from scalenet.arch.layers import Count
    from scalenet.arch.style import Style


def dense(slot: Slot, *, kernel: Kernel = 3, bottleneck: Positive = 4) -> Layer:
    """What enters, and `width` new channels behind it (DenseNet-BC, table 1): `width` is the growth rate.

    Each convolution stands behind its normalisation and activation; the first one makes `bottleneck` times the growth
    rate. A stride puts a transition in front: half the channels, and the averages of windows.
    """
    style, channels, growth = slot.style, slot.in_channels, slot.width
    if slot.stride > 1:
        channels = scaled(channels, 0.5)
    inner = growth * bottleneck
    new = Sequence(
        (
            *_normalized(style, channels, "1"),
            ("conv1", Conv(channels, inner, 1, 1, channels)),
            *_normalized(style, inner, "2"),
            ("conv2", Conv(inner, growth, kernel, 1, inner)),
        )
    )
    grown = Branches((("kept", IDENTITY), ("new", new)), "concat")
    if slot.stride == 1:
        return grown
    return Sequence((("transition", _transition(slot, channels)), ("grown", grown)))


def _transition(slot: Slot, channels: Count) -> Sequence:
    conv = Conv(slot.in_channels, channels, 1, 1, slot.in_channels)
    pool = Pool("avg", slot.stride, slot.stride, "valid")
    return Sequence((*_normalized(slot.style, slot.in_channels), ("conv", conv), ("pool", pool)))


def _normalized(style: Style, channels: Count, number: str = "") -> tuple[tuple[str, Layer], ...]:
    return (f"norm{number}", style.normalize(channels)), (f"act{number}", Activation(style.activation))
