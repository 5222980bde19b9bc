"""A search for a baseline as a program has it: asked for, run, and its answer."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalenet.arch import strict_yaml
from scalenet.arch.config import as_data, as_record, save
from scalenet.arch.errors import ScalenetError
from scalenet.arch.files import write_text
from scalenet.arch.results import Results
from scalenet.arch.words import duration, hush, number, percentage, tell
from scalenet.search.baseline.asked import BaselineAsked, ask_baseline
from scalenet.search.baseline.clock import HuntClock
from scalenet.search.baseline.outcome import NAME, BaselineOutcome
from scalenet.search.baseline.plan import BaselinePlan, recorded_plan
from scalenet.search.baseline.request import FOLDER, BaselineRequest
from scalenet.search.folder import OWN_NAME, Jobs, database, made
from scalenet.search.judges import find_judges, is_apart, train_all
from scalenet.search.queue.board import Place
from scalenet.search.queue.database import PATIENCE
from scalenet.search.queue.jobs import Aim
from scalenet.search.queue.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scalenet.search.judges import Judges
    from scalenet.search.queue.board import Board
    from scalenet.search.queue.jobs import Entry, View
    from scalenet.search.setting import Bar
    from scalenet.spaces.space import Space
    from scalenet.training.recipe import Recipe
    from scalenet.training.sources import Layout

DATABASE = "baseline-search.db"
RESULTS = Results(
    "baseline search",
    "baseline-search.yaml",
    ("baseline-search.yaml", "baseline.yaml", "members.csv", "jobs.csv", "curves.csv", "report.html", "plots/*.svg"),
)
"""The files of a search for a baseline, beside its database and its folders `candidates` and `jobs`."""


class BaselineSearch:
    """A search for a baseline: what `baseline_search` asked for. Nothing is written before its `run()`."""

    def __init__(self, folder: Path, place: Place, asked: BaselineAsked, *, force: bool = False) -> None:
        """Take the folder, where its results are kept, and what was asked for."""
        self.folder, self.place, self.asked, self._force = folder, place, asked, force

    def run(
        self,
        *,
        apart: bool | None = None,
        say: Callable[[str], None] | None = tell,
        bar: Bar | None = None,
    ) -> BaselineSearch:
        """Train what is left, write tables, `baseline.yaml` and the report, and return the search.

        It goes on where it was stopped, and takes part where others are at it. One worker trains in this process,
        several have one each (one too where it is to be `apart`). `say` hears a line for each thing that happens.
        Ctrl-C gives back what runs and raises KeyboardInterrupt. Raise ScalenetError where the folder is another
        search's, RunError where the first trainings all fail.
        """
        hear = say or hush
        apart = is_apart(self.asked, len(self.asked.workers()), apart)
        begun = None if self._force else self._recorded()
        asked = self.asked.in_time(begun, say=hear)
        judges = find_judges(asked, say=hear, bar=bar or hush)
        board = self._begin(asked, judges, hear)
        watch = _Watch(self, board, len(judges.evaluators), hear)
        try:
            train_all(
                board, self.place, self.folder, judges, threads=asked.own.threads, apart=apart, look=watch, say=hear
            )
        except KeyboardInterrupt:
            hear(f"stopped; what is finished is kept in {self.folder}, and the same command goes on from there")
            raise
        if self.outcome().view.finished:
            hear(f"report: {self.write()}")
        else:
            hear("the search was asked to stop; the same command goes on")
        return self

    def outcome(self, view: View | None = None, *, curves: bool = False) -> BaselineOutcome:
        """Return what is known now; raise ScalenetError where nothing was begun."""
        board = self.place.look()
        view = view or board.view(curves=curves)
        plan = recorded_plan(board)
        if plan is None:
            raise ScalenetError(f"{self.folder}: no search was begun here", hint="`run()` begins it")
        facts = {name: json.loads(text) for name, text in board.candidates().items()}
        return BaselineOutcome(plan, view, {name: str(one.get("by")) for name, one in facts.items()})

    def sample(self) -> list[dict[str, Any]]:
        """Return the first random members of the band, with their costs."""
        members, drawn = self.asked.hunt.members(), self.asked.sample.members
        counts = members.counts(drawn)
        return [
            {"name": members.name(member), **{name: int(values[place]) for name, values in counts.items()}}
            for place, member in enumerate(drawn)
        ]

    def write(self) -> Path:
        """Write tables, the answer and the report of what is known; return the report."""
        from scalenet.report.baseline import write_baseline_report  # noqa: PLC0415 - slow to import

        outcome = self.outcome(curves=True)
        write_tables(self.folder, outcome)
        RESULTS.sweep(self.folder)
        save(outcome.baseline(), self.folder / f"{NAME}.yaml")
        return write_baseline_report(outcome, self.folder)

    def _recorded(self) -> BaselinePlan | None:
        """Return the plan of a search that was begun, in its database or, where that is gone, in its folder."""
        own = self.place.url == database(self.folder, DATABASE)
        if own and not (self.folder / DATABASE).exists():
            return None
        return recorded_plan(self.place.board())

    def _begin(self, asked: BaselineAsked, judges: Judges, say: Callable[[str], None]) -> Board:
        """Begin the search, go on with it or join it; where it is refused nothing is left behind."""
        evaluator = judges.evaluators[0]
        plan = asked.plan(judges).changed(sources=evaluator.sources())
        self._check(plan, judges)
        with made(self.folder, self.place, DATABASE):
            board = self.place.board(patience=PATIENCE, say=say)
            if self._force:
                board = self._discarded(board)
            before = recorded_plan(board)
            if before is None:
                RESULTS.recorded(self.folder)  # refuses files of others
            else:
                plan = self._continued(plan, before)
            plan = plan.changed(search=board.token)
            settled = as_record(BaselinePlan, board.settle(as_data(plan)), self.place.name)
            self._refuse(plan, settled)
            write_text(self.folder / RESULTS.record, strict_yaml.dump(as_data(plan)))
            request = {"directory": str(Path.cwd()), "folder": str(self.folder.absolute())}
            board.begin(Aim(schedule=plan.hunt, factors={}), plan=as_data(plan), request=request)
        return board

    def _check(self, plan: BaselinePlan, judges: Judges) -> None:
        """Raise ScalenetError where the evaluator cannot do the first jobs."""
        members = plan.hunt.members()
        names = [members.name(member) for member in self.asked.sample.members]
        jobs = Jobs(self.folder, members.config, lambda _: plan.learning_rate)
        seeds = plan.hunt.seeds[:2]
        keys = [(name, seed, budget) for name in names for seed in seeds for budget in plan.hunt.budgets]
        judges.evaluators[0].check([jobs(key) for key in keys])

    def _continued(self, plan: BaselinePlan, before: BaselinePlan) -> BaselinePlan:
        """Return the plan of a search that goes on: it keeps what it went further in."""
        mine, theirs = plan.hunt, before.hunt
        trials = max(mine.trials, theirs.trials) if self.asked.own.trials is None else mine.trials
        changed = plan.changed(hunt=mine.changed(trials=trials, first=theirs.first, batch=theirs.batch))
        self._refuse(changed, before)
        return changed

    def _refuse(self, plan: BaselinePlan, other: BaselinePlan) -> None:
        if changed := plan.differences(other):
            raise ScalenetError(
                f"{self.folder} holds another search: {', '.join(changed)} differ",
                hint="give another folder with -o, or discard that search with --force",
            )

    def _discarded(self, board: Board) -> Board:
        if running := board.living():
            raise ScalenetError(f"{self.folder}: {number(running, 'training')} running just now")
        names = [*board.candidates()]
        board.remove()
        for name in names:
            (self.folder / "candidates" / f"{name}.yaml").unlink(missing_ok=True)
        RESULTS.discard(self.folder)
        return self.place.board(patience=PATIENCE)


def write_tables(folder: Path, outcome: BaselineOutcome) -> None:
    """Write members, jobs and curves as CSV."""
    tables = {"members": outcome.table(), "jobs": outcome.jobs(), "curves": outcome.curves()}
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False))


class _Watch:
    """Tells what is new each time it looks, keeps the tables up to date, and ends the hunt by the clock."""

    def __init__(self, search: BaselineSearch, board: Board, workers: int, say: Callable[[str], None]) -> None:
        self.search, self.board, self.workers, self.say = search, board, workers, say
        self.known: set[Any] | None = None
        self.pace = Pace()
        view = board.view()
        self.clock = HuntClock(board, view, workers, say)
        self.say(f"{self._status(view)}, in {search.folder}")

    def __call__(self, view: View) -> None:
        """Look."""
        view = self.clock(view)
        ended = {entry.key: entry for entry in (*view.done(), *view.failed())}
        if self.known is None:
            self.known = set(ended)
        new = [entry for key, entry in ended.items() if key not in self.known]
        for place, entry in enumerate(new, start=len(ended) - len(new) + 1):
            self.say(f"[{place}/{view.planned()}] {line(entry)}")
        self.known |= set(ended)
        if new and self.pace.is_due:
            with self.pace.timed():
                write_tables(self.search.folder, self.search.outcome(view))

    def _status(self, view: View) -> str:
        done = len(view.done()) + len(view.failed())
        seconds = view.seconds_left(self.workers)
        left = "" if seconds is None or view.finished else f", about {duration(seconds)} left"
        return f"{done} of at most {view.planned()} trainings done{left}"


def line(entry: Entry) -> str:
    """Return what became of a training."""
    if entry.result is None:
        return f"failed: {entry.why()}"
    accuracy = "diverged" if entry.result.accuracy is None else percentage(entry.result.accuracy)
    return f"{entry.job}: {accuracy}, {entry.result.seconds:.1f} s"


def baseline_search(
    space: str | Path | Space = BaselineRequest.space,
    *,
    flops: int | str,
    params: int | str | None = BaselineRequest.params,
    memory: int | str | None = BaselineRequest.memory,
    data: str | Path | None = BaselineRequest.data,
    resolution: int | tuple[int, int] | str | None = BaselineRequest.resolution,
    classes: int | None = BaselineRequest.classes,
    evaluate: str | Callable[..., Any] = BaselineRequest.evaluate,
    images: int | None = BaselineRequest.images,
    held_out: float | None = BaselineRequest.held_out,
    layout: Layout | None = BaselineRequest.layout,
    strict: bool = BaselineRequest.strict,
    method: str = BaselineRequest.method,
    objective: str = BaselineRequest.objective,
    trials: int | None = BaselineRequest.trials,
    epochs: int | None = BaselineRequest.epochs,
    batch_size: int | None = BaselineRequest.batch_size,
    learning_rate: float | None = BaselineRequest.learning_rate,
    recipe: str | Path | Recipe | None = BaselineRequest.recipe,
    changes: Sequence[str] | Mapping[str, Any] | None = BaselineRequest.changes,
    seed: int = BaselineRequest.seed,
    seeds: int = BaselineRequest.seeds,
    time_limit: float | str | None = BaselineRequest.time_limit,
    workers: int | None = BaselineRequest.workers,
    threads: int = BaselineRequest.threads,
    device: str | None = BaselineRequest.device,
    grace: int = BaselineRequest.grace,
    folder: str | Path = FOLDER,
    storage: str | None = None,
    name: str | None = None,
    force: bool = False,
    say: Callable[[str], None] | None = tell,
) -> BaselineSearch:
    """Return a search for the best member of a space at a cost; nothing is trained or written before its `run()`.

    Members of the `space` (a name of `scalenet spaces`, a file or a record) have so many `flops` ("400M±2%"), and
    at most so many `params` and bytes of `memory`. `trials` of them get a short training, of a fifth of the `epochs`:
    random ones first, then those that the `method` proposes ("mixture", "evolution", "predictor", "random"); the best
    are trained to the end with several `seeds`. `objective` "paper" ranks by accuracy × (FLOPs / target)^-0.07. All
    else is as in `grid_search`. Raise ScalenetError for what cannot be done.
    """
    given = locals()
    own = BaselineRequest(**{field.name: given[field.name] for field in fields(BaselineRequest)})
    folder = Path(folder)
    if name is not None and storage is None:
        raise ScalenetError("--name is the search's name in a --storage", hint="-o names another folder")
    place = Place(storage or database(folder, DATABASE), name or OWN_NAME, grace)
    if storage is not None and name is None:
        place = Place(storage, folder.absolute().name, grace)
    asked = ask_baseline(own)
    for text in asked.lines():
        (say or hush)(text)
    return BaselineSearch(folder, place, asked, force=force)
