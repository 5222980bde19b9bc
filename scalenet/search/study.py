"""A study: the candidates of a search, what is known of them in its database, and what follows from it."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from scalenet.arch.config import as_data, config_of
from scalenet.arch.errors import ScalenetError
from scalenet.arch.files import read_text, write_text
from scalenet.search.answer.outcome import PROXIES, Outcome
from scalenet.search.answer.trainings import shares_of, tabled
from scalenet.search.folder import Jobs, command, discard, forget_answer, recorded_plan, sweep, write_plan
from scalenet.search.plan import Plan
from scalenet.search.plan import recorded as plan_of
from scalenet.search.queue.jobs import Aim
from scalenet.search.rungs.race import Race, spent
from scalenet.search.rungs.schedule import Schedule
from scalenet.search.space.candidates import Facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from scalenet.search.evaluators import Evaluator
    from scalenet.search.queue.board import Board, NewCandidate, Place
    from scalenet.search.queue.jobs import View
    from scalenet.search.queue.presence import Presence
    from scalenet.search.space.candidates import Candidate


class Study:
    """The candidates of a plan, and what the board of its search says of them."""

    def __init__(self, folder: Path, plan: Plan, facts: Mapping[str, Facts], place: Place, board: Board) -> None:
        """Take a plan, what is known of its candidates by name, and the board."""
        self.folder, self.plan, self.facts, self.place, self.board = folder, plan, facts, place, board
        self.proxies = {name: scores for name, scores in _scored(folder).items() if name in facts}

    def command(self, verb: str, *words: str) -> str:
        """Return the command that does something with the search, as a shell takes it."""
        return command(self.folder, self.place, verb, *words)

    def begin(
        self,
        candidates: Sequence[Candidate],
        *,
        more: int = 0,
        force: bool = False,
        ready: Callable[[Plan], None],
        say: Callable[[str], None],
        request: dict[str, Any],
        here: Presence | None,
    ) -> None:
        """Begin the search, go on with it, or join it; the winner and its ties get `more` seeds.

        `ready` raises ScalenetError where a plan cannot be evaluated, and `say` hears of what is left out. The
        request is recorded with the search, and `here` takes part in it. Raise ScalenetError where its name or its
        folder is another search's, unless `force` discards that, and where others are at it with another plan.
        """
        if force:
            self._discard()
        self.plan = self.plan.changed(search=self.board.token)
        if not force:
            self._check_folder(recorded_plan(self.folder))
        asked = self.plan
        while True:
            before, self.plan = self.board.plan(), asked
            if before is not None:
                self._go_on(plan_of(before, self.place.name), more, say)
            other = before not in (None, as_data(self.plan))
            if other:
                self.board.check_idle(self.folder, " with another schedule or objective")
                ready(self.plan)
                forget_answer(self.folder)
            known, plan = self._known(candidates), as_data(self.plan)
            if self.board.begin(
                self._aim(), plan=plan, before=before, alone=other, request=request, candidates=known, here=here
            ):
                break
        write_plan(self.folder, self.plan)
        sweep(self.folder)

    def _known(self, candidates: Sequence[Candidate]) -> Iterator[NewCandidate]:
        """Yield what the board is to know of each candidate, and of what the pilot trains."""
        for one in candidates:
            yield one.name, asdict(self.facts[one.name]), one.config
        if self.plan.pilot is not None:
            baseline = config_of(self.plan.baseline)
            for name in self.plan.pilot.names:
                yield name, {}, baseline

    def _aim(self) -> Aim:
        objective, target = self.plan.objective, self.plan.grid.product
        factors = {name: objective.factor(facts.flops_ratio, target=target) for name, facts in self.facts.items()}
        plan = self.plan
        return Aim(
            schedule=plan.schedule,
            factors=factors,
            shares=shares_of(self.facts) if isinstance(plan.schedule, Race) else {},
            pilot=plan.pilot,
            learning_rate=plan.learning_rate,
        )

    def _discard(self) -> None:
        """Forget the search and remove its files, unless processes are at it."""
        self.board.check_idle(self.folder)
        self.board.remove()
        pilot = self.plan.pilot
        discard(self.folder, {*self.plan.candidates, *(() if pilot is None else pilot.names)})
        self.proxies = {}
        self.board = self.place.board()

    def _go_on(self, before: Plan, more: int, say: Callable[[str], None]) -> None:
        """Keep the pilot, and how far an earlier schedule went beyond this one; add what is needed for more seeds."""
        self._check_same(before, shared=True)
        mine, theirs = self.plan.schedule, before.schedule
        if _continues(mine, theirs) or (more and isinstance(mine, Race) and isinstance(theirs, Race)):
            mine = theirs
        elif isinstance(theirs, Schedule) and any(rung.names for rung in theirs.rungs):
            say("the schedule is another: what --more-seeds added does not count, until it is asked for again")
        if more:
            outcome = self.outcome()
            if not outcome.view.finished:
                raise ScalenetError("--more-seeds is for a finished search", hint="go on with it without them first")
            mine = mine.with_more(more, tuple(outcome.contenders()))
        self.plan = self.plan.changed(schedule=mine, pilot=before.pilot)

    def score(self, candidates: Sequence[Candidate], scores: Callable[[Candidate], Mapping[str, float | None]]) -> None:
        """Compute the training-free scores of candidates that have none yet, and write `proxies.csv`."""
        import pandas as pd  # noqa: PLC0415 - slow to import

        for candidate in candidates:
            if candidate.name not in self.proxies:
                self.proxies[candidate.name] = dict(scores(candidate))
        rows = [{"name": candidate.name, **self.proxies[candidate.name]} for candidate in candidates]
        write_text(self.folder / "proxies.csv", pd.DataFrame(rows).to_csv(index=False))

    def close(self, view: View) -> None:
        """End a race with what is trained: what runs and waits is dropped."""
        race = self.plan.schedule
        assert isinstance(race, Race)
        cap = spent(tabled(shares_of(self.facts), race, view.scores, race.held_out))
        self.plan = self.plan.changed(schedule=race.changed(cap=cap))
        self.board.cut(self._aim(), as_data(self.plan))
        write_plan(self.folder, self.plan)

    def outcome(self, view: View | None = None) -> Outcome:
        """Return what is found so far."""
        return Outcome(self.plan, self.facts, view or self.board.view(), self.proxies)

    def write(self, outcome: Outcome | None = None) -> None:
        """Write the tables: candidates, jobs and curves."""
        outcome = outcome or self.outcome(self.board.view(curves=True))
        tables = {"candidates": outcome.table(), "jobs": outcome.jobs(), "curves": outcome.curves()}
        for name, table in tables.items():
            write_text(self.folder / f"{name}.csv", table.to_csv(index=False))

    def _check_folder(self, before: Plan | None) -> None:
        """Refuse a folder that another search is in."""
        self._check_same(before)
        if before is not None and before.search != self.board.token:
            raise ScalenetError(
                f"{self.folder} holds another search than {self.place.name!r} of {self.board.database.place}",
                hint="give another folder with -o, the --name and --storage it has, or discard it with --force",
            )

    def _check_same(self, before: Plan | None, *, shared: bool = False) -> None:
        """Refuse a search that is not the one in the folder, or of this name in the `shared` database."""
        if before is not None and (changed := self.plan.differences(before)):
            where = f"{self.board.database.place}, {self.place.name!r}," if shared else self.folder
            other = "name with --name" if shared else "folder with -o"
            raise ScalenetError(
                f"{where} holds another search: {', '.join(changed)} differ",
                hint=f"give another {other}, or discard that search with --force",
            )


def _scored(folder: Path) -> dict[str, dict[str, float | None]]:
    """Return the training-free scores on file."""
    file = folder / "proxies.csv"
    if not (file.exists() and (folder / "search.yaml").is_file()):
        return {}
    hint = "remove it: they are computed anew"
    rows = csv.DictReader(read_text(file, str(file), hint=hint).splitlines())
    try:
        if not {"name", *PROXIES} <= set(rows.fieldnames or ()):
            raise KeyError("name")
        return {row["name"]: {name: _score(row[name]) for name in PROXIES} for row in rows}
    except (csv.Error, KeyError, TypeError, ValueError):  # empty, cut off, or another program's
        raise ScalenetError(f"{file}: no table of training-free scores", hint=hint) from None


def _score(text: str | None) -> float | None:
    if text is None:
        raise ValueError("a row is cut off")
    score = float(text) if text else None
    if score is not None and not math.isfinite(score):
        raise ValueError(text)
    return score


def _continues(mine: Schedule | Race, theirs: Schedule | Race) -> bool:
    """Return whether what was begun is what is asked for, and went further."""
    if isinstance(mine, Race) and isinstance(theirs, Race):
        return mine.like(theirs)
    if isinstance(mine, Schedule) and isinstance(theirs, Schedule):
        return theirs.rungs[: len(mine.rungs)] == mine.rungs
    return False


def new_study(folder: Path, plan: Plan, candidates: Sequence[Candidate], place: Place, board: Board) -> Study:
    """Return the study of candidates that were just enumerated."""
    return Study(folder, plan, {candidate.name: candidate.facts() for candidate in candidates}, place, board)


def load_study(folder: Path, place: Place) -> Study:
    """Open a search that was begun, only to be read; raise ScalenetError where there is none."""
    board = place.look()
    plan = plan_of(board.plan() or {}, place.name)
    known = board.candidates()
    return Study(folder, plan, _Recorded({name: known[name] for name in plan.candidates}), place, board)


class _Recorded(Mapping[str, Facts]):
    """The facts of candidates by name, each read from its JSON once it is wanted: who looks wants few of thousands."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._read: dict[str, Facts] = {}

    def __getitem__(self, name: str) -> Facts:
        if name not in self._read:
            own = json.loads(self._texts[name])
            self._read[name] = Facts(**{**own, "merged": tuple(own["merged"])})
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


def check(evaluator: Evaluator, folder: Path, candidates: Sequence[Candidate], plan: Plan) -> None:
    """Raise ScalenetError where an evaluator cannot do the jobs of a plan, before anything is written."""
    configs = {candidate.name: candidate.config for candidate in candidates}
    rate, pilot, baseline = plan.learning_rate, plan.pilot, config_of(plan.baseline)
    rates = {} if pilot is None else pilot.names
    if pilot is not None:
        rate = pilot.rates[0]  # stands for what it will find
    jobs = Jobs(folder, lambda name: configs.get(name, baseline), lambda name: rates.get(name, rate))
    keys = [] if pilot is None else [key for tried in pilot.rates for key in pilot.keys(tried)]
    evaluator.check([jobs(key) for key in (*keys, *plan.schedule.possible(tuple(configs)))])
