"""Blocks of MnasNet's search space: a convolution of three kinds, squeeze-excite, and a skip of three kinds.

Tan et al. 2019 ("MnasNet", section 4.1) list the choices and leave details open. Here squeeze widths are shares of the
block's *input* width, as in `mbconv`, and a pooled skip is a 3×3 average at the block's stride, where widths are equal.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from scalenet.arch.layers import Choice, Layer, Pool, Sequence
from scalenet.arch.options import Kernel, Ratio, Share
from scalenet.arch.slots import Slot, linked, residual, scaled, squeeze_excite

Skip: TypeAlias = Literal["identity", "pool", "none"]


def mnas_conv(slot: Slot, *, kernel: Kernel = 3, se: Share = 0, skip: Skip = "identity") -> Layer:
    """A regular convolution, normalised and activated; `width` is the output's."""
    conv = slot.style.conv(slot.in_channels, slot.width, kernel=kernel, stride=slot.stride)
    layers: list[tuple[str, Layer]] = [("conv", conv)]
    if se:
        layers.append(("se", squeeze_excite(slot.width, scaled(slot.in_channels, se), slot.style)))
    return _skipped(slot, Sequence(tuple(layers)), skip)


def mnas_separable(slot: Slot, *, kernel: Kernel = 3, se: Share = 0, skip: Skip = "identity") -> Layer:
    """A depthwise convolution and a projection that is not activated: `mnas_mbconv` without expansion."""
    return mnas_mbconv(slot, kernel=kernel, expand=1, se=se, skip=skip)


def mnas_mbconv(slot: Slot, *, kernel: Kernel = 3, expand: Ratio = 6, se: Share = 0, skip: Skip = "identity") -> Layer:
    """Mobile inverted bottleneck: expand, depthwise, squeeze-excite, project; `width` is the output's."""
    style, inner = slot.style, scaled(slot.in_channels, expand)
    layers: list[tuple[str, Layer]] = []
    if expand != 1:
        layers.append(("expand", style.conv(slot.in_channels, inner)))
    layers.append(("depthwise", style.conv(inner, inner, kernel=kernel, stride=slot.stride, group_width=1)))
    if se:
        layers.append(("se", squeeze_excite(inner, scaled(slot.in_channels, se), style)))
    layers.append(("project", style.conv(inner, slot.width, activate=False)))
    return _skipped(slot, Sequence(tuple(layers)), skip)


def _skipped(slot: Slot, main: Sequence, skip: Skip) -> Layer:
    """Return `main` with its skip, where shapes allow one."""
    alone = Sequence((("main", main),))
    if skip == "identity":
        return linked(main, matches=slot.matches(slot.width))
    if skip == "none":
        return alone
    same_width = slot.in_channels is slot.width or slot.in_channels == slot.width
    return Choice(same_width, residual(main, Pool("avg", 3, slot.stride)), alone)
