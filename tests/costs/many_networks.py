"""Dimensions of many networks, as arrays and drawn at random."""

from __future__ import annotations

from math import lcm
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from scalenet.arch.spec import Dimensions, dimensions
from scalenet.scaling.resolutions import smallest_size

if TYPE_CHECKING:
    from scalenet.arch.spec import Model


def stack(rows: list[Dimensions]) -> Dimensions:
    """Return the dimensions of many networks as arrays."""
    return Dimensions(
        height=np.array([row.height for row in rows]),
        width=np.array([row.width for row in rows]),
        stem=np.array([row.stem for row in rows]),
        widths=tuple(np.array(widths) for widths in zip(*(row.widths for row in rows), strict=True)),
        depths=tuple(np.array(depths) for depths in zip(*(row.depths for row in rows), strict=True)),
        head=None if rows[0].head is None else np.array([row.head for row in rows]),
    )


def any_dimensions(model: Model, *, widest: int = 320) -> st.SearchStrategy[Dimensions]:
    """Return a strategy for networks of the shape of a model, with channels in multiples of 8 and of its divisors."""
    base = dimensions(model)
    channels, depths, pixels = multiples(8, widest), st.integers(1, 9), st.integers(smallest_size(model), 700)
    return st.builds(
        Dimensions,
        height=pixels,
        width=pixels,
        stem=channels,
        widths=st.tuples(*(multiples(lcm(8, stage.divisor), widest) for stage in model.stages)),
        depths=st.tuples(*[depths] * len(base.depths)),
        head=st.none() if base.head is None else channels,
    )


def multiples(step: int, widest: int) -> st.SearchStrategy[int]:
    """Return a strategy for multiples of a step, up to the widest, or the step itself."""
    return st.integers(1, max(1, widest // step)).map(lambda count: count * step)
