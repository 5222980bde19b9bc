"""A block with two kernels, written once: scaling, costs, building, schema and tables follow from it.

scalenet reads the options of a block, and how to check them, from the annotations of its keyword-only parameters. They
must therefore be importable when the block is called: keep these imports out of `if TYPE_CHECKING`.
"""

from scalenet.arch.layers import Branches, Layer, Sequence
from scalenet.arch.options import Kernel, Ratio
from scalenet.arch.slots import Slot, linked, scaled


def twin_mbconv(slot: Slot, *, small: Kernel = 3, large: Kernel = 5, expand: Ratio = 4) -> Layer:
    """Inverted bottleneck whose depthwise convolution has two kernels, for a half of the channels each (MixNet).

    `width` is the output's. Tan & Le 2019, "MixConv: Mixed Depthwise Convolutional Kernels", section 3.
    """
    style, half = slot.style, scaled(slot.in_channels, expand / 2)
    near = style.conv(half, half, kernel=small, stride=slot.stride, group_width=1)
    far = style.conv(half, half, kernel=large, stride=slot.stride, group_width=1)
    main = (
        ("expand", style.conv(slot.in_channels, 2 * half)),
        ("mixed", Branches((("near", near), ("far", far)), "concat", "split")),
        ("project", style.conv(2 * half, slot.width, activate=False)),
    )
    return linked(Sequence(main), matches=slot.matches(slot.width))
