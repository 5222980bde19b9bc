"""What the queue of a search costs, in CPU time of its own processes: to begin, to do a job, and to look.

    python benchmarks/search_queue.py [CANDIDATES …]

Of 100, 1,000 and 10,000 candidates with two seeds unless said otherwise, on SQLite and, where its server is installed,
on PostgreSQL. A job is a claim, a sign of life and a result; some are done by one worker and by eight at once, when
half of the queue is done. To look is to read all jobs and to rank the candidates so far. Prints Markdown.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from scalenet.search.evaluators import Result
from scalenet.search.queue.board import Board
from scalenet.search.queue.jobs import Aim
from scalenet.search.queue.tables import ATTEMPTS
from scalenet.search.rungs.schedule import Rung, Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES, WORKERS, JOBS = (100, 1_000, 10_000), (1, 8), 64
TESTS = Path(__file__).parents[1] / "tests" / "search"


def main() -> None:
    """Print the table."""
    sizes = [int(word) for word in sys.argv[1:]] or SIZES
    print("| database | candidates | to begin, s | a job with 1 worker, ms | with 8 workers, ms | to look, s |")
    print("|---|---|---|---|---|---|")
    with ExitStack() as stack:
        for kind, urls in databases(stack).items():
            for size in sizes:
                print(f"| {kind} | {size:,} | {' | '.join(figures(next(urls), size))} |", flush=True)


def databases(stack: ExitStack) -> dict[str, Iterator[str]]:
    """Return URLs of new databases by kind; a server runs until the stack is left."""
    sys.path.append(str(TESTS))
    from postgres import find_binaries, running  # type: ignore[import-not-found]  # noqa: PLC0415

    folder = stack.enter_context(tempfile.TemporaryDirectory())
    kinds: dict[str, Iterator[str]] = {"SQLite": (f"sqlite:///{folder}/{number}.db" for number in range(100))}
    if find_binaries() is not None:
        server = stack.enter_context(running())
        kinds["PostgreSQL"] = iter(server.database, None)
    return kinds


def figures(url: str, size: int) -> list[str]:
    """Return the figures of a search of so many candidates."""
    aim = Aim(
        schedule=Schedule(rungs=(Rung(seeds=(0, 1), budget=1),)),
        factors={f"c{number}": 1.0 for number in range(size)},
    )
    began = time.process_time()
    board = Board(url, "search", grace=60)
    board.begin(aim)
    begun = time.process_time() - began
    do_half(board, size)
    jobs = [1000 * cpu_of_a_job(url, workers, min(JOBS, size // 4)) for workers in WORKERS]
    began = time.process_time()
    view = board.view()
    assert view.course.rungs
    looked = time.process_time() - began
    return [f"{begun:.2f}", *(f"{milliseconds:.1f}" for milliseconds in jobs), f"{looked:.3f}"]


def do_half(board: Board, size: int) -> None:
    """Give the first of two seeds of all candidates a result."""
    done = ATTEMPTS.update().where(ATTEMPTS.c.search == board.id, ATTEMPTS.c.place < size)
    board.database.change(done.values(state="done", worker="before", accuracy=0.5, seconds=1.0))


def cpu_of_a_job(url: str, workers: int, jobs: int) -> float:
    """Return the CPU seconds of one of so many jobs, which so many processes do at once."""
    with get_context("spawn").Pool(workers) as pool:
        spent = pool.starmap(work, [(url, jobs // workers)] * workers, chunksize=1)
    return sum(spent) / (jobs // workers * workers)


def work(url: str, jobs: int) -> float:
    """Do so many jobs in this process, and return its CPU seconds for them, without those to start."""
    board = Board(url, "search", grace=60)
    board.stopped()
    began = time.process_time()
    for _ in range(jobs):
        entry = board.claim("worker")
        assert entry is not None
        board.beat(entry, 0.5)
        name, seed, _ = entry.key
        board.finish(entry, Result(name, seed, 0.5, None, 1.0, None))
    return time.process_time() - began


if __name__ == "__main__":
    main()
