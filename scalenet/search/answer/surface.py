"""The surface: what short and long trainings together say of every candidate, also of those never trained to the end.

Candidates that lie near each other in the triangle of shares are alike, and short trainings order as long ones do, as
far as the trainings themselves say so. Both are one Gaussian process over shares and two budgets: the score of
candidate i at a budget is that budget's mean + its spread × u[i], where u is smooth over the shares but for some
roughness, and u at the short and at the full budget correlate by an `agreement`. How smooth, how rough, how much
agreement and how much spread is not known: each is tried, and weighted by its likelihood.

The surface says whom to train, and how good those may be who were never trained to the end. It never judges those who
were: by itself its bounds hold too rarely (docs/search_measured.md).
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
_KEPT = 5  # hypotheses of each group that the answer is made of; the others have next to no weight

CREDIBLE = 0.1
"""Likelihood of a spread, relative to the likeliest, from which on it may be the true one; so of an agreement, where
that is doubted."""


@dataclass(frozen=True, slots=True)
class Surface:
    """What is expected of candidates at the full budget.

    `means` are relative to the mean of those trained to the end, or of all where none was. `agreement` is the expected
    correlation between the two budgets. The other fields are those of single hypotheses, with their `weights`; those
    of one of the `groups` have a spread in common, and where agreement is doubted an agreement.
    """

    means: NDArray[np.float64]
    agreement: float
    weights: NDArray[np.float64]
    each: NDArray[np.float64]
    covariances: NDArray[np.float64]
    groups: NDArray[np.int64]

    def reach(self, candidate: int, errors: float) -> NDArray[np.float64]:
        """Return how far above a candidate each may lie, so many standard errors off, by the worst credible group.

        How much candidates differ at the full budget is hardly known where few were trained to the end. A mean over
        spreads would take sides.
        """
        groups = np.unique(self.groups)
        likely = np.array([self.weights[self.groups == group].max() for group in groups])
        ahead, within = self._ahead(candidate)
        found = []
        for group in groups[likely >= CREDIBLE * likely.max()]:
            inside = self.groups == group
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

    @property
    def centred(self) -> NDArray[np.float64]:
        """The means, less their own mean."""
        found: NDArray[np.float64] = self.means - self.means.sum() / max(1, len(self.means))
        return found

    def least(self, least: float) -> float:
        """Return the smallest variance that is credible, and that numbers of this size have digits for."""
        size = float(np.abs(self.means).max(initial=0.0))
        return max(least**2, (1e-9 * size) ** 2, float(np.finfo(float).tiny))


@dataclass(frozen=True, slots=True)
class _Short:
    """What short trainings say, by each hypothesis of how much noise they have and how smooth the surface is.

    `noises` are the variances of one short training, `spreads` those of candidates, `likely` the log-likelihoods.
    `kernels` are the correlations of candidates before any training, `means` what is expected of their scores after
    the short ones, and `covariances` what is left of the kernels then.
    """

    noises: NDArray[np.float64]
    spreads: NDArray[np.float64]
    likely: NDArray[np.float64]
    kernels: NDArray[np.float64]
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]

    def carried(self) -> NDArray[np.float64]:
        """Return the correlations of candidates at the full budget, by each hypothesis and agreement in turn."""
        agreed = np.square(AGREEMENTS)[:, None, None]
        each = agreed * self.covariances[:, None] + (1 - agreed) * self.kernels[:, None]
        found: NDArray[np.float64] = each.reshape(-1, *self.kernels.shape[1:])
        return found


def fit_surface(
    shares: NDArray[np.float64],
    short: NDArray[np.float64],
    full: NDArray[np.float64],
    *,
    ratio: float,
    least: float = 0.0,
    doubted: bool = False,
) -> Surface:
    """Fit the surface to tables of short and full trainings (candidates × seeds, nan where there is none).

    `shares` has a row a candidate: its shares of depth, width and resolution, or other coordinates of such a scale.
    `ratio` is the short budget over the full one. At least two candidates need a short training. `least` is the
    smallest credible noise, as for the judge. Where agreement is `doubted`, because the few that went on hardly tell
    it, the worst that is credible counts (see `Surface.reach`).
    """
    known = _by_short(shares.tobytes(), shares.shape, short.tobytes(), short.shape, least)
    axes = np.meshgrid(np.arange(len(known.likely)), AGREEMENTS, SPREADS, indexing="ij")
    place, agreements, relative = (axis.ravel() for axis in axes)
    spreads = relative * known.spreads[place]
    means = (agreements * np.sqrt(relative))[:, None] * known.means[place]
    kernels, of_kernel = known.carried() + _FLAT, np.arange(len(place)) // len(SPREADS)

    budget = _budget(full)
    who = budget.who
    noises = known.noises[place] * ratio if budget.noise is None else np.full(len(place), budget.noise)
    noises = np.maximum(noises, budget.least(least))[:, None] / budget.trainings  # without trainings it falls so
    covariances = kernels[:, who[:, None], who][of_kernel] * spreads[:, None, None]
    root, white = _whitened(covariances, budget.centred - means[:, who], noises)
    likely = known.likely[place] + _log_densities(root, white)

    groups = len(SPREADS) * (len(AGREEMENTS) if doubted else 1)
    group = np.arange(len(place)) % groups
    kept = np.concatenate([_likeliest(likely, np.flatnonzero(group == one)) for one in range(groups)])
    weights = np.exp(likely[kept] - likely[kept].max())
    weights /= weights.sum()
    prior = kernels[of_kernel[kept]] * spreads[kept, None, None]
    told, covariances = _told(root[kept], white[kept], prior, who)
    each = means[kept] + told
    return Surface(weights @ each, float(weights @ agreements[kept]), weights, each, covariances, group[kept])


@lru_cache(maxsize=8)
def _by_short(
    shares: bytes, coordinates: tuple[int, ...], table: bytes, shape: tuple[int, ...], least: float
) -> _Short:
    """Return what a table of short trainings says: while a race goes on it stays the same."""
    budget = _budget(np.frombuffer(table).reshape(shape))
    kernels, floor = _kernels(shares, coordinates), budget.least(least)
    variance = max(float(budget.means.var(ddof=1)), floor)
    guesses = np.array([part * variance for part in NOISES] if budget.noise is None else [budget.noise])
    own = np.maximum(variance - guesses * np.mean(1 / budget.trainings), LEAST_SPREAD * variance)

    noises, spreads = (np.repeat(one, len(kernels)) for one in (np.maximum(guesses, floor), own))
    kernels = np.tile(kernels, (len(guesses), 1, 1))
    prior = (kernels + _FLAT) * spreads[:, None, None]
    who, scores = budget.who, np.tile(budget.centred, (len(noises), 1))
    root, white = _whitened(prior[:, who[:, None], who], scores, noises[:, None] / budget.trainings)
    cross = kernels * spreads[:, None, None]  # the budgets' means have nothing to do with each other
    means, covariances = _told(root, white, cross, who)
    likely = _log_densities(root, white)
    return _Short(noises, spreads, likely, kernels, means, covariances / spreads[:, None, None])


def _whitened(
    covariances: NDArray[np.float64], values: NDArray[np.float64], noises: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the Cholesky root of each covariance with its noises, and the values divided by it.

    Divided values are the last row of the root of a matrix with one more row, the values: no second step.
    """
    count, size = values.shape
    wider, places = np.empty((count, size + 1, size + 1)), np.arange(size)
    wider[:, :size, :size] = covariances
    wider[:, places, places] += noises
    wider[:, size, :size] = wider[:, :size, size] = values
    squares = (values**2).sum(axis=1)
    wider[:, size, size] = 1 + 2 * squares / noises.min(axis=1, initial=np.inf)  # more than the row's own square
    root = np.linalg.cholesky(wider)
    return root[:, :size, :size], root[:, size, :size]


def _log_densities(root: NDArray[np.float64], white: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log-density of values, but for a constant."""
    sizes = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    found: NDArray[np.float64] = -0.5 * (white**2).sum(axis=1) - sizes
    return found


def _told(
    root: NDArray[np.float64], white: NDArray[np.float64], prior: NDArray[np.float64], who: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what values of some candidates say of the mean of all, and the covariance that is left."""
    half = np.linalg.solve(root, prior[:, who])
    return np.einsum("kni,kn->ki", half, white), prior - np.swapaxes(half, 1, 2) @ half


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


@lru_cache(maxsize=8)
def _kernels(data: bytes, shape: tuple[int, ...]) -> NDArray[np.float64]:
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
