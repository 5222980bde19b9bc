"""Blocks of ConvNeXt."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from scalenet.arch.layers import Activation, Conv, Layer, Scale, Sequence
from scalenet.arch.options import Kernel, Positive
from scalenet.arch.slots import Slot, fronted, residual

Start = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def convnext(slot: Slot, *, kernel: Kernel = 7, expand: Positive = 4, scale: Start = 1e-6) -> Layer:
    """Depthwise, normalisation, 1×1 to `expand` times the width and back, layer scale, shortcut (ConvNeXt, figure 4).

    Where stride or width change, a normalisation and a convolution as wide as its stride stand in front. `scale` is
    where the layer scale starts.
    """
    style, width = slot.style, slot.width
    inner = width * expand
    main = Sequence(
        (
            ("depthwise", Conv(width, width, kernel, 1, 1, bias=True)),
            ("norm", style.normalize(width)),
            ("expand", Conv(width, inner, 1, 1, width, bias=True)),
            ("act", Activation(style.activation)),
            ("project", Conv(inner, width, 1, 1, inner, bias=True)),
            ("scale", Scale(width, scale)),
        )
    )
    down = Conv(slot.in_channels, width, slot.stride, slot.stride, slot.in_channels, bias=True, padding="valid")
    in_front = Sequence((("norm", style.normalize(slot.in_channels)), ("conv", down)))
    return fronted(slot, in_front, residual(main))
