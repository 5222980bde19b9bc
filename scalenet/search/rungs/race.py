"""The race: one short training of everybody, then whoever keeps the answer from being sure is trained to the end.

The bound (see `answer.finding`) says by how much any candidate may be better than the winner. The next training is the
one that may narrow it most: another seed of the rival that may be better by most, or of the winner where the rival has
more seeds already. This puts trainings where the answer is open, and comes back to candidates that a short training
misjudged. Where short trainings may say little of long ones, and candidates are few, each of them is trained to the
end once: none is left out for a short training that may mislead. A candidate's only training to the end that may have
collapsed is followed by another at once.

Trainings are chosen in rounds of so many at a time, one after the other: those chosen before are taken to come out as
expected. A round follows from the rounds before it alone, whoever finishes first and whoever dies. The race ends at its
cap, or when the bound is within what was asked for; each round's end is a valid end, and so it may end by the clock.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from scalenet.arch.options import Positive
from scalenet.arch.records import Record
from scalenet.search.answer.finding import Trained, find, suspected
from scalenet.search.answer.noise import images_of
from scalenet.search.answer.surface import fit_surface

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from scalenet.search.answer.finding import Finding
    from scalenet.search.rungs.schedule import Key

ERROR, BLIND_ERROR = 0.04, 0.02
"""How often a look may err, where it is foreseen how noisy trainings are, and where only few trainings tell. It is
looked at after every round: that bounds hold in 95 % of searches is by replay, and not by proof
(docs/search_measured.md)."""

FIRST = 3
"""Candidates that are trained to the end before the race, the best of the short trainings by the surface."""

FIRST_SEEDS = 2
"""Seeds of those, the fewest that tell noise from candidates."""

SHARE = 0.35
"""How much is trained unless it is said, of the training of all candidates to the end with all seeds."""

FEWEST = 18
"""Trainings to the end below which a race says too little, whatever its share, by replay."""

SHORTER = 5
"""How many times shorter than a training to the end a short one is."""

DOUBTED = 0.7
"""Agreement of short and long trainings below which a short one alone leaves no candidate out. It is above what is
called little, because few trainings to the end do not tell the one from the other."""

FEW = 8
"""Candidates up to which all are trained to the end for that reason: a surface through so few others may be smooth, and
sure, and wrong. Among more it would take from those that may be best, and bounds hold without."""

_MOST = 6  # times the seeds that were asked for, or that a candidate gets in the mean: of one candidate


class Training(NamedTuple):
    """A training: the candidate's place, the seed's column, and whether it goes to the end."""

    candidate: int
    seed: int
    full: bool


class Race(Record):
    """How a race is run.

    Short trainings are of the budget `short`, others of the whole `budget`. `cap` is how much may be trained, and
    `exhaustive` what all candidates to the end with all seeds would be, both in trainings to the end. The race stops
    early when no candidate can be better than the winner by more than `within`, in the scores' units, or when
    `time_limit`, in seconds, would not hold another round; the cap is then what was trained. `at_a_time` is how many
    trainings a round has. A candidate gets seeds from `first_seed` on, at most `most` of them. `held_out` is how many
    images accuracies are counted on, None where only the evaluator knows.
    """

    short: Positive
    budget: Positive
    cap: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    exhaustive: Positive
    within: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    time_limit: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    at_a_time: Positive = 1
    first_seed: Annotated[int, Field(ge=0)] = 0
    most: Positive = 50
    held_out: Positive | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_a_former_plan(cls, data: Any) -> Any:
        """Read a race that has the deviation of rounding to one image where the number of images is now."""
        least = data.get("least") if isinstance(data, dict) else None
        if not isinstance(least, float):
            return data
        others = {name: value for name, value in data.items() if name != "least"}
        return {**others, "held_out": images_of(least) if least else None}

    @property
    def budgets(self) -> tuple[int, int]:
        """The budgets of a short training and of one to the end."""
        return self.short, self.budget

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that a candidate may get, in order."""
        return tuple(range(self.first_seed, self.first_seed + self.most))

    @property
    def share_of_all(self) -> float:
        """How much may be trained, of the training of all candidates to the end with all seeds."""
        return self.cap / self.exhaustive

    def share_of(self, units: float) -> float:
        """Return which share of the cap so many units of the budget are, all of it at most."""
        whole = self.budget * self.cap
        return 1.0 if units >= whole else units / whole

    def by(self, workers: int) -> Race:
        """Return this race with rounds for so many workers."""
        return self.changed(at_a_time=workers)

    def with_more(self, seeds: int, names: tuple[str, ...]) -> Race:
        """Return this race with so many more seeds for as many candidates, whom it gives them to is its own choice."""
        return self.changed(cap=self.cap + seeds * len(names), most=self.most + seeds, time_limit=None)

    def possible(self, names: Sequence[str]) -> list[Key]:
        """Return all trainings that may be wanted."""
        short: list[Key] = [(name, self.first_seed, self.short) for name in names]
        return short + [(name, seed, self.budget) for seed in self.seeds for name in names]

    def like(self, other: Race) -> bool:
        """Return whether both were asked for alike: how far they got by the clock, and on which machine, may differ."""
        own = {"at_a_time": 1, "most": 1, **({} if self.time_limit is None else {"cap": 0.0})}
        return self.changed(**own) == other.changed(**own)


def race(
    candidates: int,
    *,
    budget: int,
    seeds: int,
    first_seed: int = 0,
    share: float | None = None,
    within: float | None = None,
    time_limit: float | None = None,
    at_a_time: int = 1,
    most: int | None = None,
) -> Race:
    """Return the race of so many candidates, to a budget of at least 2.

    It trains a `share` of what all candidates to the end with so many `seeds` take: unless it is given, SHARE, but no
    less than FEWEST to the end, or all of it where it ends by what it finds or by the clock; whatever is asked for, as
    much as an answer needs.
    """
    exhaustive, short = candidates * seeds, max(1, budget // SHORTER)
    everybody = candidates * short / budget
    usual = max(SHARE * exhaustive, min(FEWEST + everybody, exhaustive))
    asked = share if share is not None or (within is None and time_limit is None) else 1.0
    least = everybody + FIRST_SEEDS * min(FIRST, candidates)
    cap = usual if asked is None else max(asked * exhaustive, least)
    return Race(
        short=short,
        budget=budget,
        cap=cap,
        exhaustive=exhaustive,
        within=within or 0.0,
        time_limit=time_limit,
        at_a_time=at_a_time,
        first_seed=first_seed,
        most=_MOST * max(seeds, ceil(cap / candidates)) if most is None else most,
    )


def fitting(epochs: float, candidates: int, seeds: int) -> int | None:
    """Return how long a training to the end may be, so that enough of them fit into so many epochs of training.

    Two epochs are the least; None where not even those fit that an answer needs.
    """
    return None if epochs < fewest(candidates) else max(2, int(epochs / sufficient(candidates, seeds)))


def sufficient(candidates: int, seeds: int) -> float:
    """Return how many trainings to the end are enough, short ones included."""
    return min(FEWEST + candidates / SHORTER, candidates * seeds)


def fewest(candidates: int) -> int:
    """Return how many epochs of training an answer needs: one of everybody, and two of the first to the end."""
    return candidates + 2 * FIRST_SEEDS * min(FIRST, candidates)


def spent(trained: Trained) -> float:
    """Return what was trained, in trainings to the end."""
    full, short = ~np.isnan(trained.full), ~np.isnan(trained.short)
    return float(full.sum() + trained.ratio * short.sum())


@lru_cache(maxsize=8)
def next_round(race: Race, trained: Trained) -> tuple[Training, ...]:
    """Return the trainings of the next round, from those of all rounds before; none where the race is over."""
    return tuple(_next_round(race, trained))


def _next_round(race: Race, trained: Trained) -> list[Training]:
    running = np.nonzero(~trained.out)[0]
    untried = running[np.isnan(trained.short[running]).all(axis=1)]
    if len(untried):
        return [Training(int(candidate), 0, False) for candidate in untried]
    if not (trained.seeds[running] > 0).any():
        return _first(race, trained, running)
    return _raced(race, trained)


def _first(race: Race, trained: Trained, running: NDArray[np.int64]) -> list[Training]:
    """Return the first trainings to the end: those of the best short ones, as the surface sees them."""
    if len(running) < 2:
        chosen = running
    else:
        short = np.where(trained.out[:, None], np.nan, trained.short)
        nothing = np.full_like(trained.full, np.nan)
        means = fit_surface(trained.shares, short, nothing, ratio=trained.ratio, least=trained.least).means
        chosen = running[np.argsort(-means[running], kind="stable")[:FIRST]]
    seeds = min(FIRST_SEEDS, race.most)
    wanted = [Training(int(candidate), seed, True) for seed in range(seeds) for candidate in chosen]
    return _within_the_cap(race, trained, wanted)


def _raced(race: Race, trained: Trained) -> list[Training]:
    """Return a round of the race."""
    chosen: list[Training] = []
    for place in range(race.at_a_time):
        finding = finding_of(trained)
        training = _suspected(race, trained, finding) or _doubted(trained, finding)
        if training is None:
            if place == 0 and finding.bound <= race.within:
                break
            training = _widening(race, trained, finding)
        if training is None or not _within_the_cap(race, trained, [training]):
            break
        chosen.append(training)
        trained = with_result(trained, training, float(finding.expected[training.candidate]))
    return chosen


def finding_of(trained: Trained) -> Finding:
    """Return what the trainings of a race say, of which one at least went to the end."""
    return find(trained, error=BLIND_ERROR if trained.foreseen is None else ERROR)


def _suspected(race: Race, trained: Trained, finding: Finding) -> Training | None:
    """Return a second training to the end of a candidate whose only one may have collapsed: that one says nothing."""
    alone = np.flatnonzero(suspected(finding.verdict, trained.seeds))
    return _another(race, trained, int(alone[0])) if len(alone) else None


def _doubted(trained: Trained, finding: Finding) -> Training | None:
    """Return the first training to the end of the best candidate that only short ones speak of, where these may say
    little and candidates are few.
    """
    left = np.flatnonzero(finding.unjudged)
    if finding.agreement is None or finding.agreement >= DOUBTED or not len(left) or len(trained.out) > FEW:
        return None
    return Training(int(left[np.argmax(finding.expected[left])]), 0, True)


def _widening(race: Race, trained: Trained, finding: Finding) -> Training | None:
    """Return the training that may narrow the bound most, or where its seeds have run out what else may be better; None
    where nothing is left.
    """
    winner, seeds = finding.winner, trained.seeds
    over = np.where(finding.out, -1.0, finding.over)
    over[winner] = -1
    for rival in np.argsort(-over, kind="stable"):
        if over[rival] <= 0:
            return None
        first, second = (rival, winner) if seeds[rival] <= seeds[winner] else (winner, rival)
        training = _another(race, trained, int(first)) or _another(race, trained, int(second))
        if training is not None:
            return training
    return None


def _another(race: Race, trained: Trained, candidate: int) -> Training | None:
    """Return the next training to the end of a candidate, None where its seeds have run out."""
    untried = np.flatnonzero(np.isnan(trained.full[candidate, : race.most]))
    return Training(candidate, int(untried[0]), True) if len(untried) else None


def _within_the_cap(race: Race, trained: Trained, wanted: list[Training]) -> list[Training]:
    """Return as many of the trainings, from the first, as the cap allows."""
    left = max(0, int(race.cap - spent(trained) + 1e-9))
    return wanted[:left]


def with_result(trained: Trained, training: Training, score: float | None) -> Trained:
    """Return what is trained with one more training; a score of None is one that diverged or failed."""
    if score is None:
        out = trained.out.copy()
        out[training.candidate] = True
        return replace(trained, out=out)
    name = "full" if training.full else "short"
    table = getattr(trained, name).copy()
    table[training.candidate, training.seed] = score
    return replace(trained, **{name: table})


def run(race: Race, trained: Trained, result: Callable[[Training], float | None]) -> Trained:
    """Run the race with a function that trains, and return what was trained; None is a training that failed."""
    while wanted := next_round(race, trained):
        for training in wanted:
            trained = with_result(trained, training, result(training))
    return trained
