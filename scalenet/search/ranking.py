"""Ranking: means over seeds, how sure they are, and which candidates cannot be told from the winner.

All candidates are trained with the same seeds, so the model is additive: accuracy = candidate + seed + noise. The noise
is what is left after both, and Tukey's studentised range says how far two means may lie apart by chance, with the
choice of the best among many taken into account (Tukey 1949).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Standing:
    """A candidate's place by its score, the interval's half width, and whether it ties with the winner.

    `score` is what was ranked, the mean over seeds of accuracy times the candidate's factor.
    """

    name: str
    rank: int
    accuracy: float
    score: float
    interval: float
    tied: bool


@dataclass(frozen=True, slots=True)
class Ranking:
    """The standings, best first, and what is known of the noise.

    `margin` is the distance below the winner within which a candidate is not distinguishable from it at 95 %.
    `noise` is the standard deviation of one training. `seed_correlation` is the mean Spearman correlation between the
    rankings of two seeds, None with a single seed; `noise` and `margin` then come from the number of held-out images
    alone and are too small.
    """

    standings: tuple[Standing, ...]
    margin: float
    noise: float
    seeds: int
    seed_correlation: float | None

    @property
    def winner(self) -> Standing:
        """The candidate with the highest mean."""
        return self.standings[0]

    @property
    def ties(self) -> tuple[Standing, ...]:
        """The other candidates that cannot be told from the winner."""
        return tuple(standing for standing in self.standings[1:] if standing.tied)


def rank(
    accuracies: Mapping[str, Sequence[float]], *, held_out: int | None, factors: Mapping[str, float] | None = None
) -> Ranking:
    """Rank candidates by their mean accuracy; every candidate has one accuracy a seed, in the same order of seeds.

    `held_out` is the number of images that each accuracy (a fraction) was counted on; where it is not known either, one
    seed says nothing of the noise, and the margin is infinite. `factors` by candidate multiply accuracies before they
    are ranked.
    """
    from scipy import stats  # noqa: PLC0415 - slow to import

    names, plain = list(accuracies), np.array(list(accuracies.values()), dtype=np.float64)
    table = plain * np.array([[1.0 if factors is None else factors[name]] for name in names])
    candidates, seeds = table.shape
    means = table.mean(axis=1)
    noise, freedom = _noise(table) if min(candidates, seeds) > 1 else (_counting_noise(plain, held_out), np.inf)
    error = noise / np.sqrt(seeds)
    margin = interval = 0.0
    if candidates > 1:
        margin = float(stats.studentized_range.ppf(CONFIDENCE, candidates, freedom) * error)
        interval = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * error)
    order = sorted(range(candidates), key=lambda number: (-means[number], names[number]))
    best = means[order[0]]
    standings = tuple(
        Standing(
            name=names[number],
            rank=place,
            accuracy=float(plain[number].mean()),
            score=float(means[number]),
            interval=interval,
            tied=bool(best - means[number] <= margin),
        )
        for place, number in enumerate(order, start=1)
    )
    return Ranking(standings, margin, noise, seeds, _correlation(table))


def _noise(table: NDArray[np.float64]) -> tuple[float, float]:
    """Return the standard deviation of one score and its degrees of freedom."""
    residual = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    return float(np.sqrt((residual**2).sum() / freedom)), freedom


def _counting_noise(accuracies: NDArray[np.float64], held_out: int | None) -> float:
    """Return the standard deviation that an accuracy has from the number of images alone, infinite if not known."""
    mean = float(accuracies.mean())
    return float("inf") if held_out is None else float(np.sqrt(mean * (1 - mean) / held_out))


def _correlation(table: NDArray[np.float64]) -> float | None:
    """Return the mean Spearman correlation over pairs of seeds; ties share their mean rank."""
    from scipy import stats  # noqa: PLC0415

    if table.shape[1] < 2 or table.shape[0] < 3:
        return None
    ranks = stats.rankdata(table, axis=0)
    centred = ranks - ranks.mean(axis=0)
    lengths = np.sqrt((centred**2).sum(axis=0))
    unit = centred / np.where(lengths == 0, 1, lengths)  # a seed that ranks nothing agrees with none
    return float(np.mean([unit[:, one] @ unit[:, other] for one, other in combinations(range(table.shape[1]), 2)]))


def agreement(scores: Sequence[float], accuracies: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation of scores with accuracies; None for fewer than three, or all alike."""
    if len(scores) < 3:
        return None
    if len(set(scores)) == 1 or len(set(accuracies)) == 1:
        return None
    return _correlation(np.array([scores, accuracies], dtype=np.float64).T)
