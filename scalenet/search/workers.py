"""Worker processes: each evaluates a job at a time, and reports how far it is."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from scalenet.search.evaluators import Evaluator, Job, Report, Result


def evaluated(
    jobs: Sequence[Job], evaluator: Evaluator, *, workers: int, threads: int, tell: Callable[[Job, Report], None]
) -> Generator[Result]:
    """Yield the results of jobs as they come, and tell what the jobs report; leaving this ends what still runs."""
    context: Any = multiprocessing.get_context(
        "spawn"
    )  # torch, where it is loaded, lends its images instead of copying
    reports = context.SimpleQueue()
    pool = ProcessPoolExecutor(
        min(workers, len(jobs)), mp_context=context, initializer=_start, initargs=(evaluator, reports, threads)
    )
    by_name = {str(job): job for job in jobs}
    try:
        running = {pool.submit(_work, job) for job in jobs}
        while running:
            finished, running = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
            while not reports.empty():
                name, report = reports.get()
                tell(by_name[name], report)
            for future in sorted(finished, key=lambda done: done.exception() is not None):
                yield future.result()
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


class _StoppedError(BaseException):
    """End a job, and what it has started."""


_worker: dict[str, Any] = {"busy": False}


def _start(evaluator: Evaluator, reports: Any, threads: int) -> None:
    """Prepare a worker: it leaves Ctrl-C to the process that started it, and stdout to data."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.dup2(2, 1)
    _worker.update(evaluator=evaluator, reports=reports)


def _stop(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the pool may send another one while the job is being ended
    if _worker["busy"]:
        raise _StoppedError
    os._exit(143)


def _work(job: Job) -> Result:
    _worker["busy"] = True
    try:
        result: Result = _worker["evaluator"].evaluate(job, lambda report: _worker["reports"].put((str(job), report)))
        return result
    except _StoppedError:
        os._exit(143)  # the pool would go on with the next job
    finally:
        _worker["busy"] = False
