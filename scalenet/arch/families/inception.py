"""Blocks of Inception-v3 (Szegedy et al. 2016, figures 5 to 7 and 10), in the form that was published with weights.

Each is a set of paths side by side. A stride puts the reduction in front that leads to its grid of places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalenet.arch.layers import Branches, Layer, Pool, Sequence
from scalenet.arch.options import Ratio
from scalenet.arch.slots import Slot, scaled

if TYPE_CHECKING:
    from scalenet.arch.layers import Count, Padding, Sides
    from scalenet.arch.style import Style


def inception_stem(slot: Slot) -> Sequence:
    """The layers before the first block (table 1): `width` is that of the last convolution."""
    style, width = slot.style, slot.width
    sixth, third, late = scaled(width, 1 / 6), scaled(width, 1 / 3), scaled(width, 5 / 12)
    pool = Pool("max", 3, 2, "valid")
    return Sequence(
        (
            ("conv1", _conv(style, slot.in_channels, sixth, 3, 2)),
            ("conv2", style.conv(sixth, sixth, kernel=3, padding="valid")),
            ("conv3", style.conv(sixth, third, kernel=3)),
            ("pool1", pool),
            ("conv4", style.conv(third, late)),
            ("conv5", style.conv(late, width, kernel=3, padding="valid")),
            ("pool2", pool),
        )
    )


def inception_a(slot: Slot, *, pool: Ratio = 1) -> Layer:
    """1×1, 5×5 and two 3×3 convolutions, and the mean of windows; `width` is the 1×1's, `pool` a multiple of it."""
    style, entering, width = slot.style, slot.in_channels, slot.width
    paths = (
        ("one", style.conv(entering, width)),
        ("five", chain(style, entering, (scaled(width, 0.75), 1), (width, 5))),
        ("three", chain(style, entering, (width, 1), (scaled(width, 1.5), 3), (scaled(width, 1.5), 3))),
        ("pool", _averaged(style, entering, scaled(width, pool))),
    )
    return Branches(paths, "concat")


def inception_c(slot: Slot, *, inner: Ratio = 1) -> Layer:
    """1×1, 7×7 and two 7×7 convolutions, each of those in two, and the mean of windows: `width` channels each.

    `inner` is the share of the width that the 7×7 convolutions have within.
    """
    style, width, narrow = slot.style, slot.width, scaled(slot.width, inner)
    entering = slot.in_channels
    reduction: tuple[tuple[str, Layer], ...] = ()
    if slot.stride > 1:
        third, half = scaled(width, 1 / 3), scaled(width, 0.5)
        reduced = Branches(
            (
                ("three", _conv(style, entering, 2 * width, 3, slot.stride)),
                ("threes", chain(style, entering, (third, 1), (half, 3), (half, 3, slot.stride))),
                ("pool", Pool("max", 3, slot.stride, "valid")),
            ),
            "concat",
        )
        reduction = (("reduction", reduced),)
        entering = entering + 2 * width + half
    paths = (
        ("one", style.conv(entering, width)),
        ("seven", chain(style, entering, (narrow, 1), (narrow, (1, 7)), (width, (7, 1)))),
        (
            "sevens",
            chain(style, entering, (narrow, 1), (narrow, (7, 1)), (narrow, (1, 7)), (narrow, (7, 1)), (width, (1, 7))),
        ),
        ("pool", _averaged(style, entering, width)),
    )
    return _behind(reduction, Branches(paths, "concat"))


def inception_e(slot: Slot) -> Layer:
    """1×1 convolution, 1×3 beside 3×1 twice, and the mean of windows; `width` is that of each 1×3 and 3×1."""
    style, width, half = slot.style, slot.width, scaled(slot.width, 0.5)
    entering = slot.in_channels
    reduction: tuple[tuple[str, Layer], ...] = ()
    if slot.stride > 1:
        last = scaled(width, 5 / 6)
        sevens = chain(style, entering, (half, 1), (half, (1, 7)), (half, (7, 1)), (half, 3, slot.stride))
        reduced = Branches(
            (
                ("three", chain(style, entering, (half, 1), (last, 3, slot.stride))),
                ("sevens", sevens),
                ("pool", Pool("max", 3, slot.stride, "valid")),
            ),
            "concat",
        )
        reduction = (("reduction", reduced),)
        entering = entering + last + half
    sides = Branches(
        (("wide", _conv(style, width, width, (1, 3), 1)), ("tall", _conv(style, width, width, (3, 1), 1))), "concat"
    )
    threes = chain(style, entering, (scaled(width, 7 / 6), 1), (width, 3))
    paths = (
        ("one", style.conv(entering, scaled(width, 5 / 6))),
        ("three", Sequence((("first", style.conv(entering, width)), ("sides", sides)))),
        ("threes", Sequence((*threes.layers, ("sides", sides)))),
        ("pool", _averaged(style, entering, half)),
    )
    return _behind(reduction, Branches(paths, "concat"))


def _behind(first: tuple[tuple[str, Layer], ...], block: Layer) -> Layer:
    return Sequence((*first, ("mixed", block))) if first else block


def _averaged(style: Style, entering: Count, width: Count) -> Sequence:
    """Return the means of 3×3 windows, padding counted as in the published networks, and a 1×1 convolution."""
    pool = Pool("avg", 3, 1, counts_padding=True)
    return Sequence((("pool", pool), *style.conv(entering, width).layers))


def chain(style: Style, entering: Count, *convs: tuple[Count, Sides] | tuple[Count, Sides, int]) -> Sequence:
    """Return convolutions one after another, given as width, kernel and, where it is not 1, stride.

    One that strides reads no padding.
    """
    layers: list[tuple[str, Layer]] = []
    for name, (width, kernel, *stride) in zip(("first", "second", "third", "fourth", "fifth"), convs, strict=False):
        layers.append((name, _conv(style, entering, width, kernel, *stride or (1,))))
        entering = width
    return Sequence(tuple(layers))


def _conv(style: Style, entering: Count, width: Count, kernel: Sides, stride: int) -> Sequence:
    """Return a convolution; one that strides reads no padding."""
    padding: Padding | None = None if stride == 1 else "valid"
    return style.conv(entering, width, kernel=kernel, stride=stride, padding=padding)
