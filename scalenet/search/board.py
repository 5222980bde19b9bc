"""The board: the jobs of a search as all its processes see them, on any number of machines.

Each attempt at a job is a trial of an Optuna study. A job is enqueued once it is needed, whoever notices; a process
claims a waiting one, gives signs of life while it evaluates it, and records the result. An attempt whose process died
is followed by another one. A result is the first to be recorded: a process that was only taken to be dead is told so.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import fail_stale_trials
from optuna.trial import TrialState

from scalenet.arch.config import as_data, as_record
from scalenet.arch.errors import RunError, UnknownNameError
from scalenet.search.evaluators import Result
from scalenet.search.jobs import Aim, Entry, State, View
from scalenet.search.storage import JOB, check_name, open_storage, search_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optuna.trial import FrozenTrial

    from scalenet.search.evaluators import Report
    from scalenet.search.schedule import Key

ERRORS, DEATHS = 2, 10
"""So many attempts at a job may fail, and so many of its processes may die, before it counts as failed."""

_GONE = (UpdateFinishedTrialError, KeyError)  # the job is another process's now, or its search was removed


@dataclass(frozen=True, slots=True)
class Place:
    """Where a board is: the storage's URL, the search's name, and after how many seconds a silent worker is dead."""

    url: str
    name: str
    grace: int

    def board(self, *, patience: float = 0.0) -> Board:
        """Open the board; its database may be away for `patience` seconds."""
        return Board(self.url, self.name, grace=self.grace, patience=patience)

    def look(self) -> Board:
        """Open the board of a search that was begun, only to be read; raise UnknownNameError where there is none."""
        names = search_names(self.url)
        board = Board(self.url, self.name, grace=self.grace, reading=True) if self.name in names else None
        if board is None or board.plan() is None:
            listing = f"its storage has {', '.join(names) or 'none'}"
            raise UnknownNameError("search", self.name, names, listing=listing)
        return board


class Board:
    """The jobs of one search in a storage."""

    def __init__(self, url: str, name: str, *, grace: int, patience: float = 0.0, reading: bool = False) -> None:
        """Open the search of that name, or begin it unless this is only for `reading`.

        Its database may be away for `patience` seconds.
        """
        check_name(name)
        self.name, self.grace = name, grace
        self.storage = open_storage(url, grace=grace, retry=self._retry, patience=patience, reading=reading)
        if not reading:
            with contextlib.suppress(DuplicatedStudyError):
                optuna.create_study(storage=self.storage, study_name=name, direction="maximize")
        self.study = optuna.load_study(storage=self.storage, study_name=name)
        self.id = self.study._study_id
        token = {"token": uuid4().hex}
        known = self.storage.get_study_user_attrs(self.id) if reading else self.storage.settle(self.id, token)
        self.token = known.get("token")

    def settle(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Record the plan of the search, unless one is recorded; return what is."""
        found: dict[str, Any] = self.storage.settle(self.id, {"plan": plan})["plan"]
        return found

    def plan(self) -> dict[str, Any] | None:
        """Return the plan of the search, None where it was not begun."""
        attributes = self._attributes()
        return attributes.get("plan") if "aim" in attributes else None

    def attribute(self, name: str) -> Any:
        """Return what `begin` recorded under a name."""
        return self._attributes()[name]

    def begin(self, aim: Aim, **attributes: Any) -> None:
        """Say what is to be evaluated, from now on by all processes, and enqueue it.

        What failed is tried again, unless others are at this search just now. The attributes are recorded beside it.
        """
        entries = self.entries().values()
        if not any(entry.state is State.running for entry in entries):
            attributes["forgiven"] = max((entry.number for entry in entries), default=-1)
        for key, value in {**attributes, "aim": as_data(aim), "stop": False}.items():
            self.storage.set_study_user_attr(self.id, key, value)
        self.fill()

    def remove(self) -> None:
        """Forget the search, unless another process has done so."""
        with contextlib.suppress(KeyError):
            self.storage.delete_study(self.id)

    def stop(self) -> None:
        """Ask all processes of the search to give back what they are at, and to end."""
        self.storage.set_study_user_attr(self.id, "stop", True)

    def stopped(self) -> bool:
        """Return whether the search was asked to stop."""
        return bool(self._attributes().get("stop"))

    def entries(self) -> dict[Key, Entry]:
        """Return all jobs that were ever enqueued."""
        return self._entries(self._attributes())

    def view(self) -> View:
        """Return the jobs and what is to be evaluated, as they are now."""
        attributes = self._attributes()
        return View(as_record(Aim, attributes["aim"], self.name), self._entries(attributes))

    def fill(self) -> View:
        """Enqueue what is needed and not there: the first jobs, those of the next rung, those whose process died.

        Return the jobs then.
        """
        view = self.view()
        jobs = [[*key, attempt] for key, attempt in view.missing()]
        if not jobs:
            return view
        self.storage.enqueue(self.id, jobs)
        return self.view()

    def claim(self, worker: str) -> Entry | None:
        """Return a job that is now this process's, or None where nothing waits; find the dead first."""
        self.find_dead()
        waiting = self.fill().waiting()
        taken = (entry for entry in waiting if self._take(entry, worker))
        return next((replace(entry, worker=worker) for entry in taken), None)

    def find_dead(self) -> None:
        """Take the jobs of processes without a sign of life; after an outage, let all give one first."""
        if time.monotonic() - self.storage.returned > self.grace:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                fail_stale_trials(self.study)

    def beat(self, entry: Entry, share: float) -> bool:
        """Give a sign of life; return whether the job is still this process's."""
        with contextlib.suppress(KeyError):
            alive: bool = self.storage.beat(entry.trial, entry.worker, {"share": round(share, 4)})
            return alive
        return False

    def note(self, entry: Entry, report: Report) -> None:
        """Keep an accuracy on the way."""
        if report.accuracy is not None:
            with contextlib.suppress(*_GONE):
                self.storage.set_trial_intermediate_value(entry.trial, round(report.done), report.accuracy)

    def finish(self, entry: Entry, result: Result) -> None:
        """Record a result, unless the process was taken to be dead: then another one has the job."""
        state = TrialState.PRUNED if result.accuracy is None else TrialState.COMPLETE
        self._end(entry, state, result.accuracy, result=asdict(result))

    def fail(self, entry: Entry, error: str) -> None:
        """Record why a job failed."""
        self._end(entry, TrialState.FAIL, error=error)
        self.fill()

    def give_back(self, entry: Entry) -> None:
        """Leave a job to others."""
        self._end(entry, TrialState.FAIL, given_back=True)
        self.fill()

    def bury(self, worker: str) -> list[Entry]:
        """Take the jobs of a process that is known to be dead, and return them."""
        taken = [entry for entry in self.entries().values() if entry.state is State.running and entry.worker == worker]
        for entry in taken:
            self._end(entry, TrialState.FAIL)
        self.fill()
        return taken

    def _entries(self, attributes: Mapping[str, Any]) -> dict[Key, Entry]:
        attempts: dict[Key, list[FrozenTrial]] = {}
        for trial in self.study.get_trials(deepcopy=False):
            *key, _ = trial.user_attrs[JOB]
            attempts.setdefault(_key(key), []).append(trial)
        forgiven = attributes.get("forgiven", -1)
        return {key: _entry(key, trials, forgiven) for key, trials in attempts.items()}

    def _retry(self, *_: object) -> None:
        """Enqueue the jobs of the dead: Optuna calls this for each."""
        self.fill()

    def _attributes(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        with contextlib.suppress(KeyError):
            found = self.storage.get_study_user_attrs(self.id)
        if found.get("token") != self.token:  # SQLite gives the id of a removed search to the next one
            raise RunError(f"the search {self.name} was removed from {self.storage.place}")
        return found

    def _take(self, entry: Entry, worker: str) -> bool:
        with contextlib.suppress(KeyError):
            taken: bool = self.storage.take(entry.trial, worker)
            return taken
        return False

    def _end(self, entry: Entry, state: TrialState, value: float | None = None, **attributes: Any) -> None:
        with contextlib.suppress(KeyError):
            self.storage.end(entry.trial, entry.worker, state, value, attributes)


def _key(parts: Sequence[Any]) -> Key:
    candidate, seed, budget = parts
    return candidate, seed, budget


def _entry(key: Key, attempts: Sequence[FrozenTrial], forgiven: int) -> Entry:
    """Return what is known of a job from its attempts; one that has a result is done."""
    trial = next((one for one in attempts if one.state in _DONE), attempts[-1])
    notes = trial.user_attrs
    return Entry(
        key=key,
        state=_STATES.get(trial.state) or _after_failure(attempts, forgiven),
        attempt=notes[JOB][-1],
        trial=trial._trial_id,
        number=trial.number,
        worker=notes.get("worker"),
        share=notes.get("share", 0.0),
        result=Result(**notes["result"]) if trial.state in _DONE else None,
        error=notes.get("error"),
        curve=trial.intermediate_values,
    )


def _after_failure(attempts: Sequence[FrozenTrial], forgiven: int) -> State:
    counted = [one.user_attrs for one in attempts if one.number > forgiven and one.state is TrialState.FAIL]
    errors = sum("error" in notes for notes in counted)
    deaths = sum(not notes.keys() & {"error", "given_back"} for notes in counted)
    return State.failed if errors >= ERRORS or deaths >= DEATHS else State.lost


_DONE = (TrialState.COMPLETE, TrialState.PRUNED)
_STATES = {
    TrialState.WAITING: State.waiting,
    TrialState.RUNNING: State.running,
    TrialState.COMPLETE: State.done,
    TrialState.PRUNED: State.done,
}
