"""A study: the candidates of a search, what is known of them in its storage, and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scalenet.arch.config import as_data, as_record, digest
from scalenet.arch.errors import ScalenetError
from scalenet.arch.files import write_text
from scalenet.arch.spec import Architecture
from scalenet.search.candidates import enumerate_candidates
from scalenet.search.folder import Jobs, discard, forget_answer, recorded_plan, write_plan
from scalenet.search.jobs import Aim, State
from scalenet.search.outcome import PROXIES, Outcome
from scalenet.search.plan import Plan
from scalenet.search.schedule import Schedule
from scalenet.search.worker import Task
from scalenet.search.workers import work

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from scalenet.search.board import Board, Place
    from scalenet.search.candidates import Candidate
    from scalenet.search.evaluators import Evaluator
    from scalenet.search.jobs import View


class Study:
    """The candidates of a plan, and what the board of its search says of them."""

    def __init__(
        self, folder: Path, plan: Plan, candidates: Sequence[Candidate], place: Place, board: Board | None = None
    ) -> None:
        """Open a search in its storage, where it may have been begun by another process."""
        self.folder, self.plan, self.place = folder, plan, place
        self.candidates = {candidate.name: candidate for candidate in candidates}
        self.board: Board = board or place.board()
        self.jobs = Jobs(folder, {name: candidate.config for name, candidate in self.candidates.items()})
        self.proxies = self._scored()

    def begin(
        self,
        *,
        more: int = 0,
        force: bool = False,
        ready: Callable[[Plan], None],
        say: Callable[[str], None],
        **attributes: Any,
    ) -> None:
        """Begin the search, go on with it, or join it; the winner and its ties get `more` seeds.

        `ready` raises ScalenetError where a plan cannot be evaluated, and `say` hears of what is left out. The
        attributes are recorded with the search. Raise ScalenetError where its name or its folder is another search's,
        unless `force` discards that, and where others are at it with another plan.
        """
        if force:
            self._discard()
        else:
            self._check_same(recorded_plan(self.folder))
        recorded = self.board.plan()
        if recorded is not None:
            self._go_on(as_record(Plan, recorded, self.place.name), more, say)
            if recorded != as_data(self.plan):
                self._check_idle("with another schedule or objective")
                ready(self.plan)
                forget_answer(self.folder)
        self._check_same(as_record(Plan, self.board.settle(as_data(self.plan)), self.place.name), shared=True)
        write_plan(self.folder, self.plan, self.jobs.configs)
        factors = {name: self._factor(candidate) for name, candidate in self.candidates.items()}
        aim = Aim(schedule=self.plan.schedule, factors=factors)
        self.board.begin(aim, plan=as_data(self.plan), **attributes)

    def _discard(self) -> None:
        """Forget the search and remove its files, unless processes are at it."""
        self._check_idle()
        self.board.remove()
        discard(self.folder, self.plan.candidates)
        self.proxies = {}
        self.board = self.place.board()

    def _check_idle(self, how: str = "") -> None:
        """Raise ScalenetError where processes are at the search."""
        self.board.find_dead()
        running = sum(entry.state is State.running for entry in self.board.entries().values())
        if running:
            jobs = "1 job is" if running == 1 else f"{running} jobs are"
            raise ScalenetError(
                " ".join(filter(None, (f"{self.folder}: {jobs} running just now", how))),
                hint=f"`scalenet search stop` ends them; one that was killed counts as dead after {self.place.grace} s",
            )

    def _go_on(self, before: Plan, more: int, say: Callable[[str], None]) -> None:
        """Keep the rungs that an earlier schedule has beyond this one, and add one for more seeds."""
        self._check_same(before, shared=True)
        rungs = self.plan.schedule.rungs
        if before.schedule.rungs[: len(rungs)] == rungs:
            rungs = before.schedule.rungs
        elif any(rung.names for rung in before.schedule.rungs):
            say("the schedule is another: what --more-seeds added does not count, until it is asked for again")
        if more:
            outcome = self.outcome()
            if not outcome.view.finished():
                raise ScalenetError("--more-seeds is for a finished search", hint="go on with it without them first")
            ranking = outcome.ranking
            names = tuple(standing.name for standing in (ranking.winner, *ranking.ties))
            last = rungs[-1]
            seeds = (*last.seeds, *range(max(last.seeds) + 1, max(last.seeds) + 1 + more))
            rungs = (*rungs, last.changed(names=names, seeds=seeds))
        self.plan = self.plan.changed(schedule=Schedule(rungs=rungs))

    def run(
        self,
        evaluators: Sequence[Evaluator],
        environments: Sequence[Mapping[str, str]],
        *,
        look: Callable[[View], None],
        say: Callable[[str], None],
    ) -> None:
        """Evaluate what is left, with a worker process for each evaluator and environment."""
        tasks = [
            Task(self.place, evaluator, self.jobs, environment)
            for evaluator, environment in zip(evaluators, environments, strict=True)
        ]
        work(self.board, tasks, look=look, say=say)

    def score(self, scores: Callable[[Candidate], Mapping[str, float | None]]) -> None:
        """Compute the training-free scores of candidates that have none yet, and write `proxies.csv`."""
        import pandas as pd  # noqa: PLC0415 - slow to import

        for name, candidate in self.candidates.items():
            if name not in self.proxies:
                self.proxies[name] = dict(scores(candidate))
        rows = [{"name": name, **self.proxies[name]} for name in self.candidates]
        write_text(self.folder / "proxies.csv", pd.DataFrame(rows).to_csv(index=False))

    def outcome(self, view: View | None = None) -> Outcome:
        """Return what is found so far."""
        return Outcome(self.plan, self.candidates, view or self.board.view(), self.proxies)

    def write(self, outcome: Outcome) -> None:
        """Write the tables: candidates, jobs and curves."""
        tables = {"candidates": outcome.table(), "jobs": outcome.jobs(), "curves": outcome.curves()}
        for name, table in tables.items():
            write_text(self.folder / f"{name}.csv", table.to_csv(index=False))

    def _factor(self, candidate: Candidate) -> float:
        return self.plan.objective.factor(candidate.flops_ratio, target=self.plan.grid.product)

    def _check_same(self, before: Plan | None, *, shared: bool = False) -> None:
        """Refuse a search that is not the one in the folder, or of this name in the `shared` storage."""
        if before is not None and (changed := self.plan.differences(before)):
            where = f"{self.board.storage.place}, {self.place.name!r}," if shared else self.folder
            other = "name with --name" if shared else "folder with -o"
            raise ScalenetError(
                f"{where} holds another search: {', '.join(changed)} differ",
                hint=f"give another {other}, or discard that search with --force",
            )

    def _scored(self) -> dict[str, dict[str, float | None]]:
        """Return the training-free scores on file."""
        import pandas as pd  # noqa: PLC0415

        file = self.folder / "proxies.csv"
        if not (file.exists() and (self.folder / "search.yaml").is_file()):
            return {}
        try:
            frame = pd.read_csv(file)[["name", *PROXIES]].astype(object)
        except (OSError, ValueError, KeyError):  # empty, cut off, or another program's
            raise ScalenetError(
                f"{file}: no table of training-free scores", hint="remove it: they are computed anew"
            ) from None
        rows = frame.where(frame.notna(), None).to_dict("records")
        return {row["name"]: {name: row[name] for name in PROXIES} for row in rows}


def check(evaluator: Evaluator, folder: Path, candidates: Sequence[Candidate], plan: Plan) -> None:
    """Raise ScalenetError where an evaluator cannot do the jobs of a plan, before anything is written."""
    jobs = Jobs(folder, {candidate.name: candidate.config for candidate in candidates})
    keys = [
        (name, seed, rung.budget)
        for rung in plan.schedule.rungs
        for seed in rung.seeds
        for name in rung.names or jobs.configs
    ]
    evaluator.check([jobs(key) for key in dict.fromkeys(keys)])


def load_study(folder: Path, place: Place) -> Study:
    """Open a search that was begun, only to be read, with the candidates of its plan.

    Raise ScalenetError where there is none.
    """
    board = place.look()
    plan = as_record(Plan, board.plan(), place.name)
    base = Architecture(plan.base, plan.model, plan.rounding)
    found = {candidate.name: candidate for candidate in enumerate_candidates(base, plan.grid).candidates}
    same = [
        name for name, known in plan.candidates.items() if name in found and digest(found[name].config.model) == known
    ]
    if len(same) < len(plan.candidates):
        raise ScalenetError(f"search {place.name!r} was begun with another version of scalenet")
    return Study(folder, plan, [found[name] for name in same], place, board)
