"""The surface: what short and long trainings together say of every candidate, also of those never trained to the end.

Candidates that lie near each other in the triangle of shares are alike, and short trainings order as long ones do, as
far as the trainings themselves say so. Both are one Gaussian process over shares and two budgets: the score of
candidate i at a budget is that budget's mean + its spread × u[i], where u is smooth over the shares but for some
roughness, and u at the short and at the full budget correlate by an `agreement`. How smooth, how rough, how much
agreement and how much spread is not known: each is tried, and weighted by its likelihood.

The surface says whom to train, and how good those may be who were never trained to the end. It never judges those who
were: by itself its bounds hold too rarely (docs/search.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from scalenet.search.answer.layout import fit

if TYPE_CHECKING:
    from numpy.typing import NDArray

LENGTHS = (0.3, 0.7)
"""Lengths over which the surface changes, in shares: the triangle's sides are 1."""

ROUGHNESSES = (0.05, 0.3)
"""Parts of the candidates' variance that no smooth surface has."""

LINEAR = 0.3
"""Part of a plane in the smooth surface, relative to the rest."""

AGREEMENTS = (0.1, 0.5, 0.8, 0.97)
"""Correlations between the short and the full budget."""

SPREADS = (0.05, 0.12, 0.3, 0.7, 1.7, 4.0)
"""Variances of candidates at the full budget, relative to those at the short one: on recorded tasks 0.03 to 4. They are
not measured by themselves: those trained to the end were chosen, and lie close together."""

LEAST_SPREAD = 0.1
"""The least part of the variance of short scores that is the candidates' own."""

NOISES = (0.15, 0.5, 0.85)
"""Parts of noise in the variance of short scores, where no candidate has two trainings."""

MEASURED = 2.5
"""Degrees of freedom from which on noise is measured."""

_FLAT = 100.0  # variance of a budget's mean, relative to that of candidates: next to nothing is known of it
_KEPT = 5  # hypotheses of each spread that the answer is made of; the others have next to no weight

CREDIBLE = 0.1
"""Likelihood of a spread, relative to the likeliest, from which on it may be the true one."""


@dataclass(frozen=True, slots=True)
class Surface:
    """What is expected of candidates at the full budget.

    `means` are relative to the mean of those trained to the end, or of all where none was. `agreement` is the expected
    correlation between the two budgets. The other fields are those of single hypotheses, with their `weights`.
    """

    means: NDArray[np.float64]
    agreement: float
    weights: NDArray[np.float64]
    each: NDArray[np.float64]
    covariances: NDArray[np.float64]
    spreads: NDArray[np.int64]

    def reach(self, candidate: int, errors: float) -> NDArray[np.float64]:
        """Return how far above a candidate each may lie, so many standard errors off, by the worst credible spread.

        How much candidates differ at the full budget is hardly known where few were trained to the end. A mean over
        spreads would take sides.
        """
        groups = np.unique(self.spreads)
        likely = np.array([self.weights[self.spreads == group].max() for group in groups])
        ahead, within = self._ahead(candidate)
        found = []
        for group in groups[likely >= CREDIBLE * likely.max()]:
            inside = self.spreads == group
            weights = self.weights[inside] / self.weights[inside].sum()
            mean = weights @ ahead[inside]
            deviation = np.sqrt(weights @ (within[inside] + (ahead[inside] - mean) ** 2))
            found.append(mean + errors * deviation)
        most: NDArray[np.float64] = np.max(found, axis=0)
        return most

    def deviations(self, candidate: int) -> NDArray[np.float64]:
        """Return the standard deviation of everybody's difference to a candidate."""
        ahead, within = self._ahead(candidate)
        between = (ahead - self.weights @ ahead) ** 2
        found: NDArray[np.float64] = np.sqrt(self.weights @ (within + between))
        return found

    def _ahead(self, candidate: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return by each hypothesis how far everybody is above a candidate, and the variance of that."""
        own = np.diagonal(self.covariances, axis1=1, axis2=2)
        variance = np.maximum(own + own[:, [candidate]] - 2 * self.covariances[:, :, candidate], 0)
        return self.each - self.each[:, [candidate]], variance


@dataclass(frozen=True, slots=True)
class _Budget:
    """Candidates with trainings of one budget: who, their means, how many trainings, and the noise of one if known."""

    who: NDArray[np.int64]
    means: NDArray[np.float64]
    trainings: NDArray[np.int64]
    noise: float | None


def fit_surface(
    shares: NDArray[np.float64],
    short: NDArray[np.float64],
    full: NDArray[np.float64],
    *,
    ratio: float,
    least: float = 0.0,
) -> Surface:
    """Fit the surface to tables of short and full trainings (candidates × seeds, nan where there is none).

    `shares` has a row a candidate: its shares of depth, width and resolution. `ratio` is the short budget over the full
    one. At least two candidates need a short training. `least` is the smallest credible noise, as for the judge.
    """
    budgets = [_budget(short), _budget(full)]
    known = [level for level in (0, 1) if len(budgets[level].who)]
    level = np.concatenate([np.full(len(budgets[one].who), one) for one in known])
    who = np.concatenate([budgets[one].who for one in known])
    values = np.concatenate([budgets[one].means - budgets[one].means.mean() for one in known])
    trainings = np.concatenate([budgets[one].trainings for one in known])

    kernels = _kernels(shares.tobytes(), shares.shape)
    noises, spreads, agreements, kernel = _hypotheses(budgets, kernels, ratio, least)
    scale = np.sqrt(spreads[:, level])
    same = level[:, None] == level
    covariance = kernel[:, who[:, None], who]
    covariance *= np.where(same, 1.0, agreements[:, None, None])
    covariance += _FLAT * same
    covariance *= scale[:, :, None]
    covariance *= scale[:, None, :]
    places = np.arange(len(who))
    noise = noises[:, level] / trainings
    covariance[:, places, places] += noise

    root, white = _whitened(covariance, values, noise)
    likely = -0.5 * (white**2).sum(axis=1) - np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    group = np.searchsorted(np.array(SPREADS), np.round(spreads[:, 1] / spreads[:, 0], 9))
    kept = np.concatenate([_likeliest(likely, np.flatnonzero(group == one)) for one in range(len(SPREADS))])
    weights = np.exp(likely[kept] - likely[kept].max())
    weights /= weights.sum()

    own = np.sqrt(spreads[kept, 1])[:, None, None]
    towards = np.where(level == 1, 1.0, agreements[kept, None])[:, None, :]
    cross = own * scale[kept, None, :] * (towards * kernel[kept][:, :, who] + _FLAT * (level == 1))
    half = np.linalg.solve(root[kept], np.swapaxes(cross, 1, 2))
    each = np.einsum("kni,kn->ki", half, white[kept])
    prior = own**2 * (kernel[kept] + _FLAT)
    return Surface(
        means=weights @ each,
        agreement=float(weights @ agreements[kept]),
        weights=weights,
        each=each,
        covariances=prior - np.swapaxes(half, 1, 2) @ half,
        spreads=group[kept],
    )


def _whitened(
    covariances: NDArray[np.float64], values: NDArray[np.float64], noise: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the Cholesky root of each covariance, and the values divided by it; `noise` is what their diagonals have.

    Divided values are the last row of the root of a matrix with one more row, the values: no second step.
    """
    count, size = covariances.shape[:2]
    wider = np.empty((count, size + 1, size + 1))
    wider[:, :size, :size] = covariances
    wider[:, size, :size] = wider[:, :size, size] = values
    wider[:, size, size] = 1 + 2 * (values @ values) / noise.min(axis=1)  # more than the row's own square
    root = np.linalg.cholesky(wider)
    return root[:, :size, :size], root[:, size, :size]


def _likeliest(likely: NDArray[np.float64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the likeliest of some hypotheses."""
    return places[np.argsort(-likely[places], kind="stable")[:_KEPT]]


def _budget(table: NDArray[np.float64]) -> _Budget:
    trainings = (~np.isnan(table)).sum(axis=1)
    who = np.nonzero(trainings)[0]
    if not len(who):
        return _Budget(who, np.zeros(0), trainings[who], None)
    layout = fit(table)
    freedom = float(layout.freedom.sum())
    noise = float(np.nansum(layout.residuals**2)) / freedom if freedom >= MEASURED else None
    return _Budget(who, layout.means[who], trainings[who], noise)


def _hypotheses(
    budgets: list[_Budget], kernels: NDArray[np.float64], ratio: float, least: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return for every hypothesis the noises and spreads at both budgets, the agreement, and the kernel."""
    short, full = budgets
    size = max(float(np.abs(one.means).max()) for one in budgets if len(one.who))
    floor = max(least**2, (1e-9 * size) ** 2, np.finfo(float).tiny)
    variance = max(float(short.means.var(ddof=1)), floor)
    trainings = float(np.mean(1 / short.trainings))
    guesses = [part * variance for part in NOISES] if short.noise is None else [short.noise]
    found = []
    for guess, spread, agreement in product(guesses, SPREADS, AGREEMENTS):
        own = max(variance - guess * trainings, LEAST_SPREAD * variance)
        noise = guess * ratio if full.noise is None else full.noise  # it falls with the budget
        found.append((max(guess, floor), max(noise, floor), own, spread * own, agreement))
    table = np.repeat(np.array(found), len(kernels), axis=0)
    return table[:, :2], table[:, 2:4], table[:, 4], np.tile(kernels, (len(found), 1, 1))


@lru_cache(maxsize=8)
def _kernels(data: bytes, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the correlations of candidates by their shares, for each length and roughness; their mean is 0."""
    shares = np.frombuffer(data).reshape(shape)
    squares = ((shares[:, None] - shares) ** 2).sum(axis=-1) / 2
    count = len(shares)
    centre = np.eye(count) - 1 / count
    found = []
    for length, rough in product(LENGTHS, ROUGHNESSES):
        smooth = centre @ (np.exp(-squares / 2 / length**2) + LINEAR * shares @ shares.T / 2) @ centre
        found.append((1 - rough) * smooth * count / np.trace(smooth) + rough * np.eye(count))
    return np.array(found)
