"""Ranking: means over seeds, how sure they are, and which candidates cannot be told from the winner.

In a rung all candidates are trained with the same seeds, so the model is additive: accuracy = candidate + seed + noise.
The noise is what is left after both, and Tukey's studentised range says how far two means may lie apart by chance, with
the choice of the best among many taken into account (Tukey 1949). Who was dropped early is compared with the winner in
the last rung that both were in, by that rung's own noise. A rung errs only where the best lies below another by more
than the range, one side of what the range is made for: half of 5 % for two candidates and less for more, so that the
errors of several rungs add up to less than 5 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

CONFIDENCE = 0.95

MOST_SEEDS = 50
"""Where more additional seeds than this would be needed, none are suggested."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A candidate's place by its score, the interval's half width, and whether it ties with the winner.

    `score` is what was ranked: the mean, over the `seeds` of the last `rung` (from 0) that the candidate was in, of
    accuracy times its factor. `seeds_to_part` of a tied candidate is how many seeds more than the last rung has, for
    all that tie, would tell it from the winner if its distance stayed, in units of noise (points shrink as budgets
    grow); None where they are more than MOST_SEEDS or the noise is not known, for those that do not tie, and for the
    winner.
    """

    name: str
    rank: int
    accuracy: float
    score: float
    interval: float
    tied: bool
    rung: int
    seeds: int
    seeds_to_part: int | None


@dataclass(frozen=True, slots=True)
class Ranking:
    """The standings, best first, and what is known of the noise.

    `margin` is the distance below the winner within which a candidate of the last rung is not distinguishable from it
    at 95 %, and `noise` the standard deviation of one training there. `seed_correlation` is the mean Spearman
    correlation between the rankings of two seeds in the first rung, which has all candidates (those of the last lie
    close together, and say little of the search); None with one seed or two candidates. With a single seed `noise` and
    `margin` come from the number of held-out images alone and are too small.
    """

    standings: tuple[Standing, ...]
    margin: float
    noise: float
    seeds: int
    seed_correlation: float | None

    @property
    def winner(self) -> Standing:
        """The candidate with the highest mean in the last rung."""
        return self.standings[0]

    @property
    def ties(self) -> tuple[Standing, ...]:
        """The other candidates that cannot be told from the winner."""
        return tuple(standing for standing in self.standings[1:] if standing.tied)


@dataclass(frozen=True, slots=True)
class _Layout:
    """What a rung says: means by candidate, the noise of one score with its degrees of freedom, and how seeds agree."""

    accuracies: dict[str, float]
    scores: dict[str, float]
    seeds: int
    noise: float
    freedom: float
    margin: float
    interval: float
    correlation: float | None


def rank(
    rungs: Sequence[Mapping[str, Sequence[float]]], *, held_out: int | None, factors: Mapping[str, float] | None = None
) -> Ranking:
    """Rank candidates by the last rung that they were in, and by their mean accuracy there.

    A rung has the accuracies of its entrants, one a seed, in the same order of seeds. All candidates are in the first
    one, and those of which a training diverged in none. `held_out` is the number of images that each accuracy (a
    fraction) was counted on; where it is not known either, one seed says nothing of the noise, and the margin is
    infinite. `factors` by candidate multiply accuracies before they are ranked.
    """
    layouts = _layouts(rungs, held_out, factors)
    last = {name: number for number, layout in enumerate(layouts) for name in layout.scores}
    order = sorted(last, key=lambda name: (-last[name], -layouts[last[name]].scores[name], name))
    met = {name: _met(layouts, order[0], name) for name in order}
    tied = {name for name, (gap, layout) in met.items() if gap <= layout.margin}

    def standing(place: int, name: str) -> Standing:
        own = layouts[last[name]]
        return Standing(
            name=name,
            rank=place,
            accuracy=own.accuracies[name],
            score=own.scores[name],
            interval=own.interval,
            tied=name in tied,
            rung=last[name],
            seeds=own.seeds,
            seeds_to_part=_seeds_to_part(*met[name], layouts[-1].seeds, len(tied)) if name in tied else None,
        )

    standings = tuple(standing(place, name) for place, name in enumerate(order, start=1))
    last_one = layouts[-1]
    return Ranking(standings, last_one.margin, last_one.noise, last_one.seeds, layouts[0].correlation)


def _layouts(
    rungs: Sequence[Mapping[str, Sequence[float]]], held_out: int | None, factors: Mapping[str, float] | None
) -> list[_Layout]:
    """Return what the rungs say, without empty ones: all that were in the last rung may have diverged."""
    layouts: list[_Layout] = []
    for rung in filter(None, rungs):
        plain = np.array(list(rung.values()), dtype=np.float64)
        table = plain * np.array([[1.0 if factors is None else factors[name]] for name in rung])
        noise, freedom = _noise(table, layouts[-1] if layouts else None, _counting_noise(plain, held_out))
        alone = len(rungs[0]) == 1
        layouts.append(
            _Layout(
                accuracies=dict(zip(rung, plain.mean(axis=1).tolist(), strict=True)),
                scores=dict(zip(rung, table.mean(axis=1).tolist(), strict=True)),
                seeds=table.shape[1],
                noise=noise,
                freedom=freedom,
                margin=0.0 if alone else _margin(max(2, len(rung)), freedom) * noise / math.sqrt(table.shape[1]),
                interval=0.0 if alone else _interval(freedom) * noise / math.sqrt(table.shape[1]),
                correlation=_correlation(table),
            )
        )
    return layouts


def _met(layouts: Sequence[_Layout], winner: str, name: str) -> tuple[float, _Layout]:
    """Return how far a candidate lies below the winner in the last rung that both were in, and that rung."""
    layout = next(layout for layout in reversed(layouts) if {winner, name} <= layout.scores.keys())
    return layout.scores[winner] - layout.scores[name], layout


def _seeds_to_part(gap: float, layout: _Layout, seeds: int, tied: int) -> int | None:
    """Return how many more than so many seeds give `tied` candidates a margin below the gap, None if too many."""
    from scipy import stats  # noqa: PLC0415

    if gap <= 0 or layout.noise == 0 or math.isinf(layout.freedom):
        return None
    ratio = _margin(tied, math.inf) * layout.noise / gap
    least = ratio * ratio - seeds  # were the noise known exactly
    for more in range(max(1, math.ceil(min(least, MOST_SEEDS + 1))), MOST_SEEDS + 1):
        distance = gap * math.sqrt(seeds + more) / layout.noise
        if stats.studentized_range.sf(distance, tied, (tied - 1) * (seeds + more - 1)) < 1 - CONFIDENCE:
            return more
    return None


@cache
def _margin(candidates: int, freedom: float) -> float:
    """Return how many standard errors the best and the worst of equal means lie apart at most: Tukey's range."""
    from scipy import stats  # noqa: PLC0415 - slow to import

    return float(stats.studentized_range.ppf(CONFIDENCE, candidates, freedom))


def _interval(freedom: float) -> float:
    """Return how many standard errors a mean lies off at most."""
    from scipy import stats  # noqa: PLC0415

    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))


def _noise(table: NDArray[np.float64], before: _Layout | None, counting: float) -> tuple[float, float]:
    """Return the standard deviation of one score and its degrees of freedom.

    A single candidate or seed does not tell noise from the rest: then it is the rung's `before`, or that of counting.
    """
    if min(table.shape) == 1:
        return (counting, math.inf) if before is None else (before.noise, before.freedom)
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
