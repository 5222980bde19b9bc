"""Dimensions of many networks, as arrays and drawn at random."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from scalenet.arch.spec import Dimensions


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


def any_dimensions(base: Dimensions, *, widest: int = 320) -> st.SearchStrategy[Dimensions]:
    """Return a strategy for networks of the shape of `base`, with channels in multiples of 8."""
    channels, depths, pixels = st.integers(1, widest // 8).map(lambda n: 8 * n), st.integers(1, 9), st.integers(1, 700)
    return st.builds(
        Dimensions,
        height=pixels,
        width=pixels,
        stem=channels,
        widths=st.tuples(*[channels] * len(base.widths)),
        depths=st.tuples(*[depths] * len(base.depths)),
        head=st.none() if base.head is None else channels,
    )
