"""What the bound will be at the end, said before anything is trained and, better, after every round.

The bound of a finished search is nearly a multiple of the noise of one training: which one follows from how much is
trained. The noise is foreseen from the number of held-out images (see `noise`). What is measured later replaces it bit
by bit.
The constants are those of replayed searches (docs/search_measured.md).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scalenet.search.answer.judge import ERROR
from scalenet.search.answer.margins import reach
from scalenet.search.answer.noise import WORTH
from scalenet.search.rungs.race import FIRST, FIRST_SEEDS, Race
from scalenet.search.rungs.schedule import LEAST_KEPT

if TYPE_CHECKING:
    from scalenet.search.answer.judge import Verdict
    from scalenet.search.rungs.schedule import Schedule

LIKELY = 0.05
"""Differences of accuracy beyond which candidates of equal cost seldom lie: the best and the worst of CIFAR-10's
recorded tables are 0.03 apart."""

RACED, POWER = 2.0, 0.75
"""The bound of a race with as many trainings to the end as candidates, in noises of one training, and the power of more
trainings that it falls with.
"""

WHOLE, HALVED = 0.85, 12.0
"""The bound where all are trained to the end, relative to the range of equal candidates, and where three are in the
last rung, both in noises of a mean over its seeds."""


def trainings_of(race: Race, candidates: int, share: float = 1.0) -> float:
    """Return how many trainings to the end a race of so many candidates has, if it trains a share of its cap."""
    short = candidates * race.short / race.budget
    return max(float(min(FIRST, candidates) * FIRST_SEEDS), share * race.cap - short)


def forecast(schedule: Schedule | Race, candidates: int, noise: float, share: float = 1.0) -> float:
    """Return about what the bound of a schedule is at the end; of a race that trains this share of its cap."""
    if isinstance(schedule, Race):
        return max(schedule.within, noise * _raced(candidates, trainings_of(schedule, candidates, share)))
    last = [rung for rung in schedule.rungs if rung.names is None][-1]
    seeds = len(last.seeds)
    if last.keep is not None and last.keep < candidates:
        return noise * HALVED / math.sqrt(seeds) * math.pow(LEAST_KEPT / last.keep, POWER)
    freedom = (candidates - 1) * (seeds - 1)
    return noise * WHOLE * reach(candidates, freedom or 1, ERROR) / math.sqrt(seeds)


def better_forecast(
    race: Race,
    candidates: int,
    noise: float | None,
    *,
    verdict: Verdict,
    bound: float,
    trained: int,
    share: float = 1.0,
) -> float | None:
    """Return about what the bound of a race will be, after so many trainings to the end.

    `noise` is what was known beforehand. It counts less with every training whose noise is measured, and the further
    the race is, the more counts the bound as it is. None where nothing is known of either.
    """
    known = [] if noise is None else [(noise, WORTH)]
    if verdict.freedom > 0 and not math.isnan(verdict.noise):
        known.append((verdict.noise, verdict.freedom))
    if not known:
        return None
    squares = sum(freedom * one**2 for one, freedom in known)
    pooled = math.sqrt(squares / sum(freedom for _, freedom in known))

    expected, in_all = forecast(race, candidates, pooled, share), trainings_of(race, candidates, share)
    if not 0 < bound < math.inf or expected <= 0:
        return max(race.within, min(expected, bound))
    progress = min(1.0, trained / in_all)
    narrowed = bound * min(1.0, _raced(candidates, in_all) / _raced(candidates, trained))
    return max(race.within, math.exp((1 - progress) * math.log(expected) + progress * math.log(narrowed)))


def _raced(candidates: int, trainings: float) -> float:
    return RACED * math.pow(candidates / trainings, POWER)
