"""Ranking: means over seeds, how sure they are, and which candidates cannot be told from the winner.

In a rung all candidates are trained with the same seeds, so the model is additive: accuracy = candidate + seed + noise.
The noise is what is left after both, and says how far below the highest mean the best may lie by chance (see
`margins`). Who was dropped early is compared with the winner in the last rung that both were in, by that rung's own
noise: where trainings are longer or candidates better there is less of it.

Each rung is another look at the same question, and may err. All of them together err in at most 5 % of searches: the
planned rungs share 4 % equally, and every tie round that is asked for later takes half of what is left. What a look may
spend must not follow from how many there are in the end, because it is the ties of one that ask for another.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from scalenet.search.answer.margins import reach
from scalenet.search.answer.noise import Noise, foreseen_noise, own_noise, residual_noise, rounding_noise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

CONFIDENCE = 0.95

RESERVED = 0.2
"""How much of the remaining 5 % is kept for tie rounds."""

AGREEING = 3
"""Degrees of freedom below which scores without any noise say nothing of it: two accuracies may agree by chance."""

_DIGITS = 1e-12  # below it differences are those of summing

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

    `margin` is the distance below the winner within which a candidate of the last rung is not distinguishable from it,
    such that all rungs together keep to 95 %, and `noise` the standard deviation of one training there.
    `seed_correlation` is the mean Spearman correlation between the rankings of two seeds in the first rung, which has
    all candidates (those of the last lie close together, and say little of the search); None with one seed or two
    candidates. With one seed `noise` and `margin` are not measured but foreseen from the number of held-out images.
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
    """What a rung says: its number (from 0), means by candidate, the noise of one score, and how seeds agree."""

    number: int
    accuracies: dict[str, float]
    scores: dict[str, float]
    seeds: int
    noise: Noise
    margin: float
    interval: float
    correlation: float | None


def rank(
    rungs: Sequence[Mapping[str, Sequence[float]]],
    *,
    held_out: int | None,
    means: Sequence[Mapping[str, float]] | None = None,
    factors: Mapping[str, float] | None = None,
    planned: int | None = None,
) -> Ranking:
    """Rank candidates by the last rung that they were in, and by their mean accuracy there.

    A rung has the accuracies of its entrants, one a seed, in the same order of seeds. All candidates are in the first
    one, and those of which a training diverged in none. `held_out` is the number of images that each accuracy (a
    fraction) was counted on; where it is not known either, one seed says nothing of the noise, and the margin is
    infinite. `means` are those of each rung, where some of its trainings broke down and count in none. `factors` by
    candidate multiply accuracies before they are ranked. `planned` is how many rungs the search was begun with, those
    that are yet to come included; the others are tie rounds. By default there are none.
    """
    errors = _errors(len(rungs), len(rungs) if planned is None else planned)
    if means is None:
        means = [{name: fmean(row) for name, row in rung.items()} for rung in rungs]
    layouts = _layouts(rungs, means, held_out, factors, errors)
    last = {name: number for number, layout in enumerate(layouts) for name in layout.scores}
    order = sorted(last, key=lambda name: (-last[name], -layouts[last[name]].scores[name], name))
    met = {name: _met(layouts, order[0], name) for name in order}
    tied = {name for name, (gap, layout) in met.items() if gap <= layout.margin}
    tie_round = TieRound(len(tied), layouts[-1].seeds, errors[-1])

    def standing(place: int, name: str) -> Standing:
        own = layouts[last[name]]
        return Standing(
            name=name,
            rank=place,
            accuracy=own.accuracies[name],
            score=own.scores[name],
            interval=own.interval,
            tied=name in tied,
            rung=own.number,
            seeds=own.seeds,
            seeds_to_part=tie_round.seeds_to_part(met[name][0], met[name][1].noise) if name in tied else None,
        )

    standings = tuple(standing(place, name) for place, name in enumerate(order, start=1))
    last_one = layouts[-1]
    margin = last_one.margin if len(order) > 1 else 0.0
    return Ranking(standings, margin, last_one.noise.deviation, last_one.seeds, layouts[0].correlation)


def look_error(tie_rounds: int) -> float:
    """Return how often one look at all trainings to the end may err, after so many tie rounds."""
    reserve = RESERVED * (1 - CONFIDENCE)
    return reserve / 2**tie_rounds if tie_rounds else 1 - CONFIDENCE - reserve


def _errors(known: int, planned: int) -> list[float]:
    """Return how often each rung may err: those that are known or planned, and one tie round more."""
    reserve = RESERVED * (1 - CONFIDENCE)
    rounds = range(1, max(0, known - planned) + 2)
    return [(1 - CONFIDENCE - reserve) / planned] * planned + [reserve / 2**number for number in rounds]


def _layouts(
    rungs: Sequence[Mapping[str, Sequence[float]]],
    means: Sequence[Mapping[str, float]],
    held_out: int | None,
    factors: Mapping[str, float] | None,
    errors: Sequence[float],
) -> list[_Layout]:
    """Return what the rungs say, without empty ones: all trainings of a rung may have failed."""
    layouts: list[_Layout] = []
    measured = own_noise if len(rungs[0]) == 1 else residual_noise
    for number, (rung, own, error) in enumerate(zip(rungs, means, errors, strict=False)):
        if rung:
            plain = np.array(list(rung.values()), dtype=np.float64)
            weights = np.array([1.0 if factors is None else factors[name] for name in rung])
            table, most = plain * weights[:, None], float(weights.max())
            image = None if held_out is None else most / held_out
            unmeasured = layouts[-1].noise if layouts else _foreseen(plain, held_out, most)
            found = measured(table) if image is not None else _credible(measured(table))
            noise = (found or unmeasured).at_least(rounding_noise(image))
            layouts.append(_layout(number, {name: own[name] for name in rung}, weights, table, noise, error))
    return layouts


def _foreseen(accuracies: NDArray[np.float64], held_out: int | None, factor: float) -> Noise:
    """Return the noise to expect of scores, accuracies times a factor; infinite where nothing tells."""
    found = foreseen_noise(accuracies, held_out)
    return Noise(math.inf if found is None else factor * found, math.inf)


def _credible(noise: Noise | None) -> Noise | None:
    """Return noise that was measured, unless so few scores show none that they may agree by chance."""
    by_chance = noise is not None and noise.deviation < _DIGITS and noise.freedom < AGREEING
    return None if by_chance else noise


def _layout(
    number: int,
    accuracies: dict[str, float],
    weights: NDArray[np.float64],
    table: NDArray[np.float64],
    noise: Noise,
    error: float,
) -> _Layout:
    """Return what a rung says, by mean accuracies, their weights and a table of scores, where it may err so often."""
    standard_error = noise.deviation / math.sqrt(table.shape[1])
    return _Layout(
        number=number,
        accuracies=accuracies,
        scores={name: mean * weight for (name, mean), weight in zip(accuracies.items(), weights.tolist(), strict=True)},
        seeds=table.shape[1],
        noise=noise,
        margin=reach(max(2, len(accuracies)), noise.freedom, error) * standard_error,
        interval=interval(noise.freedom) * standard_error,
        correlation=_correlation(table),
    )


def _met(layouts: Sequence[_Layout], winner: str, name: str) -> tuple[float, _Layout]:
    """Return how far a candidate lies below the winner in the last rung that both were in, and that rung."""
    layout = next(layout for layout in reversed(layouts) if {winner, name} <= layout.scores.keys())
    return layout.scores[winner] - layout.scores[name], layout


@dataclass(frozen=True, slots=True)
class TieRound:
    """A round that may follow for so many candidates, and how often it may err; the last rung has these seeds."""

    candidates: int
    seeds: int
    error: float

    def seeds_to_part(self, gap: float, noise: Noise) -> int | None:
        """Return how many more seeds give a margin below the gap, None if too many."""
        if gap <= 0 or noise.deviation == 0 or math.isinf(noise.freedom):
            return None

        def parts(more: int) -> bool:
            seeds = self.seeds + more
            distance = gap * math.sqrt(seeds) / noise.deviation
            return distance > reach(self.candidates, (self.candidates - 1) * (seeds - 1), self.error)

        more = 1 + bisect_left(range(1, MOST_SEEDS + 1), True, key=parts)
        return more if more <= MOST_SEEDS else None


def interval(freedom: float) -> float:
    """Return how many standard errors a mean lies off at most."""
    from scipy import special  # noqa: PLC0415 - slow to import

    return float(special.stdtrit(freedom, (1 + CONFIDENCE) / 2))


def _correlation(table: NDArray[np.float64]) -> float | None:
    """Return the mean Spearman correlation over pairs of seeds; ties share their mean rank."""
    import pandas as pd  # noqa: PLC0415 - slow to import

    if table.shape[1] < 2 or table.shape[0] < 3:
        return None
    ranks = pd.DataFrame(table).rank().to_numpy()
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
