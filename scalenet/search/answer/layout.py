"""A table of trainings as candidate + seed + noise, however many trainings each candidate has had.

What a candidate is worth is a fixed effect, what a seed does to all candidates a random one: seeds that only one
candidate has had still say something of it (recovery of inter-block information, Yates 1940). Both are solved together
as weighted least squares with a penalty on the seeds (Henderson 1950), and how large seeds' effects are is found by
restricted maximum likelihood (Patterson & Thompson 1971). Small effects count as more likely beforehand: where one
candidate alone has several seeds, theirs cannot be told from noise, and it is noise. Where all candidates have the same
seeds and they are too few to tell what seeds do, seeds are free: a two-way analysis of variance, of two candidates a
paired t test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED_EFFECTS = (0.01, 0.05, 0.2, 0.5, 2.0, 10.0, 100.0, 1e4)
"""Variances of the seeds' effects that are tried, relative to that of the noise. The largest leaves seeds free."""

_TELLING = 3  # degrees of freedom of a whole table from which on it tells the size of seeds' effects
_LARGE = 2.0  # effects from which on none is less likely beforehand than another


@dataclass(frozen=True, slots=True)
class Layout:
    """What a table says: candidates' means, and what is left of each training.

    `means` are in the table's units, nan for candidates without a training. `covariance` is theirs in units of the
    variance that the fit was weighted by; `differences[i, j]` is that of mean i minus mean j. `residuals` has the shape
    of the table. `freedom` by candidate is how many degrees of freedom its residuals have.
    """

    means: NDArray[np.float64]
    covariance: NDArray[np.float64]
    residuals: NDArray[np.float64]
    freedom: NDArray[np.float64]

    @property
    def differences(self) -> NDArray[np.float64]:
        """The variance of the difference of any two means."""
        own = np.diagonal(self.covariance)
        found: NDArray[np.float64] = np.maximum(own[:, None] + own - 2 * self.covariance, 0)
        return found

    def variances(self) -> NDArray[np.float64]:
        """Return each candidate's own variance of one training; 0 where it has no degree of freedom."""
        squares = np.nansum(self.residuals**2, axis=1)
        found: NDArray[np.float64] = np.where(self.freedom > 1e-6, squares / np.maximum(self.freedom, 1e-6), 0.0)
        return found


def fit(table: NDArray[np.float64], variances: NDArray[np.float64] | None = None) -> Layout:
    """Fit candidate (row) + seed (column) to a table with nan where nothing was trained.

    `variances` of one training by candidate are relative to each other: all alike unless given.
    """
    seen = np.flatnonzero((~np.isnan(table)).any(axis=1))
    used = np.flatnonzero((~np.isnan(table)).any(axis=0))
    cells = table[np.ix_(seen, used)]
    there = ~np.isnan(cells)
    centre = cells[there].mean()  # differences keep their digits
    scores = np.where(there, cells - centre, 0.0)
    weights = there / (np.ones(len(seen)) if variances is None else variances[seen])[:, None]

    # The normal equations of candidates are diagonal: what is left of them is solved for the few seeds.
    of_candidate = weights.sum(axis=1)
    own = (weights * scores).sum(axis=1) / of_candidate
    share = weights / of_candidate[:, None]
    among_seeds = np.diag(weights.sum(axis=0)) - weights.T @ share
    inverses = np.linalg.inv(among_seeds + np.eye(len(used)) / np.array(SEED_EFFECTS)[:, None, None])
    by_seeds = inverses @ (weights * (scores - own[:, None])).sum(axis=0)

    by_candidates = own - by_seeds @ share.T
    residual = np.where(there, scores - by_candidates[:, :, None] - by_seeds[:, None, :], 0.0)
    unexplained = np.maximum((residual * weights * scores).sum(axis=(1, 2)), np.finfo(float).tiny)
    size = len(used) * np.log(SEED_EFFECTS) - np.linalg.slogdet(inverses)[1]
    spare = int(there.sum()) - len(seen)
    unlikely = size + spare * np.log(unexplained)  # -2 log of the restricted likelihood, but for a constant
    best = int(np.argmin(unlikely + 2 * np.log1p(np.minimum(SEED_EFFECTS, _LARGE))))
    if there.all() and 0 < (len(seen) - 1) * (len(used) - 1) < _TELLING:
        best = -1  # seeds are free

    inverse, count = inverses[best], len(table)
    towards = share @ inverse
    between = towards @ share.T
    cross = np.diagonal(inverse) - 2 * towards + np.diagonal(between)[:, None]
    leverage = weights * (1 / of_candidate[:, None] + cross)

    means, covariance, freedom = np.full(count, np.nan), np.full((count, count), np.nan), np.zeros(count)
    means[seen] = centre + by_candidates[best]
    covariance[np.ix_(seen, seen)] = between + np.diag(1 / of_candidate)
    freedom[seen] = np.where(there, np.maximum(1 - leverage, 0), 0).sum(axis=1)
    residuals = np.full(table.shape, np.nan)
    residuals[np.ix_(seen, used)] = np.where(there, residual[best], np.nan)
    return Layout(means, covariance, residuals, freedom)
