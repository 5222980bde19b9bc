"""The worker processes of this machine: started, watched, followed by others when they die, and ended."""

from __future__ import annotations

import multiprocessing
import signal
import time
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from scalenet.arch.errors import RunError
from scalenet.search.storage import KEPT
from scalenet.search.worker import FAREWELL, be_worker, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scalenet.search.board import Board
    from scalenet.search.jobs import View
    from scalenet.search.worker import Task

_POLL, _DEATHS = 1.0, 10


def work(board: Board, tasks: Sequence[Task], *, look: Callable[[View], None], say: Callable[[str], None]) -> None:
    """Let a worker do each task until nothing is left, and meanwhile `look` at the board about once a second.

    A worker that dies is followed by another one, and its job is tried again. Leaving this gives back what still runs.
    Raise RunError where a worker cannot go on, or where the first jobs all fail.
    """
    crew: list[_Worker] = []
    died, done = 0, 0
    try:
        crew.extend(map(_Worker, tasks))
        while True:
            alive = [worker.process.sentinel for worker in crew if worker.process.is_alive()]
            view = board.view()
            look(view)
            if view.finished() or board.stopped():
                return
            if error := view.hopeless():
                raise RunError(error)
            for number, worker in enumerate(crew):
                if worker.process.is_alive() or worker.ended():
                    continue
                died, done = (1, now) if (now := len(view.done())) > done else (died + 1, done)
                _bury(board, worker, last=died > _DEATHS, say=say)
                crew[number] = _Worker(worker.task)
            if not (alive or any(worker.process.is_alive() for worker in crew)):
                raise RunError("every worker here was asked to leave", hint=KEPT)
            wait(alive, timeout=_POLL)
    finally:
        _end(crew)


def _bury(board: Board, worker: _Worker, *, last: bool, say: Callable[[str], None]) -> None:
    taken = board.bury(worker.name)
    jobs = ", ".join(entry.job for entry in taken) or "no job"
    code = worker.process.exitcode
    how = f"worker {worker.name} died with exit code {code}, at {jobs}"
    if last:
        hint = "is there enough memory? take fewer --workers" if code == -signal.SIGKILL else None
        raise RunError(f"{how}; others before it too", hint=hint)
    say(f"{how}; another one takes over")


def _end(crew: Sequence[_Worker]) -> None:
    """End workers: what they are at goes back to the board, if that does not take too long."""
    deadline = time.monotonic() + FAREWELL
    try:
        for worker in crew:
            worker.process.terminate()
        for worker in crew:
            worker.process.join(max(0.0, deadline - time.monotonic()))
    finally:
        for worker in crew:
            worker.process.kill()


class _Worker:
    """A worker process, as the one that started it sees it."""

    def __init__(self, task: Task) -> None:
        context = multiprocessing.get_context("spawn")  # torch, where loaded, lends its images instead of copying
        self.task = task
        self.errors, sender = context.Pipe(duplex=False)
        self.process = context.Process(target=be_worker, args=(task, sender))
        with _unheard():
            self.process.start()
        sender.close()
        self.name = name_of(self.process.pid)

    def ended(self) -> bool:
        """Return whether a process that is not alive ended by itself; raise RunError for the reason it gave."""
        with suppress(EOFError, OSError):
            if self.errors.poll():
                message, hint = self.errors.recv()
                raise RunError(message, hint=hint)
        return self.process.exitcode == 0


@contextmanager
def _unheard() -> Iterator[None]:
    """Let Ctrl-C wait, and not reach at all what is started in here: it would print a traceback while it loads."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
