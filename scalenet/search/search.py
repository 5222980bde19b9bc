"""A search as a program has it: asked for, run, looked at from anywhere, and its answer."""

from __future__ import annotations

from contextlib import chdir, nullcontext
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalenet.arch.errors import ScalenetError, UnknownNameError
from scalenet.arch.results import check_folder
from scalenet.arch.words import hush, tell
from scalenet.search.answer.coefficients import save_coefficients
from scalenet.search.answer.outcome import Outcome
from scalenet.search.answer.summary import answer_of, facts, title
from scalenet.search.answer.trainings import shares_of
from scalenet.search.asked import ask
from scalenet.search.folder import check_shared, database, recorded_plan, sweep
from scalenet.search.images import scorer
from scalenet.search.judges import Judges, is_apart
from scalenet.search.keeping import models_of
from scalenet.search.queue.database import NoSearchError
from scalenet.search.queue.jobs import Aim, View
from scalenet.search.queue.presence import Presence, seconds_of
from scalenet.search.request import Request
from scalenet.search.running import Ears, begin, evaluate, expected, judges
from scalenet.search.status import Status, html_table
from scalenet.search.study import load_study

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

    from scalenet.report.figures import Plot
    from scalenet.report.findings import Findings
    from scalenet.search.answer.summary import Answer
    from scalenet.search.asked import Asked
    from scalenet.search.folder import PlotName
    from scalenet.search.plan import Plan
    from scalenet.search.queue.board import Place
    from scalenet.search.queue.launch import Engine
    from scalenet.search.setting import Bar
    from scalenet.search.study import Study


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a finished search found, with its curves or without, and the board's stamp then."""

    stamp: tuple[Any, ...]
    curves: bool
    outcome: Outcome


class Search:
    """A search for α, β, γ: what `grid_search` asked for, or one that was begun, which `open_search` reads.

    It may run in another process, or on other machines: all but `run` and `stop` only read, and wait for no worker.
    """

    def __init__(self, folder: Path, place: Place, *, asked: Asked | None = None, force: bool = False) -> None:
        """Take the folder, where its results are kept, and what was asked for, unless that is recorded there."""
        self.folder, self.place, self._asked, self._force = folder, place, asked, force
        self._opened = asked is None
        self._study: Study | None = None
        self._kept: _Kept | None = None

    @property
    def name(self) -> str:
        """What the search is called in its storage."""
        return self.place.name

    @property
    def base(self) -> str:
        """The name of the baseline."""
        return self.plan.base

    @property
    def request(self) -> Request:
        """What was asked for, as far as it is known here."""
        return self._needs_asked().request

    @property
    def plan(self) -> Plan:
        """All that the results follow from; raise ScalenetError where nothing was begun."""
        return self._begun().plan

    def run(
        self,
        workers: int | None = None,
        *,
        device: str | None = None,
        data: str | Path | None = None,
        more_seeds: int = 0,
        spend: float | None = None,
        within: float | None = None,
        time_limit: float | str | None = None,
        apart: bool | None = None,
        say: Callable[[str], None] | None = tell,
        progress: Callable[[Status], object] | None = None,
        bar: Bar | None = None,
    ) -> Search:
        """Train what is left, write tables, coefficients and report into the folder, and return the search.

        Goes on where it was stopped, and takes part where others are at it. One worker trains in this process, several
        have one each (one too where it is to be `apart`), and by default there is one a core or GPU. `device` and
        `data` are those of this machine. The winner and its ties get `more_seeds`; by `spend`, `within`, `time_limit`,
        as in `grid_search`, a race goes on further; they replace what it was to end by. `say` hears a line for each
        thing that happens, `progress` about once a second how far the search is, and `bar` what takes a while before
        it.
        Ctrl-C gives back what runs and raises KeyboardInterrupt. Raise ScalenetError where folder and name are another
        search's, RunError where the first trainings all fail.
        """
        ears = Ears(say or hush, bar or hush, progress)
        with self._directory():
            asked = self._to_run(workers, device, data, spend=spend, within=within, time_limit=time_limit)
            apart = is_apart(asked, len(asked.workers()), apart)
            with Presence(len(asked.workers())) as here:
                asked, judged, study = self._start(ears, asked, more_seeds, here)
                evaluate(study, asked, judged, ears, here, apart=apart)
        self._conclude(ears.say)
        return self

    def begin(self, *, say: Callable[[str], None] | None = tell, bar: Bar | None = None) -> Search:
        """Record the search without training anything, for workers elsewhere (`launch`); return it.

        Raise ScalenetError where folder and name are another search's.
        """
        with self._directory():
            self._start(Ears(say or hush, bar or hush, None), self._to_run(None, None, None))
        return self

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
        """Start jobs that take part in a search that was begun, with so many `workers` each; return their numbers.

        The engine is "slurm" or "local", and `options` are submitit's: timeout_min, gpus_per_node, slurm_partition.
        """
        from scalenet.search.queue.launch import launch, resume_words  # noqa: PLC0415 - starts processes

        place, words = self._begun().place, resume_words(workers=workers, device=device, data=data)
        return launch(self.folder, place, engine, count, words=words, options=options)

    def stop(self) -> int:
        """Ask all processes of the search to give back what they are at and to end; return how many trainings ran."""
        study = self._begun()
        running = len(study.board.view().running())
        study.place.board().stop()
        return running

    def status(self) -> Status:
        """Return how far the search is."""
        study = self._known()
        if study is None:
            return Status(self.name, self._outcome(), len(self._needs_asked().workers()), begun=False)
        outcome = self._outcome()
        workers = max(1, len(outcome.view.running()))
        limit = outcome.plan.schedule.time_limit
        left = None if limit is None else max(0.0, limit - seconds_of(study.board, workers))
        return Status(self.name, outcome, workers, limit=left, stopped=study.board.stopped())

    def expected(self) -> list[str]:
        """Return how many images and trainings there are, how long they take here, and what they will tell.

        A sentence each.

        Times a step of training for it.
        """
        said: list[str] = []
        asked = self._needs_asked().in_time(None, say=said.append)
        return [*asked.stakes(), *said, *expected(asked)]

    def candidates(self, *, proxies: bool = False, say: Callable[[str], None] | None = None) -> pd.DataFrame:
        """Return a row a candidate: its name, α, β, γ, αβ²γ² (`nominal`), costs, and other points that gave it too.

        With `proxies` training-free scores as well, which reads the images. Latencies are measured where the search
        has a limit.
        """
        import pandas as pd  # noqa: PLC0415 - slow to import

        ears = Ears(say or hush, hush, None)
        asked = self._needs_asked().fast_enough(None, say=ears.say, bar=ears.bar)
        score = scorer(asked, judges(asked, ears).splits, ears.say) if proxies else None
        rows = [
            {
                "name": candidate.name,
                **{name: getattr(candidate, name) for name in ("alpha", "beta", "gamma")},
                "nominal": round(candidate.nominal, 6),
                "flops_ratio": candidate.flops_ratio,
                "distance": candidate.distance,
                **{name: getattr(candidate.cost, name) for name in ("flops", "params", "activations")},
                **({} if score is None else score(candidate)),
                "merged": " ".join(candidate.merged),
            }
            for candidate in asked.candidates
        ]
        return pd.DataFrame(rows)

    def results(self) -> pd.DataFrame:
        """Return a row a candidate: costs and accuracies as far as they are known, of a finished search best first."""
        return self._outcome().table()

    def jobs(self) -> pd.DataFrame:
        """Return a row a finished training."""
        return self._outcome().jobs()

    def models(self) -> dict[str, Path]:
        """Return the folders of the trained networks that were kept here (`keep_models`), by training: NAME_seedN."""
        return models_of(self.folder, self._outcome().view)

    def curves(self) -> pd.DataFrame:
        """Return the accuracies on the way, by training and epoch."""
        return self._outcome(curves=True).curves()

    @property
    def answer(self) -> Answer:
        """The answer: α, β, γ, their evidence, and sentences; raise ScalenetError while the search is not finished."""
        outcome = self._finished()
        return answer_of(self._begun(), outcome)

    def plot(self, name: PlotName = "shares") -> Plot:
        """Return a plot of a finished search, which a notebook shows and whose `figure` is matplotlib's.

        `shares` is the triangle of the extra FLOPs, `cost` accuracy against FLOPs, `curves` accuracy by epoch, and
        `ties` accuracies by rank.
        """
        from scalenet.report.figures import style  # noqa: PLC0415 - slow to import
        from scalenet.report.findings import standings  # noqa: PLC0415
        from scalenet.report.plots import plots  # noqa: PLC0415

        found = self._findings(self._finished(curves=True))
        with style():
            drawn = {plot.name: plot for plot in plots(found, standings(found))}
        if name not in drawn:
            raise UnknownNameError("plot", name, drawn, listing=f"there are {', '.join(drawn)}")
        return drawn[name]

    def write(self) -> Path:
        """Write the files of a finished search from its storage: tables, `coefficients.yaml`, plots and the report.

        Return the report.
        """
        from scalenet.report.page import write_report  # noqa: PLC0415 - slow to import

        study, outcome = self._begun(), self._finished(curves=True)
        study.write(outcome)
        sweep(self.folder)
        save_coefficients(outcome.answer(), self.folder / "coefficients.yaml")
        return write_report(self._findings(outcome), self.folder)

    def command(self, verb: str, *words: str) -> str:
        """Return the command that does something with the search, as a shell takes it."""
        return self._begun().command(verb, *words)

    def __repr__(self) -> str:
        return f"<Search {self.name!r} in {self.folder}: {self.status()}>"

    def _repr_html_(self) -> str:
        status = self.status()
        where = f"<p>{escape(str(self.folder))}</p>\n"
        if not status.finished:
            return where + status._repr_html_()
        study = self._begun()
        columns = ("rank", "alpha", "beta", "gamma", "flops_ratio", "rung", "seeds", "accuracy", "interval", "tied")
        rows = [{column: row.get(column) for column in columns} for row in status.outcome.rows()]
        answer = answer_of(study, status.outcome)
        return f"{where}<p>{escape(title(study.plan))}</p>\n{answer._repr_html_()}\n{html_table(rows)}"

    # What is known, and where from

    def _known(self) -> Study | None:
        """Return the study as it is recorded, None where it was not begun."""
        if self._study is None and not self._force:
            self._study = self._looked_up()
        return self._study

    def _looked_up(self) -> Study | None:
        if self.place.url == database(self.folder) and not (self.folder / "search.db").exists():
            return None
        try:
            study = load_study(self.folder, self.place)
        except (NoSearchError, UnknownNameError):
            if self._asked is None:
                raise
            return None
        if self._asked is not None:
            check_shared(self.folder, self.place, study.board, hush, opened=self._opened)
            _check_same(self._asked, study)
        return study

    def _begun(self) -> Study:
        study = self._known()
        if study is None:
            raise ScalenetError(f"{self.folder}: no search was begun here", hint="`run()` begins it")
        return study

    def _needs_asked(self) -> Asked:
        if self._asked is None:
            request = self._begun().board.request()
            self._asked = ask(Request.again(request["options"], self._begun().plan))
        return self._asked

    def _outcome(self, *, curves: bool = False) -> Outcome:
        study = self._known()
        if study is not None:
            return self._recorded(study, curves)
        asked = self._needs_asked()
        plan, facts_of = asked.plan(), {candidate.name: candidate.facts() for candidate in asked.candidates}
        factors, shares = dict.fromkeys(facts_of, 1.0), shares_of(facts_of)
        aim = Aim(schedule=plan.schedule, factors=factors, shares=shares, pilot=plan.pilot)
        return Outcome(plan, facts_of, View(aim, {}), {})

    def _recorded(self, study: Study, curves: bool) -> Outcome:
        """Return what is recorded; what a finished search found is worked out once, unless it goes on."""
        stamp = study.board.stamp()
        if self._kept is not None and self._kept.stamp == stamp and self._kept.curves >= curves:
            return self._kept.outcome
        outcome = study.outcome(study.board.view(curves=curves))
        self._kept = _Kept(stamp, curves, outcome) if outcome.view.finished else None
        return outcome

    def _finished(self, *, curves: bool = False) -> Outcome:
        outcome = self._outcome(curves=curves)
        if not outcome.view.finished:
            hint = "`run()` goes on with it, and `status()` and `results()` say what is known"
            raise ScalenetError(f"{self.folder}: the search is not finished: {self.status()}", hint=hint)
        return outcome

    def _findings(self, outcome: Outcome) -> Findings:
        from scalenet.report.findings import Findings  # noqa: PLC0415 - slow to import

        study = self._begun()
        return Findings(
            title=title(study.plan),
            summary=answer_of(study, outcome).sentences,
            candidates=outcome.table(),
            jobs=outcome.jobs(),
            curves=outcome.curves(),
            target=study.plan.grid.product,
            margin=outcome.ranking.margin,
            chance=None if study.plan.images is None else study.plan.images.chance,
            facts=facts(outcome),
        )

    # What a run needs

    def _directory(self) -> Any:
        """Return the context of a run: a search that was opened is gone on with in the directory it was begun in."""
        if self._asked is not None:
            return nullcontext()
        begun = Path(self._begun().board.request()["directory"])
        return chdir(begun) if begun.is_dir() else nullcontext()

    def _start(
        self, ears: Ears, asked: Asked, more_seeds: int = 0, here: Presence | None = None
    ) -> tuple[Asked, Judges, Study]:
        """Begin the search, or go on with it, as far as to what trains."""
        check_folder(self.folder)
        begun = None if self._force else recorded_plan(self.folder)
        asked = asked.fast_enough(begun, say=ears.say, bar=ears.bar)
        may_differ = self._asked is None or asked.request.time_limit is not None
        if begun is None and may_differ and (known := self._known()) is not None:
            begun = known.plan
        asked = asked.in_time(begun, say=ears.say)
        judged = judges(asked, ears)
        place = replace(self.place, grace=asked.request.grace)
        how: dict[str, Any] = {"opened": self._opened, "more_seeds": more_seeds, "force": self._force, "here": here}
        study = begin(asked, judged, self.folder, place, ears, **how)
        self._study, self._force = study, False
        return asked, judged, study

    def _to_run(
        self, workers: int | None, device: str | None, data: str | Path | None, **races: float | str | None
    ) -> Asked:
        """Return what is to be done on this machine, which may have other workers, devices and folders.

        What a race is asked to end by now stands for all that it was to end by: time that is over would end it at once.
        """
        own = {"workers": workers, "device": device, "data": data}
        changes: dict[str, Any] = {name: value for name, value in own.items() if value is not None}
        if any(value is not None for value in races.values()):
            changes |= {"halving": None, **races}
        if self._asked is None:
            study = self._begun()
            request = Request.again(study.board.request()["options"], study.plan)
            return ask(replace(request, **changes))
        if data is not None:
            return ask(replace(self._asked.request, **changes))
        asked = self._asked
        if "time_limit" in changes and (known := self._known()) is not None:
            asked = asked.in_time(known.plan, say=hush)  # its epochs, which the time chose
        return replace(asked, request=replace(asked.request, **changes))

    def _conclude(self, say: Callable[[str], None]) -> None:
        """Write what was found, and say so."""
        study = self._begun()
        if not study.board.view().finished:
            study.write()
            say(f"the search was asked to stop; {study.command('resume')} goes on")
            return
        say(f"report: {self.write()}")


def _check_same(asked: Asked, study: Study) -> None:
    """Refuse to take another search's results for those that are asked for."""
    plan, recorded = asked.plan(), study.plan
    same = all(getattr(plan, name) == getattr(recorded, name) for name in ("base", "network", "evaluate"))
    if not same or not recorded.candidates.items() <= plan.candidates.items():
        raise ScalenetError(
            f"{study.folder} holds another search", hint="give another folder, or discard that search with force"
        )
