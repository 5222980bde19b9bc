"""Blocks of Xception (Chollet 2017, figure 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from scalenet.arch.layers import IDENTITY, Activation, Choice, Conv, Layer, Pool, Sequence
from scalenet.arch.options import Kernel, Positive
from scalenet.arch.slots import Slot, residual

if TYPE_CHECKING:
    from scalenet.arch.layers import Count
    from scalenet.arch.style import Style


def xception(
    slot: Slot, *, kernel: Kernel = 3, convs: Positive = 3, widened: Literal["first", "last"] = "first"
) -> Layer:
    """`convs` depthwise separable convolutions, each activated before, and a shortcut; `width` is the output's.

    The first or the last of them changes the width. A stride is that of the max pooling behind them and of the
    projection beside them.
    """
    style, width = slot.style, slot.width
    main: list[tuple[str, Layer]] = []
    entering = slot.in_channels
    for number in range(1, convs + 1):
        leaving = width if widened == "first" or number == convs else entering
        main.append((f"act{number}", Activation(style.activation)))
        main.append((f"conv{number}", _separated(style, entering, leaving, kernel, activate=False)))
        entering = leaving
    if slot.stride > 1:
        main.append(("pool", Pool("max", 3, slot.stride)))
    projection = style.conv(slot.in_channels, width, stride=slot.stride, activate=False)
    return residual(Sequence(tuple(main)), Choice(slot.matches(width), IDENTITY, projection))


def separated(slot: Slot, *, kernel: Kernel = 3) -> Sequence:
    """Depthwise and pointwise convolution with nothing between them, normalised and activated behind."""
    return _separated(slot.style, slot.in_channels, slot.width, kernel, stride=slot.stride)


def _separated(
    style: Style, entering: Count, width: Count, kernel: int, *, stride: int = 1, activate: bool = True
) -> Sequence:
    depthwise = Conv(entering, entering, kernel, stride, 1, padding=style.padding)
    return Sequence((("depthwise", depthwise), *style.conv(entering, width, activate=activate).layers))
