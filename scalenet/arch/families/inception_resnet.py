"""Blocks of Inception-ResNet-v2 (Szegedy et al. 2017, figures 16 to 20), in the form that was published with weights.

Each adds what its paths say, times a constant, to what enters. What brings the map to its grid stands in front of the
first block of a stage. `width` is that of a path's 1×1 convolution, of which all others are multiples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalenet.arch.families.inception import chain
from scalenet.arch.layers import Activation, Branches, Choice, Conv, Layer, Pool, Scale, Sequence
from scalenet.arch.options import Ratio
from scalenet.arch.slots import Slot, residual, scaled

if TYPE_CHECKING:
    from scalenet.arch.layers import Count
    from scalenet.arch.style import Style

Paths = tuple[tuple[str, Layer], ...]


def inception_resnet_a(slot: Slot, *, factor: Ratio = 0.17) -> Layer:
    """1×1, 3×3 and two 3×3 convolutions of ten widths in all; ten widths leave (figures 16 and 3's last part)."""
    style, entering, width = slot.style, slot.in_channels, slot.width
    wide, half = 2 * width, scaled(width, 1.5)
    out = 10 * width
    mixed = (
        ("one", style.conv(entering, 3 * width)),
        ("five", chain(style, entering, (half, 1), (wide, 5))),
        ("three", chain(style, entering, (wide, 1), (3 * width, 3), (3 * width, 3))),
        ("pool", Sequence((("pool", Pool("avg", 3, 1)), *style.conv(entering, wide).layers))),
    )
    paths = (
        ("one", style.conv(out, width)),
        ("three", chain(style, out, (width, 1), (width, 3))),
        ("threes", chain(style, out, (width, 1), (half, 3), (wide, 3))),
    )
    block = _added(style, paths, width + width + wide, out, factor, activated=True)
    fitted = Sequence((("mixed", Branches(mixed, "concat")), ("block", block)))
    return Choice(slot.matches(out), Sequence((("block", block),)), fitted)


def inception_resnet_b(slot: Slot, *, factor: Ratio = 0.1) -> Layer:
    """1×1 and 7×7 convolutions, the latter in two (figure 17), behind a reduction where there is a stride."""
    style, width = slot.style, slot.width
    narrow, middle = scaled(width, 2 / 3), scaled(width, 5 / 6)
    reduced: Paths = (
        ("three", chain(style, slot.in_channels, (2 * width, 3, slot.stride))),
        ("threes", chain(style, slot.in_channels, (2 * narrow, 1), (2 * narrow, 3), (2 * width, 3, slot.stride))),
    )
    entering, reduction = _reduction(slot, reduced, 4 * width)
    paths = (
        ("one", style.conv(entering, width)),
        ("seven", chain(style, entering, (narrow, 1), (middle, (1, 7)), (width, (7, 1)))),
    )
    return Sequence((*reduction, ("block", _added(style, paths, 2 * width, entering, factor, activated=True))))


def inception_resnet_c(slot: Slot, *, factor: Ratio = 0.2, activated: bool = True) -> Layer:
    """1×1 and 3×3 convolutions, the latter in two (figure 19), behind a reduction where there is a stride."""
    style, width = slot.style, slot.width
    middle, wide = scaled(width, 7 / 6), scaled(width, 4 / 3)
    first, half, last = 2 * width, scaled(width, 1.5), scaled(width, 5 / 3)
    reduced: Paths = (
        ("three", chain(style, slot.in_channels, (wide, 1), (first, 3, slot.stride))),
        ("other", chain(style, slot.in_channels, (wide, 1), (half, 3, slot.stride))),
        ("threes", chain(style, slot.in_channels, (wide, 1), (half, 3), (last, 3, slot.stride))),
    )
    entering, reduction = _reduction(slot, reduced, first + half + last)
    paths = (
        ("one", style.conv(entering, width)),
        ("three", chain(style, entering, (width, 1), (middle, (1, 3)), (wide, (3, 1)))),
    )
    return Sequence((*reduction, ("block", _added(style, paths, width + wide, entering, factor, activated=activated))))


def _reduction(slot: Slot, paths: Paths, made: Count) -> tuple[Count, Paths]:
    """Return the channels that enter the block itself, and what stands in front of it where there is a stride."""
    if slot.stride == 1:
        return slot.in_channels, ()
    pool = Pool("max", 3, slot.stride, "valid")
    return slot.in_channels + made, (("reduction", Branches((*paths, ("pool", pool)), "concat")),)


def _added(style: Style, paths: Paths, width: Count, out: Count, factor: float, *, activated: bool) -> Branches:
    """Return paths that leave `width` channels together, brought to `out`, times a factor, plus what enters."""
    main = (
        ("paths", Branches(paths, "concat")),
        ("project", Conv(width, out, 1, 1, width, bias=True)),
        ("times", Scale(out, factor, learned=False)),
    )
    return residual(Sequence(main), activation=Activation(style.activation) if activated else None)
