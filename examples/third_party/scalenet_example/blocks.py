"""The fused inverted bottleneck, written once: scaling, costs, building, schema and tables follow from it.

scalenet reads the options of a block, and how to check them, from the annotations of its keyword-only parameters. They
must therefore be importable when the block is called: keep these imports out of `if TYPE_CHECKING`.
"""

from scalenet.arch.layers import Layer, Sequence
from scalenet.arch.options import Kernel, Ratio
from scalenet.arch.slots import Slot, linked, scaled


def fused_mbconv(slot: Slot, *, kernel: Kernel = 3, expand: Ratio = 4) -> Layer:
    """Inverted bottleneck whose expansion is a k×k convolution (EfficientNetV2, figure 2); `width` is the output's.

    Where `expand` is 1 the k×k convolution is the whole block.
    """
    style = slot.style
    if expand == 1:
        main = Sequence((("fused", style.conv(slot.in_channels, slot.width, kernel=kernel, stride=slot.stride)),))
    else:
        inner = scaled(slot.in_channels, expand)
        main = Sequence(
            (
                ("fused", style.conv(slot.in_channels, inner, kernel=kernel, stride=slot.stride)),
                ("project", style.conv(inner, slot.width, activate=False)),
            )
        )
    return linked(main, matches=slot.matches(slot.width))
