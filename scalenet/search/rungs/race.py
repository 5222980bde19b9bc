"""The race: one short training of everybody, then whoever keeps the answer from being sure is trained to the end.

The bound (see `answer.finding`) says by how much any candidate may be better than the winner. The next training is the
one that may narrow it most: another seed of the rival that may be better by most, or of the winner where the rival has
as many seeds already. This puts trainings where the answer is open, and comes back to candidates that a short training
misjudged.

Trainings are chosen in rounds of so many at a time, one after the other: those chosen before are taken to come out as
expected. A round follows from the rounds before it alone, whoever finishes first and whoever dies. The race ends at its
cap, or when the bound is within what was asked for; each round's end is a valid end.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scalenet.arch.blocks import Positive
from scalenet.arch.spec import Record
from scalenet.search.answer.finding import Trained, find
from scalenet.search.answer.surface import fit_surface

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from scalenet.search.answer.finding import Finding

ERROR = 0.02
"""How often a look may err. It is looked at after every round: with 3 % a look, bounds hold in 95 % of searches, by
replay (docs/search.md) and not by proof."""

FIRST = 3
"""Candidates that are trained to the end before the race, the best of the short trainings by the surface."""

FIRST_SEEDS = 2
"""Seeds of those, the fewest that tell noise from candidates."""


class Training(NamedTuple):
    """A training: the candidate's place, the seed's column, and whether it goes to the end."""

    candidate: int
    seed: int
    full: bool


class Race(Record):
    """How a race is run.

    `cap` is how much may be trained, in trainings to the end. The race stops early when no candidate can be better than
    the winner by more than `within`, in the scores' units. `at_a_time` is how many trainings a round has, and `seeds`
    how many a candidate gets at most. Where short trainings are `continued`, going on with one costs what is left only.
    """

    cap: float
    within: float = 0.0
    at_a_time: Positive = 1
    seeds: Positive = 50
    continued: bool = False


def spent(race: Race, trained: Trained) -> float:
    """Return what was trained, in trainings to the end."""
    full, short = ~np.isnan(trained.full), ~np.isnan(trained.short)
    saved = (full & short).sum() if race.continued else 0
    return float(full.sum() + trained.ratio * (short.sum() - saved))


def next_round(race: Race, trained: Trained, *, least: float = 0.0) -> list[Training]:
    """Return the trainings of the next round; none where the race is over.

    `trained` are those of all rounds before. `least` is the smallest credible noise, as for the judge.
    """
    running = np.nonzero(~trained.out)[0]
    untried = running[np.isnan(trained.short[running]).all(axis=1)]
    if len(untried):
        return [Training(int(candidate), 0, False) for candidate in untried]
    if not (trained.seeds[running] > 0).any():
        return _first(race, trained, running, least)
    return _raced(race, trained, least)


def _first(race: Race, trained: Trained, running: NDArray[np.int64], least: float) -> list[Training]:
    """Return the first trainings to the end: those of the best short ones, as the surface sees them."""
    if len(running) < 2:
        chosen = running
    else:
        short = np.where(trained.out[:, None], np.nan, trained.short)
        nothing = np.full_like(trained.full, np.nan)
        means = fit_surface(trained.shares, short, nothing, ratio=trained.ratio, least=least).means
        chosen = running[np.argsort(-means[running], kind="stable")[:FIRST]]
    seeds = min(FIRST_SEEDS, race.seeds)
    wanted = [Training(int(candidate), seed, True) for seed in range(seeds) for candidate in chosen]
    return _within_the_cap(race, trained, wanted)


def _raced(race: Race, trained: Trained, least: float) -> list[Training]:
    """Return a round of the race."""
    chosen: list[Training] = []
    for place in range(race.at_a_time):
        finding = find(trained, error=ERROR, least=least)
        if place == 0 and finding.bound <= race.within:
            break
        training = _widening(race, trained, finding)
        if training is None or not _within_the_cap(race, trained, [training]):
            break
        chosen.append(training)
        trained = with_result(trained, training, float(finding.expected[training.candidate]))
    return chosen


def _widening(race: Race, trained: Trained, finding: Finding) -> Training | None:
    """Return the training that may narrow the bound most, None where seeds have run out."""
    winner, seeds = finding.winner, trained.seeds
    over = np.where(finding.out, -1.0, finding.over)
    over[winner] = -1
    rival = int(np.argmax(over))
    if over[rival] <= 0:
        return None
    candidate = rival if seeds[rival] <= seeds[winner] else winner
    return Training(candidate, int(seeds[candidate]), True) if seeds[candidate] < race.seeds else None


def _within_the_cap(race: Race, trained: Trained, wanted: list[Training]) -> list[Training]:
    """Return as many of the trainings, from the first, as the cap allows."""
    left, chosen = race.cap - spent(race, trained) + 1e-9, []
    for training in wanted:
        begun = race.continued and not np.isnan(trained.short[training.candidate, training.seed])
        left -= 1 - trained.ratio * begun
        if left < 0:
            break
        chosen.append(training)
    return chosen


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


def run(race: Race, trained: Trained, result: Callable[[Training], float | None], *, least: float = 0.0) -> Trained:
    """Run the race with a function that trains, and return what was trained; None is a training that failed."""
    while wanted := next_round(race, trained, least=least):
        for training in wanted:
            trained = with_result(trained, training, result(training))
    return trained
