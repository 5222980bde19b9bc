"""Presence: which processes take part in a search, and for how long the search was at work.

Each process that takes part counts seconds by its own clock, from where the search was when it came, and the one that
is furthest counts: no two clocks are compared, and neither more workers nor a pause between runs make it more.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql

from scalenet.arch.errors import RunError
from scalenet.search.queue.processes import lives, this_process
from scalenet.search.queue.silence import PULSE
from scalenet.search.queue.tables import ATTEMPTS, RUNS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scalenet.search.queue.board import Board

_LAST_PATIENCE = 5.0
_R = RUNS.c


class Presence:
    """A process at work in a search with so many workers, from when the search is begun with this until it is left.

    A thread of its own gives signs of life.
    """

    def __init__(self, workers: int) -> None:
        self._own, self._others = workers, 0
        self._number: int | None = None
        self._board: Board | None = None
        self._came, self._before = time.monotonic(), 0.0
        self._over, self._thread = threading.Event(), threading.Thread(target=self._run, daemon=True)

    @property
    def workers(self) -> int:
        """The workers of all processes at work."""
        return self._own + self._others

    @property
    def seconds(self) -> float:
        """For how long the search was at work, before this process came and since."""
        return self._before + time.monotonic() - self._came

    def arrive(self, connection: sql.Connection, board: Board) -> None:
        """Be recorded with a search, within the transaction that begins it."""
        self._board, self._database = board, copy(board.database)
        self._database.say = None  # it is waited for without a word: whoever works at the search has one
        self._came, self._before = time.monotonic(), connection.execute(_worked(board.id, self._own)).scalar_one()
        row = {"search": board.id, "process": this_process(), "workers": self._own, "beat": 0, "seconds": self._before}
        self._number = connection.execute(RUNS.insert().values(row).returning(_R.id)).scalar_one()

    def begin(self) -> None:
        """Give signs of life from now on."""
        self._thread.start()

    def __enter__(self) -> Presence:
        return self

    def __exit__(self, *_: object) -> None:
        if self._board is None:
            return
        self._database.patience = _LAST_PATIENCE
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        with suppress(RunError):
            self._database.change(self._mine().values(beat=None, seconds=self.seconds))

    def _run(self) -> None:
        assert self._board is not None
        pause = min(PULSE, self._board.grace / 8)
        with suppress(RunError):  # the search was removed, or its database: who works at it is told so
            while not self._over.wait(pause):
                self._database.transact(self._sign)

    def _sign(self, connection: sql.Connection, _: bool) -> None:
        """Give a sign of life, and see how far the others are."""
        assert self._board is not None
        connection.execute(self._mine().values(beat=sql.func.coalesce(_R.beat, 0) + 1, seconds=self.seconds))
        rows = connection.execute(present(self._board.id).where(_R.id != self._number)).all()
        self._others = workers_of(rows)
        self._before += max(0.0, connection.execute(_worked(self._board.id, self._own)).scalar_one() - self.seconds)

    def _mine(self) -> sql.Update:
        return RUNS.update().where(_R.id == self._number)


def present(search: int) -> sql.Select[Any]:
    """Return what asks for the processes at work in a search."""
    return sql.select(RUNS).where(_R.search == search, _R.beat.is_not(None))


def workers_of(rows: Iterable[Any]) -> int:
    """Return how many workers processes have together, as far as they are not known to be dead."""
    return sum(row.workers for row in rows if lives(row.process) is not False)


def seconds_of(board: Board, workers: int) -> float:
    """Return for how long a search was at work, which was begun; by so many workers where that was not kept yet."""
    asked = _worked(board.id, workers) if board.database.has(RUNS.name) else sql.select(_trained(board.id, workers))
    ((row,),) = board.database.rows(asked)
    return float(row[0] or 0.0)


def _worked(search: int, workers: int) -> sql.Select[Any]:
    furthest = sql.select(sql.func.max(_R.seconds)).where(_R.search == search).scalar_subquery()
    return sql.select(sql.func.coalesce(furthest, _trained(search, workers), 0.0))


def _trained(search: int, workers: int) -> sql.ColumnElement[Any]:
    """Return about how long a search took that was begun before this was kept."""
    total = sql.select(sql.func.sum(ATTEMPTS.c.seconds)).where(ATTEMPTS.c.search == search)
    return total.scalar_subquery() / workers
