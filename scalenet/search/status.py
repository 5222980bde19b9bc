"""How far a search is, at one moment: in words, as a table, as data, and as it changes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from html import escape
from math import isfinite
from typing import TYPE_CHECKING, Any

from scalenet.arch.config import as_data
from scalenet.arch.errors import RunError
from scalenet.arch.words import number, percentage
from scalenet.search.answer.sentences import about, forecast_sentence, rate_sentence
from scalenet.search.answer.summary import title
from scalenet.search.progress import Counted, Ended, at_work, time_left
from scalenet.search.queue.pace import Pace
from scalenet.search.rungs.race import Race

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from scalenet.search.answer.outcome import Outcome
    from scalenet.search.clock import Clock
    from scalenet.search.queue.jobs import View
    from scalenet.search.study import Study

_COLUMNS = ("name", "alpha", "beta", "gamma", "flops_ratio", "rung", "seeds", "accuracy")


@dataclass(frozen=True)
class Status(Counted):
    """How far a search is; `workers` are those that the time left is for.

    `epoch` is about how many seconds a unit of the budget takes, where it was measured before the first training, and
    `limit` how many are left of a time limit; `begun` and `stopped` say whether the search was.
    """

    name: str
    outcome: Outcome
    workers: int = 1
    epoch: float | None = None
    limit: float | None = None
    begun: bool = True
    stopped: bool = False

    @property
    def view(self) -> View:
        """The trainings as they are known."""
        return self.outcome.view

    @property
    def most(self) -> str:
        """How many trainings there are, in words: a race may end before its cap."""
        open_ended = isinstance(self.view.aim.schedule, Race) and not self.finished
        return f"at most {self.planned}" if open_ended else str(self.planned)

    @property
    def candidates(self) -> int:
        """How many candidates there are."""
        return len(self.outcome.candidates)

    @property
    def title(self) -> str:
        """What the candidates' accuracies are, in words."""
        return title(self.outcome.plan)

    @property
    def bound(self) -> float | None:
        """By how much any candidate may be better than the best so far, where a race knows it."""
        return self.outcome.bound if isinstance(self.view.aim.schedule, Race) else None

    @property
    def forecast(self) -> float | None:
        """About what the bound will be in the end, by all that is known so far; None where that is too little.

        Before a candidate is trained it goes by how many images are held out, and the pilot's accuracy.
        """
        return None if self.finished else self.outcome.forecast(self.share)

    @property
    def share(self) -> float:
        """Return which share of its cap a race will train: all of it, or what the time holds."""
        race, unit = self.view.aim.schedule, self.epoch if self.view.unit is None else self.view.unit
        if unit is None or not isinstance(race, Race) or race.time_limit is None:
            return 1.0
        left = race.time_limit if self.limit is None else self.limit
        done, _ = self.outcome.spent()
        return race.share_of(done + left * self.workers / unit)

    @property
    def seconds_left(self) -> float | None:
        """About how long the rest takes, 0 where nothing is left; None where nothing is known of it yet."""
        if self.finished:
            return 0.0
        seconds = self.view.seconds_left(self.workers, self.epoch)
        return seconds if seconds is None or self.limit is None else min(seconds, self.limit)

    def __str__(self) -> str:
        course = self.view.course
        lost = f", {self.failed} of them failed" if self.failed else ""
        parts = [f"rung {len(course.rungs)} of {course.stages}, {number(len(course.rungs[-1][1]), 'candidate')}"]
        if (trial := self.view.trial) is not None and trial.rate is None:
            parts = [f"pilot, {number(len(trial.rates), 'learning rate')}"]
        parts += [f"{self.done + self.failed} of {self.most} trainings done{lost}, {self.running} running"]
        parts += [] if self.finished else [self.left()]
        parts += [_bound(self).removeprefix(" · ")] if self.bound is not None and not self.finished else []
        parts += ["asked to stop"] if self.stopped and not self.finished else []
        return " · ".join(parts)

    def about_rate(self) -> str | None:
        """Return what the pilot found, in words; None where there is none, or it is not over."""
        rate, pilot = self.view.rate, self.outcome.piloted()
        return None if rate is None or pilot is None else rate_sentence(rate, pilot)

    def left(self) -> str:
        """Return about how long the rest takes, in words."""
        return time_left(self.seconds_left)

    def rows(self, most: int | None = None) -> list[dict[str, Any]]:
        """Return a row a candidate for so many of them, the best so far first: those of later rungs before others."""
        rows = self.outcome.best_so_far(most)
        running = {entry.key[0]: entry for entry in self.view.running()}
        intervals = self._intervals()
        return [
            {column: row[column] for column in _COLUMNS}
            | {"interval": intervals.get((row["name"], row["rung"], row["seeds"]))}
            | {"done": running[row["name"]].share if row["name"] in running else None}
            for row in rows
        ]

    def table(self) -> pd.DataFrame:
        """Return a row a candidate, the best so far first."""
        import pandas as pd  # noqa: PLC0415 - slow to import

        return pd.DataFrame(self.rows())

    def data(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        view = self.view
        rungs = [
            {"candidates": len(names), "seeds": len(rung.seeds), "budget": rung.budget}
            for rung, names in self.outcome.rungs
        ]
        return {
            "name": self.name,
            "finished": self.finished,
            "stopped": self.stopped,
            "rungs": rungs,
            "of": view.course.stages,
            "learning_rate": self.outcome.learning_rate,
            "pilot": None if (pilot := self.outcome.piloted()) is None else as_data(pilot),
            "done": self.done,
            "failed": self.failed,
            "planned": self.planned,
            "running": [at_work(entry) for entry in view.running()],
            "seconds_left": self.seconds_left,
            "bound": self.bound,
            "forecast": self.forecast,
            "candidates": self.rows(),
        }

    def _intervals(self) -> dict[tuple[str, int, int], float]:
        """Return the intervals of what is finished, by candidate, rung and seeds."""
        with suppress(RunError):
            ranked = self.outcome.ranking.standings
            known = [one for one in ranked if isfinite(one.interval)]
            return {(one.name, one.rung + 1, one.seeds): round(one.interval, 5) for one in known}
        return {}

    def _repr_html_(self) -> str:
        return f"<p>{escape(str(self))}</p>\n{html_table(self.rows())}"


class Watch:
    """Tells what is new each time it looks at a search, and keeps the tables of the folder up to date."""

    def __init__(
        self,
        study: Study,
        *,
        workers: int,
        epoch: float | None = None,
        clock: Clock | None = None,
        say: Callable[[str], None],
        progress: Callable[[Status], object] | None = None,
    ) -> None:
        self.study, self.workers, self.epoch, self.say, self.progress = study, workers, epoch, say, progress
        self.clock = clock
        self.ended = Ended(say)
        self.rungs: int | None = None
        self.pace = Pace()
        self.pilot: tuple[tuple[float, ...], float | None] = ((), None)
        self.foretold = False

    def __call__(self, view: View) -> None:
        """Look."""
        view = view if self.clock is None else self.clock(view)
        status = self.status(view)
        if self.rungs is None:
            self.rungs = len(status.outcome.rungs)
            self.foretold = bool(status.outcome.done)
            self.pilot = _pilot(status.outcome)
        new = self.ended.tell(view, lambda: _bound(status) + ("" if status.finished else f" · {status.left()}"))
        self._tell_pilot(status.outcome)
        self._tell_forecast(status)
        self._tell_rungs(status.outcome)
        if new and self.pace.is_due:
            with self.pace.timed():
                self.study.write()
        if self.progress is not None:
            self.progress(status)

    def status(self, view: View) -> Status:
        """Return how far the search is."""
        limit = None if self.clock is None else max(0.0, self.clock.left)
        return Status(self.study.place.name, self.study.outcome(view), self.workers, self.epoch, limit)

    def _tell_pilot(self, outcome: Outcome) -> None:
        """Say which rates are tried beyond the first ones, and which one was found."""
        before, (rates, found) = self.pilot, _pilot(outcome)
        self.pilot = rates, found
        if found is not None and before[1] is None and (pilot := outcome.piloted()) is not None:
            self.say(rate_sentence(found, pilot))
        for rate in sorted({*rates} - {*before[0]}):
            self.say(f"the pilot tries a learning rate of {rate:g} too")

    def _tell_forecast(self, status: Status) -> None:
        """Say once, before the first candidate is trained, how long it takes and what it will tell."""
        outcome = status.outcome
        waits = outcome.view.trial is not None and outcome.view.rate is None
        if self.foretold or waits:
            return
        self.foretold = True
        expected, seconds = outcome.first_forecast(status.share), status.seconds_left
        if expected is not None:
            self.say(forecast_sentence(expected, scored=outcome.scored, seconds=seconds or None))

    def _tell_rungs(self, outcome: Outcome) -> None:
        for place, (rung, names) in list(enumerate(outcome.rungs, start=1))[self.rungs :]:
            parts = [number(len(names), "candidate"), number(len(rung.seeds), "seed")]
            parts += [] if rung.budget is None else [number(rung.budget, "epoch")]
            self.say(f"rung {place}: {', '.join(parts)}")
        self.rungs = len(outcome.rungs)


def _pilot(outcome: Outcome) -> tuple[tuple[float, ...], float | None]:
    """Return the rates of the pilot, and the one that was found."""
    trial = outcome.view.trial
    return ((), None) if trial is None else (trial.rates, trial.rate)


def _bound(status: Status) -> str:
    """Return by how much a candidate may be better than the best so far, and about what that will be in the end."""
    bound, expected = status.bound, status.forecast
    in_the_end = "" if expected is None else f", about {100 * expected:.2g} in the end"
    if bound is None:
        return ""
    return f" · none is better by more than {about(bound, scored=status.outcome.scored)}{in_the_end}"


_ROWS = 12
_HEADS = {"alpha": "α", "beta": "β", "gamma": "γ", "flops_ratio": "FLOPs ×", "interval": "±"}
_PERCENT = ("accuracy", "interval", "done")


def html_table(rows: list[dict[str, Any]]) -> str:
    """Return the first rows of a table for a notebook."""
    if not rows:
        return ""
    columns = [column for column in rows[0] if any(row[column] is not None for row in rows)]
    head = "".join(f"<th>{escape(_HEADS.get(column, column.replace('_', ' ')))}</th>" for column in columns)
    body = [
        f"<tr>{''.join(f'<td>{escape(_shown(column, row[column]))}</td>' for column in columns)}</tr>"
        for row in rows[:_ROWS]
    ]
    more = f"<p>and {len(rows) - _ROWS} more</p>" if len(rows) > _ROWS else ""
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{chr(10).join(body)}\n</tbody>\n</table>\n{more}"


def _shown(column: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    if column in _PERCENT:
        return percentage(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
