"""What is known of the jobs of a search at one moment, and what follows from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from scalenet.arch.config import Multiplier
from scalenet.arch.records import Record, as_tuple
from scalenet.search.rungs.course import Course, hunted, raced, scheduled
from scalenet.search.rungs.hunt import Hunt
from scalenet.search.rungs.pilot import Pilot, Trial
from scalenet.search.rungs.race import Race
from scalenet.search.rungs.schedule import Key, Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scalenet.arch.config import Config
    from scalenet.search.evaluators import Result

_HOPELESS = 3


class State(StrEnum):
    """What is known of a job; a lost one will be tried again."""

    waiting = "waiting"
    running = "running"
    lost = "lost"
    done = "done"
    failed = "failed"


ENDED = (State.done, State.failed)


class Aim(Record):
    """What is to be evaluated: a schedule, a race or a hunt, and by candidate what its accuracy is multiplied by first.

    The learning rate is what the `pilot` finds, or `learning_rate`, or else the evaluator's own. `shares` are those of
    the candidates in a race.
    """

    schedule: Schedule | Race | Hunt
    factors: dict[str, float]
    pilot: Pilot | None = None
    learning_rate: Multiplier | None = None
    shares: dict[str, Annotated[tuple[float, float, float], BeforeValidator(as_tuple)]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """A job, by the attempt that counts: the one with a result, or else the last.

    `id` is the attempt's, `place` the job's in the order of evaluation, `worker` who has it or had it, in which
    `process`, `beat` how many signs of life it gave, `share` how much of it is done, and `reached` how much attempts
    before had done. `errors` says how often those failed, `deaths` how often their workers died since one got further.
    `curve` has the accuracies on the way by epoch, where they were asked for, and `error` is why the attempt failed.
    """

    key: Key
    state: State
    attempt: int
    id: int
    place: int
    worker: str | None = None
    process: str | None = None
    beat: int = 0
    share: float = 0.0
    reached: float = 0.0
    errors: int = 0
    deaths: int = 0
    result: Result | None = None
    error: str | None = None
    curve: Mapping[int, float] = field(default_factory=dict)

    @property
    def job(self) -> str:
        """The job, in words."""
        name, seed, budget = self.key
        epochs = "" if budget is None else f", {budget} epoch{'s' if budget > 1 else ''}"
        return f"{name} seed {seed}{epochs}"

    def why(self) -> str:
        """Return why the job failed."""
        return self.error or f"{self.job}: its worker died {self.attempt + 1} times"


@dataclass(frozen=True)
class View:
    """The jobs of a search and its aim at one moment.

    The next round of a race has a training for each of the `workers`, as many as the plan says where nobody is there.
    """

    aim: Aim
    entries: Mapping[Key, Entry]
    workers: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the candidates."""
        return tuple(self.aim.factors)

    @cached_property
    def scores(self) -> dict[Key, float | None]:
        """What is known to rank by; None for what diverged or failed."""
        found: dict[Key, float | None] = {}
        for key, entry in self.entries.items():
            if entry.result is not None:
                accuracy = entry.result.accuracy
                found[key] = None if accuracy is None else accuracy * self.aim.factors.get(key[0], 1.0)
            elif entry.state is State.failed:
                found[key] = None
        return found

    @cached_property
    def course(self) -> Course:
        """The rungs and their jobs, as far as they are known."""
        schedule = self.aim.schedule
        if isinstance(schedule, Schedule):
            return scheduled(schedule, self.names, self.scores)
        begun = sorted(self.entries.values(), key=lambda entry: entry.place)
        keys = [entry.key for entry in begun]
        if self.workers:
            schedule = schedule.by(self.workers)
        if isinstance(schedule, Hunt):
            return hunted(schedule, self.scores, keys)
        return raced(schedule, self.aim.shares, self.scores, keys)

    @cached_property
    def trial(self) -> Trial | None:
        """The pilot, as far as it is known; None where there is none."""
        pilot = self.aim.pilot
        if pilot is None:
            return None
        ended = {key: entry for key, entry in self.entries.items() if self.is_pilots(key) and entry.state in ENDED}
        return Trial(pilot, {key: _loss(entry, pilot.by) for key, entry in ended.items()})

    @property
    def rate(self) -> float | None:
        """The learning rate of the candidates' trainings; None where it is not found yet, or none is given."""
        return self.aim.learning_rate if self.trial is None else self.trial.rate

    def rate_of(self, name: str) -> float | None:
        """Return the learning rate of the trainings of that name, which may be the pilot's."""
        return self._pilots.get(name, self.rate)

    @cached_property
    def needed(self) -> list[Key]:
        """The jobs that are known to be needed, in the order of their evaluation: the pilot's, then the rungs'."""
        return self.foreseen if self.trial is None or self.rate is not None else self.trial.needed

    @cached_property
    def foreseen(self) -> list[Key]:
        """The pilot's jobs and those of the rungs that are known, though they wait for the pilot."""
        return [*([] if self.trial is None else self.trial.needed), *self.course.needed]

    @property
    def finished(self) -> bool:
        """Whether nothing is left to be evaluated, or nothing can be: no rate of the pilot was any good."""
        if self.trial is not None and self.rate is None:
            return self.trial.over
        return self.course.finished

    @cached_property
    def _by_state(self) -> dict[State, list[Entry]]:
        found: dict[State, list[Entry]] = {state: [] for state in State}
        for key in self.needed:
            if (entry := self.entries.get(key)) is not None:
                found[entry.state].append(entry)
        return found

    def newcomers(self) -> Iterator[tuple[str, dict[str, Any], Config]]:
        """Yield the members of a hunt that are needed for the first time, what proposed them, and their configs."""
        schedule = self.aim.schedule
        if isinstance(schedule, Hunt):
            for name, by in self.course.newcomers:
                yield name, {"by": by}, schedule.members().config(name)

    def missing(self) -> list[tuple[int, Key]]:
        """Return the jobs that are needed and neither wait, run nor ended, with their place in the order."""
        there = {key for key, entry in self.entries.items() if entry.state is not State.lost}
        return [(place, key) for place, key in enumerate(self.needed) if key not in there]

    def waiting(self) -> list[Entry]:
        """Return the needed jobs that wait, in the order of their evaluation."""
        return self._by_state[State.waiting]

    def running(self) -> list[Entry]:
        """Return the needed jobs that a worker has."""
        return self._by_state[State.running]

    def done(self) -> list[Entry]:
        """Return the needed jobs that have a result."""
        return self._by_state[State.done]

    def failed(self) -> list[Entry]:
        """Return the needed jobs that failed, and are not tried again."""
        return self._by_state[State.failed]

    def forgivable(self) -> list[Entry]:
        """Return the failed jobs that may be tried again: not the pilot's, once it has found what others go by."""
        return [entry for entry in self.failed() if self.rate is None or not self.is_pilots(entry.key)]

    def is_pilots(self, key: Key) -> bool:
        """Return whether a job is the pilot's."""
        return key[0] in self._pilots

    @cached_property
    def _pilots(self) -> dict[str, float]:
        return {} if self.aim.pilot is None else self.aim.pilot.names

    def planned(self) -> int:
        """Return how many trainings there are, those of the rungs that are not known yet included: at most."""
        return len(self.foreseen) + len(self.course.later)

    def seconds_left(self, workers: int, unit: float | None = None) -> float | None:
        """Return about how long so many workers need for the rest.

        `unit` is how many seconds a unit of the budget takes as far as that is known before anything is done; where it
        is not either, nothing is known of the rest.
        """
        unit = unit if self.unit is None else self.unit
        later = sum(budget or 1 for budget in self.course.later)
        return None if unit is None else (self.units_open(self.foreseen) + later) * unit / workers

    @cached_property
    def unit(self) -> float | None:
        """How many seconds a unit of the budget took, None before anything is done."""
        done = {key: entry.result.seconds for key, entry in self.entries.items() if entry.result is not None}
        return sum(done.values()) / sum(map(self._units, done)) if done else None

    def open(self) -> list[Key]:
        """Return the jobs that are needed and have not ended."""
        return [key for key in self.needed if key not in self.scores]

    def units_open(self, keys: Sequence[Key]) -> float:
        """Return how many units of a candidate's budget what has not ended of these jobs still takes."""
        open_ = [key for key in keys if key not in self.scores]
        shares = {key: self.entries[key].share for key in open_ if key in self.entries}
        return sum(self._units(key) * (1 - shares.get(key, 0.0)) for key in open_)

    def _units(self, key: Key) -> float:
        """Return how much a job takes, in units of a candidate's budget."""
        cost = self.aim.pilot.cost if self.aim.pilot is not None and self.is_pilots(key) else 1.0
        return (key[2] or 1) * cost

    def hopeless(self) -> str | None:
        """Return why the first jobs failed where none has succeeded: so will the others."""
        failed, enough = self.failed(), min(_HOPELESS, len(self.needed))
        return failed[0].why() if len(failed) >= enough and not self.done() else None


def _loss(entry: Entry, by: str) -> float:
    """Return what a training of the pilot lost that ended: infinitely much where it diverged or failed."""
    result = entry.result
    if result is None or result.accuracy is None:
        return math.inf
    return 1 - result.accuracy if by == "accuracy" or result.loss is None else result.loss
