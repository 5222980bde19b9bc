"""A worker: it claims a job at a time from the board, evaluates it, and records the result.

It is a process that others start and kill, or, for a search in one process, simply a call.
"""

from __future__ import annotations

import errno
import math
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from scalenet.arch.errors import PlainError, RunError, one_line
from scalenet.search.folder import Jobs
from scalenet.search.queue.database import KEPT, PATIENCE
from scalenet.search.queue.silence import PULSE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from scalenet.search.evaluators import Evaluator, Job, Report, Result
    from scalenet.search.queue.board import Board, Place
    from scalenet.search.queue.database import Database
    from scalenet.search.queue.jobs import Entry, View

FAREWELL = 20.0
"""Seconds that a worker has to give back what it is at."""

_SHORTEST_POLL, _LONGEST_POLL = 0.05, 1.0
_LAST_PATIENCE = 5.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker process is told: where the board and the folder are, how jobs are evaluated, its environment."""

    place: Place
    folder: Path
    evaluator: Evaluator
    environment: Mapping[str, str]


def new_name() -> str:
    """Return a name for a worker that no other has: containers may share a host's name and processes' numbers."""
    return f"{socket.gethostname()}-{uuid4().hex[:8]}"


def be_worker(task: Task, name: str, environment: Mapping[str, str], errors: Any) -> None:
    """Be a worker process: stdout is for data, so that what an evaluator prints goes to stderr."""
    os.environ.clear()
    os.environ.update(environment)
    signals = _Signals()
    signals.listen()
    threading.Thread(target=_follow, daemon=True).start()
    os.dup2(2, 1)
    try:
        board = task.place.board(patience=PATIENCE)
        signals.database = board.database
        Worker(board, task.folder, task.evaluator, name, signals).work()
    except PlainError as error:
        errors.send((error.message, error.hint))
        sys.exit(1)


def work_here(board: Board, folder: Path, evaluator: Evaluator, *, between: Callable[[], None] = lambda: None) -> None:
    """Evaluate what is left in this process, until nothing is or the search was asked to stop.

    `between` is called after each job.
    """
    ear, name = _Calls(), new_name()
    try:
        Worker(board, folder, evaluator, name, ear, watching=True, between=between).work()
    except BaseException:  # such as Ctrl-C a second time: this process lives on, so that nobody would take its job
        with briefly(board), suppress(RunError):
            board.leave(name)
        raise
    if ear.leaving and not board.stopped():
        raise KeyboardInterrupt


@contextmanager
def briefly(board: Board) -> Iterator[None]:
    """Wait for the database no longer than one who leaves does."""
    patience, board.database.patience = board.database.patience, _LAST_PATIENCE
    try:
        yield
    finally:
        board.database.patience = patience


class _StoppedError(BaseException):
    """End a job, and what it has started."""


class _Calls:
    """What a worker within another program hears: that it shall stop, between two jobs."""

    leaving = False

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """Let nothing but Ctrl-C stop what is in here."""
        try:
            yield
        except KeyboardInterrupt:
            self.leaving = True
            raise _StoppedError from None

    def leave(self) -> None:
        """Stop after this job."""
        self.leaving = True

    def drop(self) -> None:
        """Let a job end that is not wanted any more."""


@dataclass
class _Signals:
    """What a worker process hears by signals: SIGTERM to leave, SIGUSR1 to stop only the job that it is at."""

    busy: bool = False
    leaving: bool = False
    database: Database | None = None

    def listen(self) -> None:
        """Hear them; Ctrl-C is for the process that started this one."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGTERM, self._leave)
        signal.signal(signal.SIGUSR1, self._stop)

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """Let signals raise _StoppedError in here."""
        self.busy = True
        try:
            if self.leaving:
                raise _StoppedError
            yield
        finally:
            self.busy = False

    def leave(self) -> None:
        """Stop the job, and leave."""
        os.kill(os.getpid(), signal.SIGTERM)

    def drop(self) -> None:
        """Stop the job."""
        os.kill(os.getpid(), signal.SIGUSR1)

    def _leave(self, *_: object) -> None:
        self.leaving = True
        if self.database is not None:
            self.database.patience = _LAST_PATIENCE
        self._stop()

    def _stop(self, *_: object) -> None:
        if self.busy:
            self.busy = False
            raise _StoppedError


@dataclass
class Worker:
    """A worker at a board, and how it is stopped; without a process beside it that watches others, it does so."""

    board: Board
    folder: Path
    evaluator: Evaluator
    name: str
    ear: _Signals | _Calls
    watching: bool = False
    between: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.rates = _Rates(self.board)

    def work(self) -> None:
        """Evaluate jobs until nothing is left, or it is to leave."""
        jobs = Jobs(self.folder, self.board.config, self.rates)
        while (entry := self._next()) is not None:
            self._evaluate(entry, jobs.prepared(entry.key))
            self.between()

    def _next(self) -> Entry | None:
        """Return a job, once there is one; None where there will be none."""
        pause = _SHORTEST_POLL
        while not self.ear.leaving:
            entry = self.board.claim(self.name)
            if entry is not None:
                return entry
            while not self.board.has("waiting"):
                if self.ear.leaving or self.board.stopped():
                    return None
                if not self.board.has("running") and self.board.fill().finished:
                    return None
                if self.watching:
                    self.board.find_dead()
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_POLL)
            if self.board.stopped():
                return None
            time.sleep(_SHORTEST_POLL)  # who was stopped while it claimed a job has that locked for a while
        return None

    def _evaluate(self, entry: Entry, job: Job) -> None:
        result: Result | str | None = None
        full: RunError | None = None
        with _Pulse(self.board, entry, job.budget, self.ear) as pulse:
            try:
                with self.ear.stoppable():
                    result = self.evaluator.evaluate(job, pulse.tell)
            except _StoppedError:
                pass
            except (Exception, SystemExit, KeyboardInterrupt) as error:  # Ctrl-C is not heard here: the evaluator's
                result = _said(job, error)
                full = RunError(result, hint=KEPT) if _disk_is_full(error) else None
        self._record(entry, None if full else result)
        if full is not None:
            raise full

    def _record(self, entry: Entry, result: Result | str | None) -> None:
        if result is None:
            self.board.give_back(entry)
        elif isinstance(result, str):
            self.board.fail(entry, result)
        else:
            self.board.finish(entry, result, in_time=self.rates.is_pilots(entry))


@dataclass
class _Rates:
    """The learning rates of jobs by candidate: what the pilot found stays, so that the board is not asked again."""

    board: Board
    view: View | None = None

    def __call__(self, name: str) -> float | None:
        """Return the rate of a candidate, None where it is the evaluator's own."""
        if self.view is None or (self.view.trial is not None and self.view.rate is None):
            self.view = self.board.view()
        return self.view.rate_of(name)

    def is_pilots(self, entry: Entry) -> bool:
        """Return whether a job is the pilot's: others may go by what was found without it, once it has failed."""
        return self.view is not None and self.view.is_pilots(entry.key)


@dataclass
class _Pulse:
    """The signs of life of a job, and its reports, from a thread of their own; it stops a job that is not wanted."""

    board: Board
    entry: Entry
    budget: int | None
    ear: _Signals | _Calls
    share: float = 0.0
    reports: list[Report] = field(default_factory=list)
    error: RunError | None = None

    def __post_init__(self) -> None:
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> _Pulse:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        if self.error is not None:
            raise self.error

    def tell(self, report: Report) -> None:
        """Take a report, unless it makes no sense."""
        if not 0 <= report.done < math.inf or report.done > (self.budget or math.inf):
            return
        self.share = min(1.0, report.done / (self.budget or 1))
        self.reports.append(report)

    def _run(self) -> None:
        pause = min(PULSE, self.board.grace / 8)
        try:
            while not self.over.wait(pause):
                sign = self.board.beat(self.entry, self.share)
                if sign.stopping:
                    self.ear.leave()
                elif not sign.wanted:
                    self.ear.drop()
                self._note()
            self._note()
        except RunError as error:
            self.error = error
            self.ear.leave()

    def _note(self) -> None:
        while self.reports:
            self.board.note(self.entry, self.reports.pop(0))


def _follow() -> None:
    """End this process after the one that started it: as on SIGTERM, and by force where that takes too long."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(FAREWELL)
    os._exit(1)


def _said(job: Job, error: BaseException) -> str:
    """Return why a job failed; the traceback of what is not a plain error is kept."""
    if isinstance(error, PlainError):
        return str(error)
    said = f"{job}: {one_line(error)}"
    log = job.folder / "error.txt"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(traceback.format_exc(), encoding="utf-8")
    except OSError:
        return said
    return f"{said}, see {log}"


def _disk_is_full(error: BaseException | None) -> bool:
    """Return whether an error comes from a full disk: then no job is to blame."""
    while error is not None and not (isinstance(error, OSError) and error.errno in _FULL):
        error = error.__cause__ or error.__context__
    return error is not None
