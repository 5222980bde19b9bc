"""The course of a search: its rungs and their trainings, as far as they follow from what is known."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from scalenet.search.answer.trainings import tabled
from scalenet.search.rungs.hunt import FINALISTS, next_trainings, standing
from scalenet.search.rungs.race import next_round, spent
from scalenet.search.rungs.schedule import Rung, entrants, finished, needed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scalenet.search.answer.finding import Trained
    from scalenet.search.answer.trainings import Shares
    from scalenet.search.rungs.hunt import Hunt
    from scalenet.search.rungs.race import Race, Training
    from scalenet.search.rungs.schedule import Key, Schedule


@dataclass(frozen=True)
class Course:
    """Who is trained with which seeds for how long.

    `rungs` are those that are known, with the candidates of each, of `stages` in all. `needed` are their trainings, in
    the order of their evaluation, and `later` the budgets of those that may follow: at most, in a race. `newcomers` are
    members of a hunt that are needed for the first time, and what proposed them.
    """

    rungs: list[tuple[Rung, tuple[str, ...]]]
    stages: int
    needed: list[Key]
    later: list[int | None]
    finished: bool
    newcomers: tuple[tuple[str, str], ...] = ()


def scheduled(schedule: Schedule, names: Sequence[str], scores: Mapping[Key, float | None]) -> Course:
    """Return the course of a schedule, whose rungs follow from the scores alone."""
    known = entrants(schedule, names, scores)
    return Course(
        rungs=list(zip(schedule.rungs, known, strict=False)),  # later rungs are not known yet
        stages=len(schedule.rungs),
        needed=needed(schedule, names, scores),
        later=_later(schedule, names, len(known)),
        finished=finished(schedule, names, scores),
    )


def _later(schedule: Schedule, names: Sequence[str], known: int) -> list[int | None]:
    """Return the budgets of the trainings of the rungs that are not known yet."""
    budgets: list[int | None] = []
    for before, rung in list(pairwise(schedule.rungs))[known - 1 :]:
        seeds = set(rung.seeds) - set(before.seeds if before.budget == rung.budget else ())
        budgets += [rung.budget] * (rung.keep or len(rung.names or names)) * len(seeds)
    return budgets


def raced(race: Race, shares: Shares, scores: Mapping[Key, float | None], begun: Sequence[Key]) -> Course:
    """Return the course of a race: the trainings that are on the board, and once all have ended the next round.

    What is on the board was chosen from the results before it, so that it need not be chosen again.
    """
    names = tuple(shares)
    seeds = set(race.seeds)
    chosen = [key for key in begun if key[0] in shares and key[1] in seeds and key[2] in race.budgets]
    trained = tabled(shares, race, scores, race.held_out)
    ended = all(key in scores for key in chosen)
    new = [_key(race, names, one) for one in next_round(race, trained)] if ended else []
    over = ended and not new
    wanted = chosen + new
    return Course(
        rungs=_stages(race, names, wanted),
        stages=2,
        needed=wanted,
        later=[] if over else _later_in(race, trained, [key for key in wanted if key not in scores]),
        finished=over,
    )


def hunted(hunt: Hunt, scores: Mapping[Key, float | None], begun: Sequence[Key]) -> Course:
    """Return the course of a hunt: as in a race, what is on the board, and once all have ended the next round."""
    found = standing(hunt, scores, begun)
    ended = all(key in scores for key in begun)
    new = next_trainings(found) if ended else []
    keys = [(name, hunt.seeds[seed], hunt.race.budget if full else hunt.race.short) for name, seed, full, _ in new]
    over = ended and not new
    wanted = [*begun, *keys]
    names = tuple(dict.fromkeys(name for name, _, _ in wanted))
    more = max(0, hunt.trials - len(names)) if found.proposing else 0
    again = 0
    if hunt.race.most > 1:  # random members get a second short training
        again = min(hunt.first, hunt.trials) - sum(key[1:] == (hunt.seeds[1], hunt.race.short) for key in wanted)
    rest = FINALISTS * (hunt.finalist_seeds - 1)
    race = found.race.changed(cap=max(0.0, found.race.cap + rest - (more + again) * hunt.ratio))
    open_ = [key for key in wanted if key not in scores]
    short: list[int | None] = [hunt.race.short] * (more + again)
    return Course(
        rungs=_stages(race, names, wanted),
        stages=2,
        needed=wanted,
        later=[] if over else short + _later_in(race, found.trained, open_),
        finished=over,
        newcomers=tuple((name, by) for name, _, _, by in new if by is not None),
    )


def _key(race: Race, names: Sequence[str], training: Training) -> Key:
    budget = race.budget if training.full else race.short
    return names[training.candidate], race.seeds[training.seed], budget


def _stages(race: Race, names: Sequence[str], wanted: Sequence[Key]) -> list[tuple[Rung, tuple[str, ...]]]:
    """Return everybody's short trainings, and those to the end as far as they are known, as rungs."""
    found = [(Rung(seeds=race.seeds[:1], budget=race.short), tuple(names))]
    full = [key for key in wanted if key[2] == race.budget]
    if full:
        most = max(seed for _, seed, _ in full) + 1 - race.first_seed
        chosen = {name for name, _, _ in full}
        rung = Rung(seeds=race.seeds[:most], budget=race.budget)
        found.append((rung, tuple(name for name in names if name in chosen)))
    return found


def _later_in(race: Race, trained: Trained, open_: Sequence[Key]) -> list[int | None]:
    """Return the budgets of trainings to the end that the cap holds beyond those that are open."""
    taken = sum(1.0 if budget == race.budget else trained.ratio for _, _, budget in open_)
    return [race.budget] * max(0, int(race.cap - spent(trained) - taken + 1e-9))
