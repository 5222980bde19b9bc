"""A worker process: it claims a job at a time from the board, evaluates it, and records the result."""

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
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scalenet.arch.errors import PlainError, RunError, one_line
from scalenet.search.storage import KEPT, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from scalenet.search.board import Board, Place
    from scalenet.search.evaluators import Evaluator, Job, Report
    from scalenet.search.jobs import Entry
    from scalenet.search.schedule import Key
    from scalenet.search.storage import Storage

FAREWELL = 20.0
"""Seconds that a worker has to give back what it is at."""

_POLL, _PULSE, _STORAGE_PATIENCE = 1.0, 2.0, 5.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is told: where the board is, how jobs are evaluated and what they are, and its environment."""

    place: Place
    evaluator: Evaluator
    job: Callable[[Key], Job]
    environment: Mapping[str, str]


def be_worker(task: Task, errors: Any) -> None:
    """Be a worker: stdout is for data, so that what an evaluator prints goes to stderr."""
    signals = _Signals()
    signals.listen()
    threading.Thread(target=_follow, daemon=True).start()
    os.environ.update(task.environment)
    os.dup2(2, 1)
    try:
        _work(task, signals)
    except PlainError as error:
        errors.send((error.message, error.hint))
        sys.exit(1)


def name_of(pid: int | None) -> str:
    """Return the name of a worker of this machine by its process."""
    return f"{socket.gethostname()}:{pid}"


class _StoppedError(BaseException):
    """End a job, and what it has started."""


@dataclass
class _Signals:
    """What a worker was told by signals: SIGTERM to leave, SIGUSR1 to stop only the job that it is at."""

    busy: bool = False
    leaving: bool = False
    storage: Storage | None = None

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

    def _leave(self, *_: object) -> None:
        self.leaving = True
        if self.storage is not None:
            self.storage.patience = _STORAGE_PATIENCE
        self._stop()

    def _stop(self, *_: object) -> None:
        if self.busy:
            self.busy = False
            raise _StoppedError


@dataclass
class _Pulse:
    """The signs of life of a job, and its reports, from a thread of their own; it stops a job that is another's now."""

    board: Board
    entry: Entry
    budget: int | None
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
        pause = min(_PULSE, self.board.grace / 4)
        try:
            while not self.over.wait(pause):
                if self.board.stopped():
                    os.kill(os.getpid(), signal.SIGTERM)
                elif not self.board.beat(self.entry, self.share):
                    os.kill(os.getpid(), signal.SIGUSR1)
                self._note()
            self._note()
        except RunError as error:
            self.error = error
            os.kill(os.getpid(), signal.SIGTERM)

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


def _work(task: Task, signals: _Signals) -> None:
    board, name = task.place.board(patience=PATIENCE), name_of(os.getpid())
    signals.storage = board.storage
    while not (signals.leaving or board.stopped()):
        entry = board.claim(name)
        if entry is not None:
            _evaluate(board, entry, task, signals)
        elif board.view().finished():
            return
        else:
            time.sleep(_POLL)


def _evaluate(board: Board, entry: Entry, task: Task, signals: _Signals) -> None:
    job = task.job(entry.key)
    result: Any = None
    full: RunError | None = None
    with _Pulse(board, entry, job.budget) as pulse:
        try:
            with signals.stoppable():
                result = task.evaluator.evaluate(job, pulse.tell)
        except _StoppedError:
            pass
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # Ctrl-C is not heard here: it is the evaluator's
            result = _said(job, error)
            full = RunError(result, hint=KEPT) if _disk_is_full(error) else None
    _record(board, entry, None if full else result)
    if full is not None:
        raise full


def _record(board: Board, entry: Entry, result: Any) -> None:
    if result is None:
        board.give_back(entry)
    elif isinstance(result, str):
        board.fail(entry, result)
    else:
        board.finish(entry, result)


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
