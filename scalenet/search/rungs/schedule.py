"""Schedules: who is trained with which seeds for how long, decided rung by rung (successive halving).

The first rung has all candidates, few seeds and a short budget; each later one has the best of the rung before, with
more of both (Jamieson & Talwalkar 2016, with seeds beside the budget). What a rung decides follows from its scores
alone: neither the order of results nor a stop on the way changes it.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import BeforeValidator, Field

from scalenet.arch.options import Positive
from scalenet.arch.records import Record, as_tuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Key: TypeAlias = tuple[str, int, int | None]
"""A training: the candidate's name, the seed, and the budget."""


FACTOR = 5
"""How many times fewer candidates each rung has, and how many times more training for each."""

FEW_SEEDS = 2
"""Seeds of a short rung: the least that tell noise from candidates."""

LEAST_KEPT = 3
"""Candidates that no rung goes below: the best of a long training is often the second or third of a short one."""


class Rung(Record):
    """A step of a schedule: who takes part, with which seeds, and for how many epochs.

    `keep` is how many of the best of the rung before take part, all where it is None; `names` are exactly those who do
    (a tie set that gets more seeds), whatever `keep` says. A `budget` of None is the evaluator's own.
    """

    keep: Positive | None = None
    names: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] | None = None
    seeds: Annotated[tuple[int, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    budget: Positive | None = None


class Schedule(Record):
    """The rungs of a search, in order."""

    rungs: Annotated[tuple[Rung, ...], BeforeValidator(as_tuple), Field(min_length=1)]

    @property
    def time_limit(self) -> float | None:
        """None: only a race ends by the clock."""
        return None

    @property
    def budgets(self) -> tuple[int | None, int | None]:
        """The budgets of the first and of the last rung."""
        return self.rungs[0].budget, self.rungs[-1].budget

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of all rungs, in order."""
        return tuple(dict.fromkeys(seed for rung in self.rungs for seed in rung.seeds))

    def with_more(self, seeds: int, names: tuple[str, ...]) -> Schedule:
        """Return this schedule and a rung for so many more seeds of these candidates."""
        last = self.rungs[-1]
        first = max(last.seeds) + 1
        more = last.changed(names=names, seeds=(*last.seeds, *range(first, first + seeds)))
        return Schedule(rungs=(*self.rungs, more))

    def possible(self, names: Sequence[str]) -> list[Key]:
        """Return all trainings that may be wanted."""
        keys = [key for rung in self.rungs for key in _keys(rung.names or names, rung)]
        return list(dict.fromkeys(keys))


def halving(candidates: int, *, seeds: Sequence[int], budget: int | None, factor: int = FACTOR) -> Schedule:
    """Return the schedule of a search among so many candidates, whose last rung has all `seeds` and the full `budget`.

    Every rung has `factor` times fewer candidates than the one before, but not below LEAST_KEPT, and a budget `factor`
    times larger; those before the last have FEW_SEEDS. Where there is no budget to be divided, seeds are, not below
    FEW_SEEDS. A factor of 1 is the exhaustive grid: one rung, as also where more rungs would cost more.
    """
    by_seeds = budget is None or budget == 1
    full, least = (len(seeds), FEW_SEEDS) if by_seeds else (budget or 1, 1)
    steps = 0
    while factor > 1 and candidates > LEAST_KEPT * factor**steps and full // factor**steps > least:
        steps += 1

    def rung(step: int) -> Rung:
        level = max(least, full // factor ** (steps - step))
        few = len(seeds) if step == steps else level if by_seeds else FEW_SEEDS
        return Rung(
            keep=max(LEAST_KEPT, -(-candidates // factor**step)) if step else None,
            seeds=tuple(seeds)[:few],
            budget=budget if by_seeds else level,
        )

    exhaustive = Schedule(rungs=(Rung(seeds=tuple(seeds), budget=budget),))
    halved = Schedule(rungs=tuple(map(rung, range(steps + 1))))
    return min(exhaustive, halved, key=lambda schedule: spent(schedule, candidates))


def entrants(schedule: Schedule, names: Sequence[str], scores: Mapping[Key, float | None]) -> list[tuple[str, ...]]:
    """Return the candidates of every rung that is known so far: promoted ones best first, others in order of `names`.

    `scores` are what is ranked (accuracy times the objective's factor); None is a training that diverged or failed, and
    its candidate takes part in no later rung. The first rung is always known, a later one once `scores` has all of the
    one before. Equal means are in order of names.
    """
    first = schedule.rungs[0].names
    known = [tuple(name for name in names if first is None or name in first)]
    out: set[str] = set()
    for before, rung in pairwise(schedule.rungs):
        keys = _keys(known[-1], before)
        if any(key not in scores for key in keys):
            break
        out |= {key[0] for key in keys if scores[key] is None}
        ranked = _ranked([name for name in known[-1] if name not in out], before, scores)
        wanted = ranked[: rung.keep] if rung.names is None else [name for name in names if name in rung.names]
        known.append(tuple(name for name in wanted if name not in out))
    return known


def needed(schedule: Schedule, names: Sequence[str], scores: Mapping[Key, float | None]) -> list[Key]:
    """Return the trainings of the rungs known so far, done or not, each once; rung by rung and seed by seed within one,
    so that an early stop leaves whole rankings.
    """
    known = zip(entrants(schedule, names, scores), schedule.rungs, strict=False)  # later rungs are not known yet
    return list(dict.fromkeys(key for chosen, rung in known for key in _keys(chosen, rung)))


def finished(schedule: Schedule, names: Sequence[str], scores: Mapping[Key, float | None]) -> bool:
    """Return whether every rung is known and every training of it is done."""
    known = entrants(schedule, names, scores)
    return len(known) == len(schedule.rungs) and all(key in scores for key in _keys(known[-1], schedule.rungs[-1]))


def spent(schedule: Schedule, candidates: int) -> int:
    """Return the budget of all trainings together, or their number where they have none; at most, because candidates
    that diverge take part in fewer.
    """
    size, trained = candidates, Counter[tuple[int, int | None]]()
    nested: set[tuple[int, int | None]] = set()  # what all entrants of this rung have been trained for already
    for number, rung in enumerate(schedule.rungs):
        if rung.names is not None:
            size, nested = len(rung.names), set()
        elif number:
            size = min(size, rung.keep or size)
        own = {(seed, rung.budget) for seed in rung.seeds}
        trained.update(dict.fromkeys(own - nested, size))
        nested |= own
    return sum(min(count, candidates) * (budget or 1) for (_, budget), count in trained.items())


def _keys(names: Sequence[str], rung: Rung) -> list[Key]:
    return [(name, seed, rung.budget) for seed in rung.seeds for name in names]


def _ranked(names: Sequence[str], rung: Rung, scores: Mapping[Key, float | None]) -> list[str]:
    """Return candidates without failures by their mean over the seeds of a rung, best first."""

    def mean(name: str) -> float:
        return fmean(score for seed in rung.seeds if (score := scores[name, seed, rung.budget]) is not None)

    return sorted(names, key=lambda name: (-mean(name), name))
