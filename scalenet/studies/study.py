"""A study as a program has it: asked for, run, gone on with, and what it found."""

from __future__ import annotations

import csv
import io
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from scalenet.arch.config import as_data, as_record, read_record
from scalenet.arch.errors import RunError, ScalenetError
from scalenet.arch.files import read_text, write_text
from scalenet.arch.results import check_folder
from scalenet.arch.strict_yaml import dump
from scalenet.arch.words import hush, number, quoted, tell
from scalenet.search.answer.outcome import piloted
from scalenet.search.evaluators.answers import answers_file, read_answers
from scalenet.search.evaluators.function import sources_of
from scalenet.search.folder import MODELS, Jobs, called, check_shared, made
from scalenet.search.judges import find_judges, is_apart, train_all
from scalenet.search.keeping import missing, models_of
from scalenet.search.queue.database import PATIENCE
from scalenet.search.queue.jobs import ENDED, Aim
from scalenet.search.queue.presence import Presence
from scalenet.search.rungs.schedule import Rung, Schedule
from scalenet.studies.findings import Findings, Training
from scalenet.studies.folder import DATABASE, RESULTS, discard, sweep
from scalenet.studies.plan import Plan
from scalenet.studies.progress import Progress, Watch
from scalenet.studies.sentences import sentences, title

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pandas as pd

    from scalenet.search.judges import Judges
    from scalenet.search.queue.board import Board, NewCandidate, Place
    from scalenet.search.queue.jobs import Entry
    from scalenet.search.setting import Bar
    from scalenet.studies.asked import Asked

_SCHEMA = "scalenet-study-plan/1"
_ANOTHER_NAME = "give another --name, or discard that study with --force"


class Study:
    """A comparison of networks that `scalenet.study` asked for, or one that was begun, which `open_study` reads."""

    def __init__(self, folder: Path, place: Place, *, asked: Asked | None = None, force: bool = False) -> None:
        """Take the folder, where its results are kept, and what was asked for, unless it is only read."""
        self.folder, self.place, self._asked, self._force = folder, place, asked, force
        self._plan: Plan | None = None

    @property
    def plan(self) -> Plan:
        """All that the results follow from; raise ScalenetError where nothing was begun."""
        if self._plan is None:
            self._plan = _read(self.place.look(), self.place.name)
        return self._plan

    def points(self) -> list[dict[str, Any]]:
        """Return a row a point of what was asked for, with its costs; nothing is trained."""
        return Findings(self._needs_asked().plan(), [], {}).rows()

    def expected(self) -> list[str]:
        """Return how many images and trainings there are, and about how long they take here; times a step for it."""
        said: list[str] = []
        asked = self._needs_asked().in_time(None, say=said.append)
        return [*said, *asked.stakes_and_time()]

    def run(
        self,
        *,
        apart: bool | None = None,
        say: Callable[[str], None] | None = tell,
        progress: Callable[[Progress], object] | None = None,
        bar: Bar | None = None,
    ) -> Study:
        """Train what is left, write tables, figures and the report into the folder, and return the study.

        Goes on where it was stopped, and takes part where others are at it. `say` hears a line for each thing that
        happens, `progress` about once a second how far it is. Ctrl-C gives back what runs and raises KeyboardInterrupt.
        Raise ScalenetError where the folder holds another study, RunError where the first trainings all fail.
        """
        hear, show = say or hush, bar or hush
        check_folder(self.folder)
        if (self.folder / "search.yaml").exists():
            raise ScalenetError(f"{self.folder} holds a search", hint="give another folder with -o")
        asked = self._needs_asked()
        apart = is_apart(asked, len(asked.workers()), apart)
        before = None if self._force else self._recorded()
        asked = asked.in_time(before, say=hear)
        judges = find_judges(asked, say=hear, bar=show)
        with Presence(len(asked.workers())) as here:
            board = self._begin(asked, judges, before, here, hear)
            view = board.view()
            watch = Watch(self, asked, board, here, hear, progress)
            hear(f"{watch.progress(view)}, in {self.folder}")
            for line in missing(asked, self.folder, view):
                hear(line)
            threads = asked.request.threads
            train_all(board, self.place, self.folder, judges, threads=threads, apart=apart, look=watch, say=hear)
        self._conclude(board, asked, hear, show)
        return self

    def progress(self) -> Progress:
        """Return how far a study is that was begun."""
        flops = {name: facts.flops for name, facts in self.plan.networks.items()}
        view = self.place.look().view()
        return Progress(view, flops, max(1, len(view.running())))

    @property
    def finished(self) -> bool:
        """Whether nothing is left to be trained."""
        return self.place.look().view().finished

    def results(self) -> pd.DataFrame:
        """Return a row a point: its costs, and its accuracy as far as it is known."""
        import pandas as pd  # noqa: PLC0415 - slow to import

        return pd.DataFrame(self.findings().rows())

    def jobs(self) -> pd.DataFrame:
        """Return a row a finished training."""
        import pandas as pd  # noqa: PLC0415

        return pd.DataFrame(job_rows(self.findings()))

    def models(self) -> dict[str, Path]:
        """Return the folders of the trained networks that were kept here, by their names, as width_4x_seed0."""
        return models_of(self.folder, self.place.look().view())

    def sentences(self) -> list[str]:
        """Return what was found, in sentences, the answer first."""
        return sentences(self.findings())

    def findings(self) -> Findings:
        """Return what is known so far, of which all tables, figures and sentences are made."""
        view = self.place.look().view()
        plan = self.plan
        ended = [view.entries[key] for key in view.needed if key in view.entries and not view.is_pilots(key)]
        trainings = [self._training(entry) for entry in ended if entry.state in ENDED]
        rate = view.rate
        if rate is None and plan.recipe is not None and plan.pilot is None:
            rate = plan.recipe.optimizer.lr
        return Findings(plan, trainings, self._latencies(), rate, piloted(view), list(models_of(self.folder, view)))

    def write(self) -> Path:
        """Write tables, figures and the report of what is known, always the same bytes; return the report."""
        from scalenet.studies.writing import write_all  # noqa: PLC0415 - slow to import

        sweep(self.folder)
        return write_all(self.findings(), self.folder)

    def data(self) -> dict[str, Any]:
        """Return what is known as JSON has it."""
        found = self.findings()
        return {
            "title": title(found),
            "sentences": sentences(found),
            "learning_rate": found.rate,
            "pilot": None if found.pilot is None else as_data(found.pilot),
            "points": found.rows(),
            "slopes": found.slope_rows(),
            "comparisons": found.comparison_rows(),
            "trainings": job_rows(found),
            "models": [str(place) for place in self.models().values()],
        }

    def __repr__(self) -> str:
        return f"<Study {self.place.name!r} in {self.folder}>"

    # What a run needs

    def _needs_asked(self) -> Asked:
        if self._asked is None:
            raise ScalenetError(f"{self.folder}: opened to be read", hint="ask for it again to go on with it")
        return self._asked

    def _recorded(self) -> Plan | None:
        """Return the plan that the folder has, if it has one; raise ScalenetError where it is not a study's."""
        file = RESULTS.recorded(self.folder)
        return None if file is None else read_record(Plan, read_text(file, str(file)), str(file))

    def _begin(
        self, asked: Asked, judges: Judges, before: Plan | None, here: Presence, say: Callable[[str], None]
    ) -> Board:
        """Begin the study, go on with it or join it, and be `here`; where it is refused nothing is left behind."""
        sources = judges.evaluators[0].sources()
        for network in asked.models:
            sources |= sources_of(network)
        plan = asked.plan(judges.images(asked), judges.versions(), sources)
        _check_jobs(asked, judges, plan, self.folder)
        if before is not None:
            plan.check_same(before, str(self.folder))
        with made(self.folder, self.place, DATABASE):
            board = self.place.board(patience=PATIENCE, say=say)
            hear = hush if self._force else say
            check_shared(self.folder, self.place, board, hear, results=RESULTS, file=DATABASE)
            if self._force:
                board = self._discarded(board, plan)
            plan = self._settled(board, asked, plan.changed(search=board.token), here)
            write_text(self.folder / "study.yaml", dump(as_data(plan)))
            sweep(self.folder)
        self._plan, self._force = plan, False
        return board

    def _settled(self, board: Board, asked: Asked, plan: Plan, here: Presence) -> Plan:
        """Begin the study with a plan and the seeds that it has already; return what it was begun with."""
        known: list[NewCandidate] = [(name, {}, config) for name, config in asked.found.networks.items()]
        if plan.pilot is not None:
            known += [(name, {}, asked.piloted.changed(name=name)) for name in plan.pilot.names]
        request = {"options": asked.request.recorded(), "folder": str(self.folder.absolute())}
        while True:
            before = board.plan()
            if before is not None:
                other = _plan(before, self.place.name)
                plan.check_same(other, f"{board.database.place}, {self.place.name!r}", _ANOTHER_NAME)
                plan = _with_seeds(plan, other)
            if board.begin(_aim(plan), plan=as_data(plan), before=before, request=request, candidates=known, here=here):
                return plan

    def keep(self, seeds: tuple[int, ...], board: Board) -> None:
        """Leave out the other seeds: what runs and waits of them is dropped."""
        self.follow(seeds)
        board.cut(_aim(self.plan), as_data(self.plan))
        write_text(self.folder / "study.yaml", dump(as_data(self.plan)))

    def follow(self, seeds: tuple[int, ...]) -> None:
        """Have these seeds, as the board has them."""
        self._plan = self.plan.changed(seeds=seeds)

    def _discarded(self, board: Board, plan: Plan) -> Board:
        """Forget the study and remove its files, unless processes are at it."""
        board.check_idle(self.folder)
        old = plan
        with suppress(ScalenetError):
            old = self._recorded() or plan
        names = {*old.networks, *([] if old.pilot is None else old.pilot.names)}
        board.remove()
        discard(self.folder, names)
        return self.place.board(patience=PATIENCE)

    def _training(self, entry: Entry) -> Training:
        name, seed, budget = entry.key
        result = entry.result
        if result is None or result.accuracy is None:
            return Training(name, seed, None, None, 0.0 if result is None else result.seconds)
        right = read_answers(answers_file(self.folder / "jobs" / called(name, seed), budget))
        return Training(name, seed, result.accuracy, result.loss, result.seconds, right)

    def _conclude(self, board: Board, asked: Asked, say: Callable[[str], None], bar: Bar) -> None:
        """Measure latencies, write what was found, and say so."""
        view = board.view()
        if view.trial is not None and view.finished and view.rate is None:
            raise RunError(
                "no learning rate of the pilot was any good", hint="give lower --rates, or a --learning-rate"
            )
        if not view.finished:
            say(f"asked to stop: {Progress(view, asked.flops(), 1)}")
            return
        if asked.recipe is not None:
            self._measure(asked, bar)
        say(f"report: {self.write()}")
        if models := list(self.models().values()):
            say(_models_line(models, self.folder))

    def _measure(self, asked: Asked, bar: Bar) -> None:
        """Measure how long each network takes for one image here at the least, unless that is known.

        A median would be of the slices of time that other work, such as another study's, leaves to some of them.
        """
        names = list(asked.found.networks)
        if set(names) <= set(self._latencies()):
            return
        from scalenet.costs.latency import Setup, latencies  # noqa: PLC0415 - brings torch

        setup = Setup(device=asked.workers()[0], threads=asked.request.threads)
        turns = iter(range(1, setup.runs + 1))
        networks = [asked.found.networks[name].architecture() for name in names]
        taken = latencies(networks, setup, progress=lambda: bar("measuring", next(turns), setup.runs))
        rows = [(name, f"{one.minimum:.9f}") for name, one in zip(names, taken, strict=True)]
        write_text(self.folder / "latency.csv", _csv([("network", "seconds"), *rows]))

    def _latencies(self) -> dict[str, float]:
        """Return the latencies on file, seconds by network."""
        file = self.folder / "latency.csv"
        if not file.is_file():
            return {}
        try:
            rows = list(csv.DictReader(read_text(file, str(file)).splitlines()))
            found = {row["network"]: float(row["seconds"]) for row in rows}
        except (KeyError, TypeError, ValueError, csv.Error):
            raise ScalenetError(f"{file}: no table of latencies", hint="remove it: they are measured anew") from None
        return {name: seconds for name, seconds in found.items() if name in self.plan.networks}


def _models_line(models: Sequence[Path], folder: Path) -> str:
    """Return how many trained networks are kept, and what looks at them."""
    seed = models[0].name.rpartition("_")[2]
    last = [place for place in models if place.name.endswith(f"_{seed}")][-1]
    places = dict.fromkeys((models[0], last))
    command = f"scalenet cam {' '.join(map(quoted, places))} IMAGE…"
    return f"{number(len(models), 'trained network')} kept in {folder / MODELS}; `{command}` shows where they look"


def _aim(plan: Plan) -> Aim:
    """Return what is to be trained: every network with every seed, seed by seed."""
    return Aim(
        schedule=Schedule(rungs=(Rung(seeds=plan.seeds, budget=plan.budget),)),
        factors=dict.fromkeys(plan.networks, 1.0),
        pilot=plan.pilot,
        learning_rate=plan.learning_rate,
    )


def _with_seeds(plan: Plan, before: Plan) -> Plan:
    """Return the plan with the seeds that it was begun with as well."""
    return plan.changed(seeds=tuple(sorted({*plan.seeds, *before.seeds})))


def _check_jobs(asked: Asked, judges: Judges, plan: Plan, folder: Path) -> None:
    """Raise ScalenetError where an evaluator cannot do the jobs, before anything is written."""
    rates = {} if plan.pilot is None else plan.pilot.names
    rate = plan.learning_rate if plan.pilot is None else plan.pilot.rates[0]
    networks = asked.found.networks
    known = {**networks, **(dict.fromkeys(rates, asked.piloted) if rates else {})}
    jobs = Jobs(folder, lambda name: known[name], lambda name: rates.get(name, rate))
    pilots = [] if plan.pilot is None else [key for tried in plan.pilot.rates for key in plan.pilot.keys(tried)]
    own = [(name, seed, plan.budget) for seed in plan.seeds for name in networks]
    judges.evaluators[0].check([jobs(key) for key in (*pilots, *own)])


def _read(board: Board, name: str) -> Plan:
    found = board.plan()
    if found is None:
        raise ScalenetError(f"{name}: no study was begun here", hint="`scalenet study` begins it")
    return _plan(found, name)


def _plan(data: dict[str, Any], place: str) -> Plan:
    """Return the plan that a storage has; raise ScalenetError where it is a search's."""
    if data.get("schema") != _SCHEMA:
        raise ScalenetError(f"{place}: a search has this name in the storage", hint="give another --name")
    return as_record(Plan, data, place)


def job_rows(found: Findings) -> list[dict[str, Any]]:
    """Return a row a training that ended, as `--evaluate table:FILE` takes them."""
    return [
        {"name": one.network, "seed": one.seed, "accuracy": one.accuracy, "loss": one.loss, "seconds": one.seconds}
        for one in found.trainings
    ]


def _csv(rows: list[tuple[str, ...]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()
