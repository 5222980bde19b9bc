"""The hunt for a baseline: which members of a space are trained, and the best of them to the end.

First random members get two short trainings each, with a seed of its own: a control, and what tells noise from members.
Then a method proposes batches by all results so far, and a race (see `race`) trains the best to the end with several
seeds, the best random member among them; in the end the best few have all seeds. Where one training's noise is much
larger than what members differ by nothing more is proposed, and what is left goes into the race.

A round follows from the rounds before it alone, whoever finishes first and whoever dies.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from scalenet.arch.config import as_data, as_record
from scalenet.arch.options import Positive
from scalenet.arch.records import Record
from scalenet.search.answer.finding import row_means
from scalenet.search.answer.trainings import tabled
from scalenet.search.rungs.race import FIRST_SEEDS, Race, Training, finding_of, next_round
from scalenet.spaces.latencies import Latencies
from scalenet.spaces.limits import Limits
from scalenet.spaces.members import Membership
from scalenet.spaces.methods import Method, propose
from scalenet.spaces.space import Space

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scalenet.search.answer.finding import Trained
    from scalenet.search.rungs.schedule import Key

FIRST = 20
"""Random members before a method proposes any."""

BATCH = 10
"""Members that are proposed at once."""

FINALS = 12
"""Trainings to the end of the race, beside those that make finalists' seeds whole."""

FINALISTS = 3
"""Members that get all seeds in the end, beside the best random one."""

NOISY = 9.0
"""Noise of a short training, as a multiple of members' own variance, from which on nothing more is proposed."""

PAPERS_POWER = -0.07
"""w in the paper's ACC × (FLOPs / T)^w."""


class Hunt(Record):
    """What is hunted, and how.

    A limit of latency is held against the table of `latencies`.

    `trials` members get a short training, of which the `first` are random; `finals` is how many trainings to the end
    the race has, and `finalist_seeds` how many the best few have in the end. `race` says how long trainings are and
    with which seeds; its cap is not read. Members are ranked by accuracy, or by the `paper`'s reward.
    """

    space: Space
    limits: Limits
    latencies: Latencies | None = None
    method: Method = "mixture"
    objective: Literal["accuracy", "paper"] = "accuracy"
    trials: Positive
    first: Positive = FIRST
    batch: Positive = BATCH
    finals: Annotated[float, Field(ge=0)] = FINALS
    finalist_seeds: Positive = 4
    seed: Annotated[int, Field(ge=0)] = 0
    race: Race

    @property
    def budgets(self) -> tuple[int, int]:
        """The budgets of a short training and of one to the end."""
        return self.race.budgets

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that a member may get, in order."""
        return self.race.seeds

    @property
    def time_limit(self) -> float | None:
        """After how many seconds it ends."""
        return self.race.time_limit

    @property
    def ratio(self) -> float:
        """A short training, in trainings to the end."""
        return self.race.short / self.race.budget

    @property
    def to_the_end(self) -> float:
        """About how many trainings to the end there are."""
        return self.finals + FINALISTS * (self.finalist_seeds - 1)

    @property
    def race_cap(self) -> float:
        """How much may be trained before finalists get all seeds, in trainings to the end."""
        return (self.trials + self.first) * self.ratio + self.finals

    def by(self, workers: int) -> Hunt:
        """Return this hunt with rounds for so many workers."""
        return self.changed(race=self.race.by(workers))

    def members(self) -> Membership:
        """Return the members that meet the limits."""
        given = (self.space, self.limits, self.latencies)
        return _membership(*(None if one is None else json.dumps(as_data(one)) for one in given))

    def factor(self, flops: int) -> float:
        """Return what an accuracy is multiplied by."""
        return 1.0 if self.objective == "accuracy" else reward_factor(flops, self.limits.target)


def reward_factor(flops: int, target: int) -> float:
    """Return the paper's (FLOPs / T)^w, with T the FLOPs that are aimed at."""
    return float((flops / target) ** PAPERS_POWER)


@lru_cache(maxsize=8)
def _membership(space: str, limits: str, latencies: str | None) -> Membership:
    """Return the members of a space, whose stages are counted once."""
    table = None if latencies is None else as_record(Latencies, json.loads(latencies), "latencies")
    return Membership(
        as_record(Space, json.loads(space), "space"),
        as_record(Limits, json.loads(limits), "limits"),
        latencies=table,
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """What is trained of a hunt: members in the order of their first training, and the table of their scores.

    `earlier` is how many trainings to the end there were before the youngest member's first one: those of a hunt that
    had ended when more trials were asked for.
    """

    hunt: Hunt
    names: tuple[str, ...]
    trained: Trained
    earlier: int = 0

    @property
    def race(self) -> Race:
        """The race among the members."""
        return self.hunt.race.changed(cap=self.hunt.race_cap + self.earlier)

    @property
    def control(self) -> int | None:
        """The place of the best random member: by trainings to the end, or where none has any by short ones."""
        trained, first = self.trained, self.hunt.first
        for table in (trained.sound, trained.short):
            means = np.nan_to_num(np.where(trained.out, np.nan, row_means(table)), nan=-np.inf)[:first]
            if len(means) and np.isfinite(means).any():
                return int(np.argmax(means))
        return None

    @property
    def noise(self) -> tuple[float, float] | None:
        """The variance of one short training, and that of members without it, among random ones; None if not known.

        Two trainings of a member have the member in common and nothing else.
        """
        twice = self.trained.short[: self.hunt.first, :2]
        twice = twice[~np.isnan(twice).any(axis=1)]
        if twice.shape[1] < 2 or len(twice) < 3:
            return None
        noise = float(np.var(twice[:, 0] - twice[:, 1], ddof=1)) / 2
        return noise, max(0.0, float(np.cov(twice.T)[0, 1]))

    @property
    def noisy(self) -> bool:
        """Whether noise hides what members differ by."""
        found = self.noise
        return found is not None and found[0] > 0 and found[0] >= NOISY * found[1]

    @property
    def proposing(self) -> bool:
        """Whether further members are to be trained."""
        return len(self.names) < self.hunt.trials and not self.noisy


def standing(hunt: Hunt, scores: Mapping[Key, float | None], begun: Sequence[Key]) -> Standing:
    """Return what is trained, from the accuracies of finished trainings; None is one that failed."""
    before, full = dict[str, int](), 0  # each member's trainings to the end that were begun before its first
    for name, _, budget in begun:
        before.setdefault(name, full)
        full += budget == hunt.race.budget
    names, members = tuple(before), hunt.members()
    array = members.array(names)
    flops = members.counts(array)["flops"].tolist()
    factors = {name: hunt.factor(one) for name, one in zip(names, flops, strict=True)}
    scored = {key: None if score is None else score * factors[key[0]] for key, score in scores.items()}
    features = dict(zip(names, members.features(array), strict=True)) if names else {}
    trained = tabled(features, hunt.race, scored, hunt.race.held_out)
    return Standing(hunt, names, trained, earlier=max(before.values(), default=0))


def next_trainings(found: Standing) -> list[tuple[str, int, bool, str | None]]:
    """Return the trainings that follow once all begun ones have ended: member, seed's column, whether to the end, and
    for a new member what proposed it. None where the hunt is over.
    """
    hunt, names, trained = found.hunt, found.names, found.trained
    if len(names) < min(hunt.first, hunt.trials):
        return _proposed(found, hunt.first - len(names), "random")
    repeats = _repeats(found)
    if repeats:
        return [(names[place], 1, False, None) for place in repeats]
    if found.proposing and (new := _proposed(found, hunt.batch, hunt.method)):
        return new
    wanted = list(next_round(found.race, trained))
    if wanted and not (trained.seeds > 0).any():
        wanted += _control(found, wanted)
    wanted = wanted or _finals(found)
    return [(names[one.candidate], one.seed, one.full, None) for one in wanted]


def _repeats(found: Standing) -> list[int]:
    """Return the random members whose second short training is due."""
    short = found.trained.short[: found.hunt.first]
    if short.shape[1] < 2:
        return []
    due = np.isnan(short[:, 1]) & ~np.isnan(short[:, 0]) & ~found.trained.out[: len(short)]
    return [int(place) for place in np.flatnonzero(due)]


def _proposed(found: Standing, wanted: int, method: Method) -> list[tuple[str, int, bool, str | None]]:
    """Return new members for a short training."""
    hunt = found.hunt
    wanted = min(wanted, hunt.trials - len(found.names))
    means = np.where(found.trained.out, np.nan, row_means(found.trained.short))
    new = _propose(hunt.members(), found.names, tuple(means.tolist()), wanted, hunt.seed, method)
    return [(name, 0, False, by) for name, by in new]


@lru_cache(maxsize=8)
def _propose(
    members: Membership, names: tuple[str, ...], scores: tuple[float, ...], wanted: int, seed: int, method: Method
) -> list[tuple[str, str]]:
    known = members.array(names)
    random = np.random.default_rng([seed, len(names)])
    found = propose(members, known, np.array(scores), wanted, random, method)
    return [(members.name(one.member), one.by) for one in found]


def _control(found: Standing, wanted: Sequence[Training]) -> list[Training]:
    """Return the first trainings to the end of the best random member, unless it has some among the best."""
    place = found.control
    if place is None or any(one.candidate == place for one in wanted):
        return []
    return [Training(place, seed, True) for seed in range(min(FIRST_SEEDS, found.hunt.race.most))]


def _finals(found: Standing) -> list[Training]:
    """Return the seeds that the best few and the best random member lack: a single training says little of the best."""
    trained, wanted = found.trained, min(found.hunt.finalist_seeds, found.hunt.race.most)
    judged = np.flatnonzero((trained.seeds > 0) & ~trained.out)
    if not len(judged):
        return []
    finding = finding_of(trained)
    best = judged[np.argsort(-finding.expected[judged], kind="stable")]
    chosen = list(dict.fromkeys([finding.winner, *best.tolist()]))[:FINALISTS]
    if found.control is not None and trained.seeds[found.control]:
        chosen.append(found.control)
    return [
        Training(place, int(seed), True)
        for place in dict.fromkeys(chosen)
        for seed in np.flatnonzero(np.isnan(trained.full[place]))[: max(0, wanted - int(trained.seeds[place]))]
    ]
