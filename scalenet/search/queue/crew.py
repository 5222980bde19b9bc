"""The worker processes of this machine: started, watched, followed by others when they die, and ended."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from scalenet.arch.errors import RunError
from scalenet.arch.interpreters import off_the_path, without_main
from scalenet.search.queue.database import KEPT
from scalenet.search.queue.pace import Pace
from scalenet.search.queue.worker import FAREWELL, be_worker, briefly, new_name, work_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from scalenet.search.evaluators import Evaluator
    from scalenet.search.queue.board import Board
    from scalenet.search.queue.jobs import Entry, View
    from scalenet.search.queue.worker import Task

_CONTEXT = multiprocessing.get_context("forkserver")
_POLL, _DEATHS = 1.0, 10


def work(board: Board, tasks: Sequence[Task], *, look: Callable[[View], None], say: Callable[[str], None]) -> None:
    """Let a worker do each task until nothing is left, and meanwhile `look` at the board now and then.

    Looking takes at most a twentieth of the time. A worker that dies is followed by another one, and its job is tried
    again. Leaving this gives back what still runs. Raise RunError where a worker cannot go on, or where the first jobs
    all fail.
    """
    crew = _Crew(board, say)
    glance = _Glance(board, look)
    try:
        crew.start(tasks)
        while not board.stopped():
            if not crew.at_work():
                glance.now()
                return
            crew.dead += board.find_dead()
            glance.now_and_then()
            crew.wait(min(_POLL, board.grace / 4))
        glance.now()
    finally:
        crew.end()


def work_alone(board: Board, folder: Path, evaluator: Evaluator, *, look: Callable[[View], None]) -> None:
    """Do what is left in this process, and `look` at the board now and then, between two jobs.

    Raise RunError where the first jobs all fail.
    """
    glance = _Glance(board, look)
    glance.now()
    work_here(board, folder, evaluator, between=glance.now_and_then)
    glance.now()


class _Glance:
    """Looks at the board, so rarely that it takes little of the time."""

    def __init__(self, board: Board, look: Callable[[View], None]) -> None:
        self.board, self.look, self.pace = board, look, Pace(_POLL)

    def now_and_then(self) -> None:
        """Look if it is time to."""
        if self.pace.is_due:
            self.now()

    def now(self) -> None:
        """Look; raise RunError where the first jobs all failed."""
        with self.pace.timed():
            view = self.board.view()
            self.look(view)
        if not view.finished and (error := view.hopeless()):
            raise RunError(error)


class _Crew:
    """The workers of this machine."""

    def __init__(self, board: Board, say: Callable[[str], None]) -> None:
        self.board, self.say = board, say
        self.workers: list[_Worker] = []
        self.died, self.done = 0, 0
        self.at: set[str | None] = set()
        self.dead: list[Entry] = []

    def start(self, tasks: Sequence[Task]) -> None:
        """Start a worker for each task; a server that has imported what they need once is forked for each."""
        modules = {type(task.evaluator).__module__ for task in tasks}
        ours = sorted(name for name in modules if name.startswith("scalenet."))
        _CONTEXT.set_forkserver_preload([be_worker.__module__, *ours])
        _load_server()
        for task in tasks:
            with _unheard():
                self.workers.append(_Worker(task))

    def at_work(self) -> bool:
        """Return whether any is at work; bury the dead, and let others follow them.

        Raise RunError where too many died, or all were asked to leave before the end.
        """
        for number, worker in enumerate(self.workers):
            if worker.process.is_alive() or worker.ended():
                continue
            self._bury(worker)
            with _unheard():
                self.workers[number] = _Worker(worker.task)
        if any(worker.process.is_alive() for worker in self.workers):
            return True
        if not (self.board.stopped() or self.board.fill().finished):
            raise RunError("every worker here was asked to leave", hint=KEPT)
        return False

    def wait(self, seconds: float) -> None:
        """Wait until one ends, or for so long."""
        wait([worker.process.sentinel for worker in self.workers if worker.process.is_alive()], timeout=seconds)

    def end(self) -> None:
        """End them: what they are at goes back to the board, by themselves if that does not take too long."""
        deadline = time.monotonic() + FAREWELL
        try:
            for worker in self.workers:
                worker.process.terminate()
            for worker in self.workers:
                worker.process.join(max(0.0, deadline - time.monotonic()))
        finally:
            slow = [worker for worker in self.workers if worker.process.is_alive()]
            for worker in slow:
                worker.process.kill()
            with briefly(self.board), suppress(RunError):
                for worker in slow:
                    worker.process.join()
                    self.board.leave(worker.name)

    def _bury(self, worker: _Worker) -> None:
        """Take a dead worker's job; raise RunError where one after the other died, and nothing was done between.

        Where all were at one candidate it is to blame, and its jobs fail by themselves.
        """
        done = self.board.count_done()
        if done > self.done:
            self.died, self.done, self.at = 0, done, set()
        taken = self.board.bury(worker.name) or [entry for entry in self.dead if entry.worker == worker.name]
        self.died += 1
        self.at |= {entry.key[0] for entry in taken} or {None}
        jobs = ", ".join(entry.job for entry in taken) or "no job"
        code = worker.process.exitcode
        how = f"worker {worker.name} died with exit code {code}, at {jobs}"
        if self.died > _DEATHS and (len(self.at) > 1 or None in self.at):
            hint = "is there enough memory? take fewer --workers" if code == -signal.SIGKILL else None
            raise RunError(f"{how}; others before it too", hint=hint)
        self.say(f"{how}; another one takes over")


class _Worker:
    """A worker process, as the one that started it sees it."""

    def __init__(self, task: Task) -> None:
        self.task, self.name = task, new_name()
        self.errors, sender = _CONTEXT.Pipe(duplex=False)
        environment = {**os.environ, **task.environment}  # the server's is as old as the server
        self.process = _CONTEXT.Process(target=be_worker, args=(task, self.name, environment, sender))
        with off_the_path(), without_main():
            self.process.start()
        sender.close()

    def ended(self) -> bool:
        """Return whether a process that is not alive ended by itself; raise RunError for the reason it gave."""
        with suppress(EOFError, OSError):
            if self.errors.poll():
                message, hint = self.errors.recv()
                raise RunError(message, hint=hint)
        return self.process.exitcode == 0


def _load_server() -> None:
    """Start the server that workers are forked from, and wait until it has loaded what they need.

    That takes seconds, and Ctrl-C does not wait for it: nothing is lost yet, and the server ends once it has loaded.
    """
    with off_the_path(), without_main():
        with _unheard():
            forkserver.ensure_running()
        _CONTEXT.Process(target=os.getpid).start()


@contextmanager
def _unheard() -> Iterator[None]:
    """Let Ctrl-C wait until a worker that is started in here is known as one, which is to be ended.

    It does not reach at all what is started: that would print a traceback while it loads. Python's tracker of resources
    is started before, because it lets Ctrl-C through again once it runs.
    """
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
