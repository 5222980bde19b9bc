"""The judge: what trainings to the end say of candidates, however many trainings each has had.

Which candidate wins, which may be the best as well, and the bound: by how much any may be better than the winner. j may
be the best unless some i lies further above it than `margin[i, j]`, which is Gupta's one-sided range in differences
(see `margins`). If j is better than the winner w, then by no more than margin[w, j] - (mean[w] - mean[j]): the
largest of these is the bound. Both hold together but for the `error`, where nobody looked at the results before (Hsu
1984: multiple comparisons with the best).

Candidates' noise may differ. Variances are drawn to a common one (see `variances`), and where a candidate's own is
larger, its 5 % quantile of t counts instead of the common range: the protection from the one noisy candidate. Few
trainings may look alike by chance, and then tell candidates apart that are not: where noise is foreseen, it counts as
the variance of one candidate more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scalenet.search.answer.layout import fit
from scalenet.search.answer.margins import reach
from scalenet.search.answer.noise import WORTH
from scalenet.search.answer.variances import Shrunk, noisier, pooled, shrink

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalenet.search.answer.layout import Layout

ERROR = 0.05
"""How often a single look may err."""

COLLAPSED = 5.0
"""Standard deviations below candidate + seed from which on a training counts as collapsed."""

HARDLY_KNOWN = 4.0
"""Degrees of freedom with which the deviation is known so badly that it takes twice as many."""

TELLING = 3
"""Degrees of freedom beside collapsed trainings from which on they tell the deviation, and trainings of a seed from
which on they tell its effect."""

FEWEST, FEW = 2, 3
"""Trainings of a candidate from which on one of them can be told to have collapsed: none comes out far too well by
chance, so that of two it is the lower one. Up to so many, all others are held against the highest."""

MOST_COLLAPSED = 1 / 3
"""The largest part of the degrees of freedom that may have collapsed."""

AGREEING = 3
"""Degrees of freedom below which trainings that agree exactly may agree by chance."""

SURE = 200
"""Degrees of freedom from which on a variance counts as known."""

OWN_ERROR = 0.05
"""How often a candidate's own variance may err, where that is larger than the common one says."""

_OWN_FREEDOM = 1.3  # with one degree of freedom a variance of its own would say next to anything
_DIGITS = 1e-12  # below it differences are those of summing
_SPREAD = 1e6  # of variances relative to each other, so that weights stay numbers


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be said, in the units of the table, by the place of each candidate.

    `means` are nan where a candidate was never trained. `over` is how much better than the winner it may be: 0 where it
    is told from the winner, inf where nothing is known of it or of the noise. `tied` candidates may be the best; the
    winner is one of them. `off` is how far each mean may lie off (95 %), by the candidate's own noise. `noise` is the
    standard deviation of one training, nan where it is not known, and `freedom` how many degrees of freedom it was
    measured with. `noisier` candidates have more of it than the others; `collapsed` has the shape of the table.
    """

    winner: int
    means: NDArray[np.float64]
    over: NDArray[np.float64]
    tied: NDArray[np.bool_]
    off: NDArray[np.float64]
    noise: float
    freedom: float
    noisier: NDArray[np.bool_]
    collapsed: NDArray[np.bool_]

    @property
    def bound(self) -> float:
        """By how much any candidate may be better than the winner."""
        return float(self.over.max())


def judge(
    table: NDArray[np.float64],
    *,
    error: float = ERROR,
    least: float = 0.0,
    foreseen: float | None = None,
    winner: int | None = None,
) -> Verdict:
    """Judge candidates (rows) by their trainings to the end (one a seed, nan where there is none).

    At least one training is needed. `least` is the standard deviation below which no noise is credible, such as that of
    rounding to one held-out image; `foreseen` is what one training's is expected to be, None where nothing is. The
    winner is the highest mean, or who is given, one with trainings.
    """
    gone = collapsed(table, foreseen)
    sound = np.where(gone, np.nan, table)
    plain = fit(sound)
    noise = _noise(plain, least, foreseen, float(np.nanmax(np.abs(sound))))
    if noise is None:
        means, margin = plain.means, np.full((len(table), len(table)), np.inf)
        off = np.full(len(table), np.inf)
    else:
        unit = float(np.median(noise.variances))
        weighted = fit(sound, noise.variances / unit) if unit > 0 else plain
        means, margin = weighted.means, np.sqrt(weighted.differences * unit * _reaches(sound, plain, noise, error))
        off = _off(sound, noise)
    best = int(np.nanargmax(means)) if winner is None else winner
    over, tied = _compared(best, means, margin)
    deviation = np.nan if noise is None else np.sqrt(max(pooled(plain.variances(), plain.freedom), least**2))
    noisy = noisier(plain.variances(), plain.freedom)
    return Verdict(best, means, over, tied, off, float(deviation), float(plain.freedom.sum()), noisy, gone)


def collapsed(table: NDArray[np.float64], foreseen: float | None = None) -> NDArray[np.bool_]:
    """Return which trainings are out of all proportion below the others of their candidate and seed.

    Two that collapsed would hide each other in a common deviation. So as many of the lowest residuals count as may be,
    by the deviation of those above them (Rosner 1983), and by the one that is `foreseen`: of few trainings most may
    have collapsed.
    """
    known = ~np.isnan(table)
    left = table - _upper_medians(table)[:, None]
    left = left - np.where(known.sum(axis=0) >= TELLING, _upper_medians(left.T), 0.0)
    trainings = known.sum(axis=1)
    several = trainings >= FEWEST
    ordered = np.sort(left[known & several[:, None]])
    freedom = min(int((trainings[several] - 1).sum()), int(np.count_nonzero(ordered)))
    expected, worth = (0.0, 0.0) if foreseen is None else (foreseen, WORTH)
    told = freedom + worth
    lowest = np.arange(1, int(min(freedom, told * MOST_COLLAPSED, told - TELLING)) + 1)
    rest = told - lowest
    squares = np.cumsum(ordered[::-1] ** 2)[::-1]  # of each residual and those above it
    deviations = np.sqrt((squares[lowest] + worth * expected**2) / rest)
    far = np.flatnonzero(ordered[lowest - 1] < -COLLAPSED * (1 + HARDLY_KNOWN / rest) * deviations)
    if not len(far):
        return np.zeros(table.shape, dtype=bool)
    found: NDArray[np.bool_] = several[:, None] & (left <= ordered[far[-1]])
    return found


def _upper_medians(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of what is known in each row, the higher one of two in the middle; of up to three the highest,
    which those that collapsed do not draw down. nan where nothing is known.
    """
    ordered, known = np.sort(table, axis=1), (~np.isnan(table)).sum(axis=1)  # nan comes last
    middle = np.where(known <= FEW, known - 1, known // 2)
    medians: NDArray[np.float64] = np.take_along_axis(ordered, middle[:, None], axis=1)[:, 0]
    return medians


def _noise(layout: Layout, least: float, foreseen: float | None, size: float) -> Shrunk | None:
    """Return the variances of one training; None where the table, with scores up to this `size`, does not tell them."""
    freedom, variances = layout.freedom, layout.variances()
    total = float(freedom.sum())
    if total < 1:
        return None
    common = pooled(variances, freedom)
    if common <= (_DIGITS * size) ** 2:  # seeds make no difference
        everywhere = np.ones(len(freedom))
        by_chance = total < AGREEING and not least
        return None if by_chance else Shrunk(least**2 * everywhere, total * everywhere)
    if foreseen is None:
        found = shrink(variances, freedom)
    else:
        found = shrink(np.append(variances, foreseen**2), np.append(freedom, WORTH))
    drawn = np.maximum(found.variances, max(least**2, common / _SPREAD))
    return Shrunk(drawn[: len(variances)], found.freedom[: len(variances)])


def _off(table: NDArray[np.float64], noise: Shrunk) -> NDArray[np.float64]:
    """Return how far the mean of each candidate's trainings may lie off; inf without any."""
    from scipy import special  # noqa: PLC0415 - slow to import

    trainings = (~np.isnan(table)).sum(axis=1)
    quantiles = special.stdtrit(np.maximum(noise.freedom, 1), 1 - ERROR / 2)
    found: NDArray[np.float64] = quantiles * np.sqrt(noise.variances / np.maximum(trainings, 1))
    return np.where(trainings > 0, found, np.inf)


def _reaches(table: NDArray[np.float64], layout: Layout, noise: Shrunk, error: float) -> NDArray[np.float64]:
    """Return how many standard errors two candidates may lie apart by chance, squared.

    It is the range by the common noise, or where that is more, each candidate's own t. Of two candidates each counts by
    its share in the variance of their difference.
    """
    from scipy import special  # noqa: PLC0415 - slow to import

    trainings = (~np.isnan(table)).sum(axis=1)
    candidates = max(2, int((trainings > 0).sum()))
    known = np.clip(np.round(noise.freedom), 1, SURE)
    common = np.array([reach(candidates, float(one), error) ** 2 / 2 for one in known])

    variances = np.where(noise.variances > 0, noise.variances, 1.0)
    quantiles = special.stdtrit(np.maximum(layout.freedom, 1), 1 - OWN_ERROR)
    own = np.where(layout.freedom > _OWN_FREEDOM, quantiles**2 * layout.variances() / variances, 0.0)

    part = variances / np.maximum(trainings, 1)
    whole = np.add.outer(part, part)
    shared = [np.add.outer(part * one, part * one) / whole for one in (common, own)]
    found: NDArray[np.float64] = np.maximum(*shared)
    return found


def _compared(
    winner: int, means: NDArray[np.float64], margin: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return how much better than the winner each may be, and who may be the best.

    Of those without a mean nothing is known.
    """
    above = np.nan_to_num(means[:, None] - means, nan=0.0)  # of i over j
    margin = np.where(np.isnan(margin), np.inf, margin)
    tied: NDArray[np.bool_] = np.all(above <= margin, axis=0)
    tied[winner] = True
    over = np.where(tied, np.maximum(margin[winner] - above[winner], 0), 0.0)
    over[winner] = 0
    return over, tied
