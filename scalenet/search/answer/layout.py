"""A table of trainings as candidate + seed + noise, however many trainings each candidate has had.

What a candidate is worth is a fixed effect, what a seed does to all candidates a random one: seeds that only one
candidate has had still say something of it (recovery of inter-block information, Yates 1940). Both are solved together
as weighted least squares with a penalty on the seeds (Henderson 1950), and how large seeds' effects are is found by
restricted maximum likelihood (Patterson & Thompson 1971). Small effects count as more likely beforehand: where one
candidate alone has several seeds, theirs cannot be told from noise, and it is noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED_EFFECTS = (0.01, 0.05, 0.2, 0.5, 2.0, 10.0, 100.0, 1e4)
"""Variances of the seeds' effects that are tried, relative to that of the noise. The largest leaves seeds free."""

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
    row, column = np.nonzero(~np.isnan(table))
    seen, place = np.unique(row, return_inverse=True)
    used, seed = np.unique(column, return_inverse=True)
    centre = table[row, column].mean()  # differences keep their digits
    scores = table[row, column] - centre
    weights = np.ones(len(row)) if variances is None else 1 / variances[row]

    design = np.zeros((len(row), len(seen) + len(used)))
    design[np.arange(len(row)), place] = 1
    design[np.arange(len(row)), len(seen) + seed] = 1
    weighted = design.T * weights
    seeds = np.arange(len(seen), design.shape[1])
    normal = np.repeat((weighted @ design)[None], len(SEED_EFFECTS), axis=0)
    normal[:, seeds, seeds] += 1 / np.array(SEED_EFFECTS)[:, None]

    inverses = np.linalg.inv(normal)
    effects = inverses @ (weighted @ scores)
    residual = scores - effects @ design.T
    unexplained = np.maximum(residual @ (weights * scores), np.finfo(float).tiny)
    size = np.linalg.slogdet(normal)[1] + len(seeds) * np.log(SEED_EFFECTS)
    unlikely = size + (len(row) - len(seen)) * np.log(unexplained)  # -2 log of the restricted likelihood
    best = int(np.argmin(unlikely + 2 * np.log1p(np.minimum(SEED_EFFECTS, _LARGE))))

    inverse, count = inverses[best], len(table)
    means, covariance = np.full(count, np.nan), np.full((count, count), np.nan)
    means[seen] = centre + effects[best, : len(seen)]
    covariance[np.ix_(seen, seen)] = inverse[: len(seen), : len(seen)]
    residuals = np.full(table.shape, np.nan)
    residuals[row, column] = residual[best]
    leverage = np.einsum("ij,jk,ki->i", design, inverse, weighted)
    freedom = np.bincount(row, np.maximum(1 - leverage, 0), count).astype(np.float64)
    return Layout(means, covariance, residuals, freedom)
