"""Selection of the best: how far below the highest of several means the best candidate may lie by chance.

Gupta's one-sided range is made for the question which of several candidates may be the best (Gupta 1956, 1965; Hsu
1981, 1984). The best is hardest to see where all are equal. Its distance below the highest mean, in standard errors of
a mean, is then M / S: M = max(Z_j - Z_0) over the others, with independent standard normal Z, and S the noise as it was
measured over the noise as it is, a chi with so many degrees of freedom over their root. Over the root of 2 it is the
statistic of Dunnett's one-sided test with groups of one size.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_NORMAL = np.arange(-9, 9, 0.1)
"""Where a normal density is summed: to 1e-15 with this step."""

_EDGES = np.arange(0, 12, 0.02)
"""The cells of M. Beyond the last one is less than 1e-16 of it, and the distance found is right to 1e-4."""


def chance(distance: float, candidates: int, freedom: float) -> float:
    """Return how likely the best of `candidates` lies more than so many standard errors below the highest mean.

    It is so where all are equal, and less likely elsewhere; `freedom` is inf where the noise is known.
    """
    from scipy import special  # noqa: PLC0415 - slow to import

    if math.isinf(freedom):
        return 1 - float(_below(distance, candidates))
    # P(M / S > distance) as the mean over M of P(S < M / distance): smooth for one degree of freedom, too
    with np.errstate(over="ignore"):  # P is 1 where the distance is next to none
        squares = ((_EDGES[:-1] + _EDGES[1:]) / (2 * distance)) ** 2
    return float(_masses(candidates) @ special.gammainc(freedom / 2, freedom / 2 * squares))


@cache
def reach(candidates: int, freedom: float, error: float) -> float:
    """Return how many standard errors below the highest mean the best lies at most, but for such an error."""
    from scipy import optimize, special  # noqa: PLC0415

    # between one other candidate, and the sum of what each of the others may err
    least, most = (-math.sqrt(2) * float(special.stdtrit(freedom, error / others)) for others in (1, candidates - 1))

    def excess(distance: float) -> float:
        return chance(distance, candidates, freedom) - error

    return float(optimize.brentq(excess, 0.99 * least, 1.01 * most, rtol=1e-6))


@cache
def _masses(candidates: int) -> NDArray[np.float64]:
    """Return how likely M lies in each cell."""
    return np.diff(_below(_EDGES, candidates))


def _below(distance: ArrayLike, candidates: int) -> NDArray[np.float64]:
    """Return how likely M is below each distance."""
    from scipy import special  # noqa: PLC0415

    weights = np.exp(-(_NORMAL**2) / 2) / np.exp(-(_NORMAL**2) / 2).sum()
    others: NDArray[np.float64] = special.ndtr(np.add.outer(distance, _NORMAL)) ** (candidates - 1)
    below: NDArray[np.float64] = others @ weights
    return below
