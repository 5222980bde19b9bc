"""Variances of single candidates, drawn to a common one by as much as they agree.

Four trainings say little of one candidate's noise, and a pooled variance says too little of a candidate whose noise is
another. In between: variances of candidates scatter around a common one as a scaled inverse chi-squared with so many
degrees of freedom that those which were measured scatter as a scaled F (Smyth 2004, as in limma). Both are found by
maximum likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PRIOR_FREEDOMS = np.array([2.0, 3.0, 5.0, 8.0, 16.0, 40.0, np.inf])
"""What is tried: 2 lets every candidate have a noise of its own, inf gives all the same."""

PRIOR_SHARES = np.array([0.2, 0.3, 0.45, 0.65, 0.8, 1.0])
"""Common variances that are tried, relative to the pooled one: a few noisy candidates raise that."""

LEAST_FREEDOM = 0.3
"""Candidates with fewer degrees of freedom say nothing of their variance."""

FALSE_ALARMS = 0.05
"""How often a candidate is called noisier than the others where all are alike."""


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The variance of one training by candidate, and its degrees of freedom."""

    variances: NDArray[np.float64]
    freedom: NDArray[np.float64]


def pooled(variances: NDArray[np.float64], freedom: NDArray[np.float64]) -> float:
    """Return the common variance of all candidates, weighted by their degrees of freedom; nan without any."""
    total = freedom.sum()
    return float(variances @ freedom / total) if total > 0 else np.nan


def shrink(variances: NDArray[np.float64], freedom: NDArray[np.float64]) -> Shrunk:
    """Draw own variances to a common one; at least one of them must be above 0 and have a degree of freedom."""
    told = freedom > LEAST_FREEDOM
    own, known = np.where(told, variances, 0.0), np.where(told, freedom, 0.0)
    total = float(known.sum())
    common = pooled(own, known)
    prior_freedom, share = _most_likely(own[told] / common, known[told])
    if np.isinf(prior_freedom):
        everywhere = np.ones(len(variances))
        return Shrunk(common * everywhere, total * everywhere)
    prior = common * share
    drawn = (prior_freedom * prior + known * own) / (prior_freedom + known)
    return Shrunk(drawn, np.minimum(prior_freedom + known, total))


def _most_likely(ratios: NDArray[np.float64], freedom: NDArray[np.float64]) -> tuple[float, float]:
    """Return the degrees of freedom of the prior and its share of the pooled variance."""
    finite = PRIOR_FREEDOMS[np.isfinite(PRIOR_FREEDOMS)]
    likely = log_likelihood(ratios, freedom, finite[:, None, None], PRIOR_SHARES[:, None]).sum(axis=-1)
    alike = float(log_likelihood(ratios, freedom, np.inf, 1.0).sum())
    best = np.unravel_index(np.argmax(likely), likely.shape)
    if alike >= likely[best]:
        return np.inf, 1.0
    return float(finite[best[0]]), float(PRIOR_SHARES[best[1]])


def log_likelihood(
    variances: NDArray[np.float64],
    freedom: NDArray[np.float64],
    prior_freedom: NDArray[np.float64] | float,
    prior_variance: NDArray[np.float64] | float,
) -> NDArray[np.float64]:
    """Return the log-density of each measured variance: a scaled F, or a scaled chi-squared for an infinite prior."""
    from scipy import special  # noqa: PLC0415 - slow to import

    ratio, half = np.maximum(variances / prior_variance, 1e-9), freedom / 2
    shape = (half - 1) * np.log(ratio) - np.log(prior_variance)
    if np.isinf(prior_freedom).any():
        found = half * np.log(half) - special.gammaln(half) + shape - half * ratio
    else:
        prior = np.asarray(prior_freedom) / 2
        scale = half * np.log(half / prior) - special.betaln(half, prior)
        found = scale + shape - (half + prior) * np.log1p(half / prior * ratio)
    density: NDArray[np.float64] = found
    return density


def noisier(variances: NDArray[np.float64], freedom: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which candidates are noisier than the others together, by an F test of each (Bonferroni at 5 %)."""
    from scipy import special  # noqa: PLC0415

    told = freedom > 1
    sums = np.where(told, variances * freedom, 0.0)
    others, rest = sums.sum() - sums, np.where(told, freedom, 0.0).sum() - freedom
    tested = told & (rest > 1) & (others > 0)
    mean = np.where(tested, others / np.maximum(rest, 1), 1.0)
    tail = special.fdtrc(np.maximum(freedom, 1), np.maximum(rest, 1), variances / mean)
    found: NDArray[np.bool_] = tested & (tail < FALSE_ALARMS / max(1, int(tested.sum())))
    return found
