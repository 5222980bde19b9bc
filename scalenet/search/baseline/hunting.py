"""A search for a baseline as a program has it: asked for, run, looked at from anywhere, and its answer."""

from __future__ import annotations

import json
from contextlib import chdir, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalenet.arch import strict_yaml
from scalenet.arch.config import as_data, save
from scalenet.arch.errors import ScalenetError
from scalenet.arch.files import write_text
from scalenet.arch.results import Results
from scalenet.arch.words import hush, tell
from scalenet.search.baseline.asked import BaselineAsked, ask_baseline
from scalenet.search.baseline.outcome import NAME, BaselineOutcome
from scalenet.search.baseline.plan import BaselinePlan, plan_of, recorded_plan
from scalenet.search.baseline.request import BaselineRequest
from scalenet.search.baseline.status import BaselineStatus, Watch
from scalenet.search.folder import Jobs, check_shared, command, database, discard_networks, made
from scalenet.search.judges import find_judges, is_apart, train_all
from scalenet.search.keeping import missing, models_of, winners
from scalenet.search.queue.database import PATIENCE
from scalenet.search.queue.jobs import Aim
from scalenet.search.queue.presence import Presence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

    from scalenet.search.judges import Judges
    from scalenet.search.queue.board import Board, Place
    from scalenet.search.queue.jobs import View
    from scalenet.search.queue.launch import Engine
    from scalenet.search.setting import Bar

DATABASE = "baseline-search.db"
RESULTS = Results(
    "baseline search",
    "baseline-search.yaml",
    ("baseline-search.yaml", "baseline.yaml", "members.csv", "jobs.csv", "curves.csv", "report.html", "plots/*.svg"),
)
"""The files of a search for a baseline, beside its database and its folders `candidates`, `jobs` and `models`."""


class BaselineSearch:
    """A search for a baseline: what `baseline_search` asked for, or one that was begun, which `open_baseline_search`
    reads. Nothing is written before its `run()`.
    """

    def __init__(self, folder: Path, place: Place, asked: BaselineAsked | None = None, *, force: bool = False) -> None:
        """Take the folder, where its results are kept, and what was asked for, unless that is recorded there."""
        self.folder, self.place, self._asked, self._force = folder, place, asked, force
        self._opened = asked is None

    @property
    def name(self) -> str:
        """What the search is called in its storage."""
        return self.place.name

    @property
    def asked(self) -> BaselineAsked:
        """What was asked for, read again where the search was opened."""
        if self._asked is None:
            request = self.place.look().request()
            self._asked = ask_baseline(BaselineRequest.again(request.get("options", {}), self.plan))
        return self._asked

    @property
    def plan(self) -> BaselinePlan:
        """All that the results follow from; raise ScalenetError where nothing was begun."""
        return self._plan_on(self.place.look())

    @property
    def base(self) -> str:
        """The name of the space."""
        return self.plan.hunt.space.name

    def run(
        self,
        workers: int | None = None,
        *,
        device: str | None = None,
        data: str | Path | None = None,
        time_limit: float | str | None = None,
        apart: bool | None = None,
        say: Callable[[str], None] | None = tell,
        bar: Bar | None = None,
    ) -> BaselineSearch:
        """Train what is left, write tables, `baseline.yaml` and the report, and return the search.

        It goes on where it was stopped, and takes part where others are at it. One worker trains in this process,
        several have one each (one too where it is to be `apart`). `workers`, `device` and `data` are those of this
        machine, and a `time_limit` stands for the one before. `say` hears a line for each thing that happens.
        Ctrl-C gives back what runs and raises KeyboardInterrupt. Raise ScalenetError where the folder is another
        search's, RunError where the first trainings all fail.
        """
        hear = say or hush
        changes = {"workers": workers, "device": device, "data": data, "time_limit": time_limit}
        with self._directory():
            self._ask({name: value for name, value in changes.items() if value is not None})
            apart = is_apart(self.asked, len(self.asked.workers()), apart)
            begun = None if self._force else self._recorded()
            asked = self.asked.in_time(begun, say=hear)
            judges = find_judges(asked, say=hear, bar=bar or hush)
            with Presence(len(judges.evaluators)) as here:
                board = self._begin(asked, judges, here, hear)
                self._train(board, asked, judges, here, apart=apart, say=hear)
        if self.outcome().view.finished:
            hear(f"report: {self.write()}")
        else:
            hear(f"the search was asked to stop; {self.command('resume')} goes on")
        return self

    def _train(
        self,
        board: Board,
        asked: BaselineAsked,
        judges: Judges,
        here: Presence,
        *,
        apart: bool,
        say: Callable[[str], None],
    ) -> None:
        """Train all that is left; KeyboardInterrupt gives back what runs."""
        watch = Watch(self, board, here, say)
        for line in missing(asked, self.folder, board.view()):
            say(line)
        threads = asked.own.threads
        train_all(board, self.place, self.folder, judges, threads=threads, apart=apart, look=watch, say=say)

    def _directory(self) -> Any:
        """Return the context of a run: a search that was opened is gone on with in the directory it was begun in."""
        if self._asked is not None:
            return nullcontext()
        begun = Path(self.place.look().request()["directory"])
        self.folder = self.folder.absolute()
        return chdir(begun) if begun.is_dir() else nullcontext()

    def _ask(self, changes: Mapping[str, Any]) -> None:
        """Ask anew for what is otherwise on this machine."""
        if changes:
            self._asked = ask_baseline(replace(self.asked.own, **changes))

    def stop(self) -> int:
        """Ask all processes of the search to give back what they are at and to end; return how many trainings ran."""
        running = self.status().running
        self.place.board().stop()
        return running

    def launch(
        self,
        engine: Engine,
        count: int,
        *,
        workers: int = 1,
        device: str | None = None,
        data: str | Path | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Start jobs that take part in a search that was begun, as `Search.launch` does; return their numbers."""
        from scalenet.search.queue.launch import launch, resume_words  # noqa: PLC0415 - starts processes

        words = resume_words(workers=workers, device=device, data=data)
        _ = self.plan
        return launch(self.folder, self.place, engine, count, words=words, options=options)

    def status(self) -> BaselineStatus:
        """Return how far the search is; raise ScalenetError where nothing was begun."""
        outcome = self.outcome()
        workers = max(1, len(outcome.view.running()))
        return BaselineStatus(self.name, outcome, workers, stopped=self.place.look().stopped())

    def results(self) -> pd.DataFrame:
        """Return a row a member: costs and accuracies as far as they are known, the best first."""
        return self.outcome().table()

    def jobs(self) -> pd.DataFrame:
        """Return a row a finished training."""
        return self.outcome().jobs()

    def models(self) -> dict[str, Path]:
        """Return the folders of the trained networks that were kept here (`keep_models`), by training: NAME_seedN."""
        return models_of(self.folder, self.outcome().view)

    def sentences(self) -> tuple[str, ...]:
        """Return the answer, and where the winner's trained networks are, if they were kept."""
        outcome = self.outcome()
        kept = models_of(self.folder, outcome.view)
        return *outcome.sentences(), *winners(kept, self.folder, outcome.winner or "")

    def command(self, verb: str, *words: str) -> str:
        """Return the command that does something with the search, as a shell takes it."""
        return command(self.folder, self.place, verb, *words, file=DATABASE)

    def outcome(self, view: View | None = None, *, curves: bool = False) -> BaselineOutcome:
        """Return what is known now; raise ScalenetError where nothing was begun."""
        board = self.place.look()
        view = view or board.view(curves=curves)
        plan = self._plan_on(board)
        facts = {name: json.loads(text) for name, text in board.candidates().items()}
        return BaselineOutcome(plan, view, {name: str(one.get("by")) for name, one in facts.items()})

    def _plan_on(self, board: Board) -> BaselinePlan:
        found = recorded_plan(board)
        if found is None:
            raise ScalenetError(f"{self.folder}: no search was begun here", hint="`run()` begins it")
        return found

    def sample(self) -> list[dict[str, Any]]:
        """Return the first random members of the band, with their costs."""
        members, drawn = self.asked.hunt.members(), self.asked.sample.members
        return [
            {"name": members.name(member), **costs} for member, costs in zip(drawn, members.costs(drawn), strict=True)
        ]

    def write(self) -> Path:
        """Write tables, the answer and the report of what is known; return the report."""
        from scalenet.report.baseline import write_baseline_report  # noqa: PLC0415 - slow to import

        outcome = self.outcome(curves=True)
        self.write_tables(outcome)
        RESULTS.sweep(self.folder)
        save(outcome.baseline(), self.folder / f"{NAME}.yaml")
        return write_baseline_report(outcome, self.folder)

    def write_tables(self, outcome: BaselineOutcome) -> None:
        """Write members, jobs and curves as CSV."""
        tables = {"members": outcome.table(), "jobs": outcome.jobs(), "curves": outcome.curves()}
        for name, table in tables.items():
            write_text(self.folder / f"{name}.csv", table.to_csv(index=False))

    def _recorded(self) -> BaselinePlan | None:
        """Return the plan of a search that was begun, in its database or, where that is gone, in its folder."""
        own = self.place.url == database(self.folder, DATABASE)
        if own and not (self.folder / DATABASE).exists():
            return None
        return recorded_plan(self.place.board())

    def _begin(self, asked: BaselineAsked, judges: Judges, here: Presence, say: Callable[[str], None]) -> Board:
        """Begin the search, go on with it or join it, and be `here`; where it is refused nothing is left behind."""
        evaluator = judges.evaluators[0]
        plan = asked.plan(judges).changed(sources=evaluator.sources())
        self._check(plan, judges)
        with made(self.folder, self.place, DATABASE):
            board = self.place.board(patience=PATIENCE, say=say)
            hear = hush if self._force else say
            check_shared(self.folder, self.place, board, hear, opened=self._opened, results=RESULTS, file=DATABASE)
            if self._force:
                board = self._discarded(board)
            request = {
                "options": asked.own.recorded(),
                "directory": str(Path.cwd()),
                "folder": str(self.folder.absolute()),
            }
            plan = self._settled(board, plan.changed(search=board.token), request, here)
            write_text(self.folder / RESULTS.record, strict_yaml.dump(as_data(plan)))
        return board

    def _settled(self, board: Board, asked: BaselinePlan, request: dict[str, Any], here: Presence) -> BaselinePlan:
        """Begin the search with a plan, or with what goes on of it; return that."""
        while True:
            recorded, before, plan = board.plan(), None, asked
            if recorded is None:
                RESULTS.recorded(self.folder)  # refuses files of others
            else:
                before = plan_of(recorded, self.place.name)
                plan = self._continued(plan, before, board)
            other = before not in (None, plan)
            if other:
                board.check_idle(self.folder, " with other trials, seeds or time")
            aim = Aim(schedule=plan.hunt, factors={})
            if board.begin(aim, plan=as_data(plan), before=recorded, alone=other, request=request, here=here):
                return plan

    def _check(self, plan: BaselinePlan, judges: Judges) -> None:
        """Raise ScalenetError where the evaluator cannot do the first jobs."""
        members = plan.hunt.members()
        names = [members.name(member) for member in self.asked.sample.members]
        jobs = Jobs(self.folder, members.config, lambda _: plan.learning_rate)
        seeds = plan.hunt.seeds[:2]
        keys = [(name, seed, budget) for name in names for seed in seeds for budget in plan.hunt.budgets]
        judges.evaluators[0].check([jobs(key) for key in keys])

    def _continued(self, plan: BaselinePlan, before: BaselinePlan, board: Board) -> BaselinePlan:
        """Return the plan of a search that goes on: it keeps what it went further in, and what its clock left out."""
        mine, theirs = plan.hunt, before.hunt
        trials = max(mine.trials, theirs.trials) if self.asked.own.trials is None else mine.trials
        hunt = mine.changed(trials=trials, first=theirs.first, batch=theirs.batch)
        alike = board.request().get("options", {}).get("trials") == self.asked.own.trials
        if alike and hunt.race == theirs.race and hunt.time_limit is not None:
            left = {name: getattr(theirs, name) for name in ("trials", "finals", "finalist_seeds")}
            hunt = hunt.changed(**left)
        changed = plan.changed(hunt=hunt)
        self._refuse(changed, before)
        return changed

    def _refuse(self, plan: BaselinePlan, other: BaselinePlan) -> None:
        if changed := plan.differences(other):
            raise ScalenetError(
                f"{self.folder} holds another search: {', '.join(changed)} differ",
                hint="give another folder with -o, or discard that search with --force",
            )

    def _discarded(self, board: Board) -> Board:
        board.check_idle(self.folder)
        names = [*board.candidates()]
        board.remove()
        discard_networks(self.folder, names)
        RESULTS.discard(self.folder)
        return self.place.board(patience=PATIENCE)
