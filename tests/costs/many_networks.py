"""Networks of any block and dimensions of many networks, as arrays and drawn at random."""

from __future__ import annotations

from math import lcm
from typing import Any

import numpy as np
from hypothesis import strategies as st

from scalenet.arch import blocks
from scalenet.arch.layers import IDENTITY, Activation, Branches, Choice, Layer, Pool, Sequence
from scalenet.arch.slots import Slot, squeeze_excite
from scalenet.arch.spec import Dimensions, Model, dimensions
from scalenet.costs.formula import smallest_size


def shortcut_first(slot: Slot) -> Layer:
    """A sum whose first path is the shortcut, which has the channels that enter unless it is a projection."""
    main, link = (slot.style.conv(slot.in_channels, slot.width, kernel=k, stride=slot.stride) for k in (3, 1))
    paths = (("shortcut", Choice(slot.matches(slot.width), IDENTITY, link)), ("main", main))
    return Branches(paths, "add", activation=Activation("gelu"))


def fitted_first(slot: Slot) -> Layer:
    """A convolution that stands before the block only where stride or width change, and a gate behind it."""
    fitting = slot.style.conv(slot.in_channels, slot.width, stride=slot.stride)
    gate = squeeze_excite(slot.width, slot.width, slot.style)
    fit = Choice(slot.matches(slot.width), IDENTITY, fitting)
    return Sequence((("fit", fit), ("gate", gate), ("conv", slot.style.conv(slot.width, slot.width, kernel=3))))


def fitted_last(slot: Slot) -> Layer:
    """What is added ends with a choice, and so does the shortcut: the wider networks pool there."""
    style, width = slot.style, slot.width
    projection = Choice(slot.matches(width), IDENTITY, style.conv(slot.in_channels, width, stride=slot.stride))
    pooled = Choice(width > 8, Pool("max", 3, 1), IDENTITY)  # type: ignore[arg-type]
    main = style.conv(slot.in_channels, width, kernel=3, stride=slot.stride)
    paths = (("main", Sequence((*main.layers, ("end", pooled)))), ("link", Sequence((("one", projection),))))
    return Branches((*paths, ("other", main)), "add")


THIRD_PARTY: dict[str, blocks.Block] = {
    "shortcut_first": shortcut_first,
    "fitted_first": fitted_first,
    "fitted_last": fitted_last,
}
"""Blocks that choose elsewhere than the built-in ones do."""

ANY_BLOCK = [*blocks.BUILT_IN, *THIRD_PARTY]

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "bottleneck": [{}, {"expansion": 1}],
    "mbconv": [{}, {"expand": 1, "se": 0.25}],
    "mnas_conv": [{"skip": "pool"}, {"skip": "none"}, {"se": 0.25}],
    "mnas_mbconv": [{"skip": "pool"}, {}],
    "regnet": [{"group_width": 4}],
    "transformer": [{"head_width": 4}],
    "xception": [{}, {"convs": 2, "widened": "last"}],
}
"""The options that blocks need, or that change where they choose."""

STRIDES = {"inception_a": [1], "inception_resnet_a": [1]}
"""Of blocks that do not stride by themselves."""


@st.composite
def any_model(draw: st.DrawFn, block: str) -> Model:
    """Draw a network of a block whose stages stride or not, and are as wide as what enters or not."""
    options, strides = st.sampled_from(OPTIONS.get(block, [{}])), st.sampled_from(STRIDES.get(block, [1, 2]))
    stages = [
        {"block": block, "depth": depth, "width": draw(multiples(8, 24)), "stride": draw(strides)}
        for depth in (2, 1, 2)
    ]
    return Model.model_validate(
        {
            "resolution": 200,
            "activation": draw(st.sampled_from(["relu", "gelu"])),
            "norm": {"kind": draw(st.sampled_from(["batchnorm", "layernorm"]))},
            "stem": {"kind": "conv", "width": draw(multiples(8, 24)), "kernel": 3, "stride": 1},
            "stages": [stage | draw(options) for stage in stages],
            "head": {"kind": "linear", "classes": 10},
        }
    )


def stack(rows: list[Dimensions]) -> Dimensions:
    """Return the dimensions of many networks as arrays."""
    first, *others = rows
    return first.each(lambda *numbers: np.array(numbers), *others)


def any_dimensions(model: Model, *, widest: int = 320) -> st.SearchStrategy[Dimensions]:
    """Return a strategy for networks of the shape of a model, with channels in multiples of 8 and of its divisors."""
    widths = [
        multiples(lcm(8, divisor), widest) if own else st.just(0)
        for own, divisor in zip(dimensions(model).widths, model.divisors, strict=True)
    ]
    pixels = st.integers(smallest_size(model), 700)
    return st.builds(
        Dimensions,
        depths=st.tuples(*[st.integers(1, 9)] * len(model.stages)),
        widths=st.tuples(*widths),
        size=st.tuples(pixels, pixels),
    )


def multiples(step: int, widest: int) -> st.SearchStrategy[int]:
    """Return a strategy for multiples of a step, up to the widest, or the step itself."""
    return st.integers(1, max(1, widest // step)).map(lambda count: count * step)
