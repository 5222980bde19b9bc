"""Dimensions of many networks, as arrays and drawn at random."""

from __future__ import annotations

from math import lcm
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from scalenet.arch.spec import Dimensions, dimensions
from scalenet.costs.formula import smallest_size

if TYPE_CHECKING:
    from scalenet.arch.spec import Model


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
