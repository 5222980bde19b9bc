"""The board: the jobs of a search as all its processes see them, on any number of machines.

A job is put on the board once it is needed, whoever notices; a worker claims the first that waits, gives signs of life
while it evaluates it, and records the result. Each step is one short transaction whose conditions say whose the job
must be. The first result of a job counts, whoever has the job by then: a worker that was taken to be dead and only was
slow may still bring it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

from scalenet.arch.config import Config, as_data, as_record
from scalenet.arch.errors import RunError, ScalenetError, UnknownNameError
from scalenet.search.evaluators import Result
from scalenet.search.queue.database import open_database
from scalenet.search.queue.jobs import Aim, Entry, State, View
from scalenet.search.queue.presence import present, workers_of
from scalenet.search.queue.processes import lives, this_process
from scalenet.search.queue.silence import PULSE, Silence
from scalenet.search.queue.tables import ATTEMPTS, CANDIDATES, CURVES, LONGEST_NAME, RUNS, SEARCHES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from scalenet.search.evaluators import Report
    from scalenet.search.queue.database import Database
    from scalenet.search.queue.presence import Presence
    from scalenet.search.rungs.schedule import Key

ERRORS, DEATHS = 2, 10
"""So many attempts at a job may fail, and so many of its workers may die without getting further, before it failed."""

_S, _C, _A, _R = SEARCHES.c, CANDIDATES.c, ATTEMPTS.c, RUNS.c


NewCandidate: TypeAlias = "tuple[str, dict[str, Any], Config]"
"""A candidate that is recorded: its name, facts and config."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a board is: the database's URL, the search's name, and after how many seconds a silent worker is dead."""

    url: str
    name: str
    grace: int

    def board(self, *, patience: float = 0.0, say: Callable[[str], None] | None = None) -> Board:
        """Open the board; its database may be away for `patience` seconds, and `say` hears that it is."""
        return Board(self.url, self.name, grace=self.grace, patience=patience, say=say)

    def look(self) -> Board:
        """Open the board of a search that was begun, only to be read; raise UnknownNameError where there is none."""
        return Board(self.url, self.name, grace=self.grace, reading=True)


@dataclass(frozen=True, slots=True)
class Sign:
    """What a worker hears when it gives a sign of life: is its job still wanted, is the search being stopped?"""

    wanted: bool
    stopping: bool


class Board:
    """The jobs of one search in a database."""

    def __init__(
        self,
        url: str,
        name: str,
        *,
        grace: int,
        reading: bool = False,
        patience: float = 0.0,
        say: Callable[[str], None] | None = None,
    ) -> None:
        """Open the search of that name, and make it where there is none; only for `reading` it must have been begun."""
        if not 0 < len(name) <= LONGEST_NAME:
            raise ScalenetError(f"the name of a search has 1 to {LONGEST_NAME} characters, this one {len(name)}")
        self.name, self.grace = name, grace
        self.database: Database = open_database(url, reading=reading, patience=patience, say=say)
        if not reading:
            self._make()
        elif ((names := search_names(self.database)) and name not in names) or not names:
            listing = f"its storage has {', '.join(names) or 'none'}"
            raise UnknownNameError("search", name, names, listing=listing)
        (rows,) = self.database.rows(sql.select(_S.id, _S.token).where(_S.name == name))
        if not rows:  # by another process, between the two looks
            raise self._removed()
        (found,) = rows
        self.id: int = found.id
        self.token: str = found.token
        self.silence = Silence(grace)

    def _make(self) -> None:
        """Make the search, unless it is there."""
        (there,) = self.database.rows(sql.select(_S.id).where(_S.name == self.name))
        if not there:
            self.database.check_new(self.name)
            self.database.add(SEARCHES, [{"name": self.name, "token": uuid4().hex}])

    # What is searched

    def plan(self) -> dict[str, Any] | None:
        """Return the plan of the search, None where it was not begun."""
        plan: dict[str, Any] | None = self._column(_S.plan)
        return None if self._column(_S.aim) is None else plan

    def request(self) -> dict[str, Any]:
        """Return what was asked for when the search was last begun."""
        found: dict[str, Any] = self._column(_S.request)
        return found

    def begin(
        self,
        aim: Aim,
        *,
        plan: dict[str, Any] | None = None,
        before: dict[str, Any] | None = None,
        alone: bool = False,
        request: dict[str, Any] | None = None,
        candidates: Iterable[NewCandidate] = (),
        here: Presence | None = None,
    ) -> bool:
        """Say what is to be evaluated, from now on by all workers, and put it on the board; `here` takes part in it.

        Return False, and change nothing, where the plan is not the one `before` any more, or where it is to be another
        one for this process `alone` and others take part. What failed is tried again, unless others are at this search
        just now; what waits for another aim is taken off.
        """
        values = {"aim": as_data(aim), "stopping": False, "plan": plan, "request": request}
        given, rows = {name: value for name, value in values.items() if value is not None}, self._rows(candidates)
        looked = sql.select(_S.plan, _S.aim).where(_S.id == self.id).with_for_update()

        def work(connection: sql.Connection, _: bool) -> bool:
            there = connection.execute(looked).first()
            if there is None:
                raise self._removed()
            others = alone and connection.execute(present(self.id)).first()
            if plan is not None and ((there.plan if there.aim else None) != before or others):
                return False
            if rows:
                connection.execute(self.database.insert(CANDIDATES).on_conflict_do_nothing(), rows)
            connection.execute(self._own().values(**given))
            if there.aim not in (None, values["aim"]):
                connection.execute(self._open("waiting"))
            if here is not None:
                here.arrive(connection, self)
            return True

        if not self.database.transact(work):
            return False
        if here is not None:
            here.begin()
        view = self.view()
        if not any(entry.state is State.running for entry in view.entries.values()):
            self._forgive(view.forgivable())
        self.fill()
        return True

    def redirect(self, aim: Aim, plan: dict[str, Any]) -> None:
        """Say what is to be evaluated from now on; what waits and what runs stays."""
        self.database.change(self._own().values(aim=as_data(aim), plan=plan))

    def cut(self, aim: Aim, plan: dict[str, Any]) -> None:
        """Say that nothing more is to be evaluated: what waits and what runs is taken off."""
        self.redirect(aim, plan)
        self.database.change(self._open("waiting", "running"))

    def add_candidates(self, candidates: Iterable[NewCandidate]) -> None:
        """Record candidates that are not there."""
        self.database.add(CANDIDATES, self._rows(candidates))

    def _rows(self, candidates: Iterable[NewCandidate]) -> list[dict[str, Any]]:
        return [
            {"search": self.id, "name": name, "place": place, "facts": facts, "config": as_data(config)}
            for place, (name, facts, config) in enumerate(candidates)
        ]

    def candidates(self) -> dict[str, str]:
        """Return what is known of each candidate by name, as JSON: reading it takes longer than to fetch it."""
        facts = sql.cast(_C.facts, sql.Text)
        (rows,) = self.database.rows(sql.select(_C.name, facts).where(_C.search == self.id).order_by(_C.place))
        return dict(map(tuple, rows))

    def config(self, name: str) -> Config:
        """Return the config of a candidate."""
        ((row,),) = self.database.rows(sql.select(_C.config).where(_C.search == self.id, _C.name == name))
        return as_record(Config, row.config, name)

    def remove(self) -> None:
        """Forget the search, unless another process has done so."""
        self.database.change(SEARCHES.delete().where(_S.id == self.id))

    def stop(self) -> None:
        """Ask all processes of the search to give back what they are at, and to end."""
        self.database.change(self._own().values(stopping=True))

    def there(self) -> bool:
        """Return whether the database is there, as far as that can be told without asking it."""
        return self.database.there()

    def stopped(self) -> bool:
        """Return whether the search was asked to stop."""
        return bool(self._column(_S.stopping))

    # What a worker does

    def claim(self, worker: str) -> Entry | None:
        """Return a job that is now this worker's, or None where nothing waits just now."""
        first = (
            sql.select(_A.id)
            .where(_A.search == self.id, _A.state == "waiting")
            .order_by(_A.place, _A.id)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        stopping = sql.select(_S.stopping).where(_S.id == self.id).scalar_subquery()
        take = ATTEMPTS.update().where(_A.id == first, _A.state == "waiting", ~stopping)
        held = sql.select(ATTEMPTS).where(_A.search == self.id, _A.state == "running", _A.worker == worker)
        mine = {"state": "running", "worker": worker, "process": this_process()}

        def work(connection: sql.Connection, again: bool) -> Any:
            taken = connection.execute(held).first() if again else None
            return taken or connection.execute(take.values(**mine).returning(ATTEMPTS)).first()

        row = self.database.transact(work)
        return None if row is None else _entry(row)

    def beat(self, entry: Entry, share: float) -> Sign:
        """Give a sign of life.

        A job is wanted no longer once it has a result, or its search was removed. A worker that was taken to be dead
        may go on: the first result counts.
        """
        mine = ATTEMPTS.update().where(_A.id == entry.id, _A.state == "running", _A.worker == entry.worker)
        open_ = sql.select(_A.id).where(_A.id == entry.id, ~sql.exists(_results_of(entry, self.id)))
        stopping = sql.select(_S.stopping).where(_S.id == self.id)

        def work(connection: sql.Connection, _: bool) -> Sign:
            beaten = connection.execute(mine.values(beat=_A.beat + 1, share=round(share, 4))).rowcount
            wanted = beaten or connection.execute(open_).first()
            return Sign(wanted=bool(wanted), stopping=bool(connection.execute(stopping).scalar()))

        return self.database.transact(work)

    def note(self, entry: Entry, report: Report) -> None:
        """Keep an accuracy on the way, unless the search was removed."""
        if report.accuracy is not None:
            row = {"attempt": entry.id, "epoch": round(report.done), "accuracy": report.accuracy}
            self._unless_refused(lambda: self.database.add(CURVES, [row]))

    def finish(self, entry: Entry, result: Result, *, in_time: bool = False) -> None:
        """Record the result of a job that has none, whoever has the job by now; `in_time` not once it has failed."""
        known = {name: getattr(result, name) for name in ("accuracy", "loss", "seconds", "images", "one_class")}
        done = ATTEMPTS.update().where(_A.id == entry.id, _A.worker == entry.worker, _A.state != "done")
        if in_time:
            done = done.where(~sql.exists(_failures_since(entry, self.id)))
        others = ATTEMPTS.update().where(_same_job(entry, self.id), _A.state.in_(("waiting", "running")))

        def work(connection: sql.Connection, _: bool) -> None:
            if connection.execute(done.values(state="done", error=None, share=1.0, **known)).rowcount:
                connection.execute(others.values(state="lost"))

        self._unless_refused(lambda: self.database.transact(work))  # another attempt was first

    def fail(self, entry: Entry, error: str) -> None:
        """Record why an attempt failed; another one follows, or the job has failed."""
        self._lose(entry, error=error, errors=entry.errors + 1)

    def give_back(self, entry: Entry) -> None:
        """Leave a job to others."""
        self._lose(entry)

    def leave(self, worker: str) -> None:
        """Leave to others what a worker still has."""
        for entry in self._running():
            if entry.worker == worker:
                self.give_back(entry)

    def has(self, state: str) -> bool:
        """Return whether an attempt is in this state."""
        (rows,) = self.database.rows(sql.select(_A.id).where(_A.search == self.id, _A.state == state).limit(1))
        return bool(rows)

    def count_done(self) -> int:
        """Return how many results there are."""
        count = sql.select(sql.func.count()).where(_A.search == self.id, _A.state == "done")
        ((row,),) = self.database.rows(count)
        return int(row[0])

    def fill(self) -> View:
        """Put on the board what is needed and not there, such as the jobs of the next rung; return the jobs then."""
        view = replace(self.view(), workers=self._workers())
        new = [self._attempt(key, place, view.entries.get(key)) for place, key in view.missing()]
        if not new:
            return view
        if view.course.newcomers:
            self.add_candidates(view.newcomers())
        self.database.add(ATTEMPTS, new)
        return self.view()

    # What those who watch over workers do

    def bury(self, worker: str) -> list[Entry]:
        """Take the jobs of a worker that is known to be dead, and return them."""
        taken = [entry for entry in self._running() if entry.worker == worker]
        for entry in taken:
            self._die(entry)
        return taken

    def find_dead(self) -> list[Entry]:
        """Take the jobs of workers that are dead, and return them.

        Processes of this machine are dead when they are gone, and not before. Others are when they were silent for too
        long, which this process must have watched by its own clock: it is to ask again and again.
        """
        running = {entry.id: entry for entry in self._running()}
        alive = {number: lives(entry.process) for number, entry in running.items()}
        silent = self.silence.after({number: running[number].beat for number, here in alive.items() if here is None})
        dead = [running[number] for number, here in alive.items() if here is False or number in silent]
        for entry in dead:
            self._die(entry)
        return dead

    def check_idle(self, where: object, how: str = "") -> None:
        """Raise ScalenetError where jobs run or processes take part, of this machine or with a sign of life now.

        Processes that are gone take part no longer.
        """
        self.find_dead()
        before = self._signs()
        if self._alive(before):
            jobs = sum(kind == "job" for kind, _ in before)
            are = "1 job is running" if jobs == 1 else f"{jobs} jobs are running" if jobs else "others take part"
            raise ScalenetError(f"{where}: {are} just now{how}", hint="`scalenet search stop` ends them")
        gone = RUNS.update().where(_R.id.in_([number for kind, number in before if kind == "run"]))
        self.database.change(gone.values(beat=None))

    def _signs(self) -> dict[tuple[str, int], tuple[str, int]]:
        """Return the processes and the counted signs of life of the jobs that run, and of the runs that take part."""
        jobs = sql.select(_A.id, _A.process, _A.beat).where(_A.search == self.id, _A.state == "running")
        found = zip(("job", "run"), self.database.rows(jobs, present(self.id)), strict=True)
        return {(kind, row.id): (row.process, row.beat) for kind, rows in found for row in rows}

    def _workers(self) -> int:
        """Return how many workers the processes that take part have, as far as they are not known to be dead."""
        (rows,) = self.database.rows(present(self.id))
        return workers_of(rows)

    def _alive(self, before: Mapping[tuple[str, int], tuple[str, int]]) -> bool:
        known = [lives(process) for process, _ in before.values()]
        if any(known):
            return True
        looks = 30 if None in known else 0
        for _ in range(looks):
            time.sleep(3 * PULSE / looks)
            if any(beat != before[key][1] for key, (_, beat) in self._signs().items() if key in before):
                return True
        return False

    def view(self, *, curves: bool = False) -> View:
        """Return the jobs and what is to be evaluated, as they are now; with the `curves` of accuracies if asked."""
        attempts = sql.select(ATTEMPTS).where(_A.search == self.id).order_by(_A.id)
        points = sql.select(CURVES).join(ATTEMPTS).where(_A.search == self.id).order_by(CURVES.c.attempt)
        rows, noted, aims = self.database.rows(
            attempts, points if curves else points.limit(0), sql.select(_S.aim).where(_S.id == self.id)
        )
        if not aims:
            raise self._removed()
        aim = as_record(Aim, aims[0].aim, self.name)
        return View(aim, _entries(rows, noted))

    def stamp(self) -> tuple[Any, ...]:
        """Return what another result, attempt or aim changes: while it is the same, so is what is found."""
        counts = sql.select(_A.state, sql.func.count(), sql.func.max(_A.id)).where(_A.search == self.id)
        aim = sql.select(_S.token, sql.cast(_S.aim, sql.Text)).where(_S.id == self.id)
        found = self.database.rows(counts.group_by(_A.state).order_by(_A.state), aim)
        return tuple(tuple(map(tuple, rows)) for rows in found)

    def _running(self) -> list[Entry]:
        running = sql.select(ATTEMPTS).where(_A.search == self.id, _A.state == "running").order_by(_A.place)
        (rows,) = self.database.rows(running)
        return [_entry(row) for row in rows]

    def _die(self, entry: Entry) -> None:
        """Take the job of a worker that is dead, unless it gave a sign of life meanwhile."""
        further = entry.share > entry.reached
        self._lose(entry, beat=entry.beat, deaths=1 if further else entry.deaths + 1)

    def _lose(
        self,
        entry: Entry,
        *,
        error: str | None = None,
        errors: int | None = None,
        deaths: int | None = None,
        beat: int | None = None,
    ) -> None:
        """End an attempt that is its worker's, and let another one follow unless there were too many."""
        lost = ATTEMPTS.update().where(_A.id == entry.id, _A.state == "running", _A.worker == entry.worker)
        lost = lost if beat is None else lost.where(_A.beat == beat)
        errors = entry.errors if errors is None else errors
        deaths = entry.deaths if deaths is None else deaths
        failed = errors >= ERRORS or deaths >= DEATHS
        counts = {"errors": errors, "deaths": deaths, "reached": max(entry.reached, entry.share)}
        follower = self._attempt(entry.key, entry.place, entry) | counts

        def work(connection: sql.Connection, _: bool) -> None:
            ended = connection.execute(lost.values(state="failed" if failed else "lost", error=error))
            if ended.rowcount and not failed:
                connection.execute(self.database.insert(ATTEMPTS).on_conflict_do_nothing(), [follower])

        self.database.transact(work)

    def _forgive(self, failed: Iterable[Entry]) -> None:
        """Let a new attempt follow at jobs that failed."""
        rows = [self._attempt(entry.key, entry.place, entry) for entry in failed]
        if rows:
            self.database.add(ATTEMPTS, rows)

    def _open(self, *states: str) -> sql.Delete:
        """Return what deletes the attempts of these states."""
        return ATTEMPTS.delete().where(_A.search == self.id, _A.state.in_(states))

    def _attempt(self, key: Key, place: int, before: Entry | None) -> dict[str, Any]:
        """Return the row of an attempt at a job that follows another one, or none."""
        name, seed, budget = key
        number = 0 if before is None else before.attempt + 1
        own = {"search": self.id, "candidate": name, "seed": seed, "budget": budget or 0}
        return {**own, "attempt": number, "place": place}

    def _own(self) -> sql.Update:
        return SEARCHES.update().where(_S.id == self.id)

    def _column(self, column: sql.ColumnElement[Any]) -> Any:
        (rows,) = self.database.rows(sql.select(column).where(_S.id == self.id))
        if not rows:
            raise self._removed()
        return rows[0][0]

    def _removed(self) -> RunError:
        return RunError(f"the search {self.name} was removed from {self.database.place}")

    @staticmethod
    def _unless_refused(change: Callable[[], None]) -> None:
        """Make a change that a key of the tables may refuse."""
        try:
            change()
        except IntegrityError:
            return


def search_names(database: Database) -> list[str]:
    """Return the names of the searches in a database that were begun."""
    (rows,) = database.rows(sql.select(_S.name).where(_S.aim.is_not(None)).order_by(_S.name))
    return [row.name for row in rows]


def _same_job(entry: Entry, search: int) -> sql.ColumnElement[bool]:
    name, seed, budget = entry.key
    same = (_A.search == search, _A.candidate == name, _A.seed == seed, _A.budget == (budget or 0))
    return sql.and_(*same, _A.id != entry.id)


def _results_of(entry: Entry, search: int) -> Any:
    other = ATTEMPTS.alias()
    return _attempts_of(entry, search, other).where(other.c.state == "done")


def _failures_since(entry: Entry, search: int) -> Any:
    other = ATTEMPTS.alias()
    later = other.c.attempt >= entry.attempt
    return _attempts_of(entry, search, other).where(other.c.state == "failed", later)


def _attempts_of(entry: Entry, search: int, other: Any) -> Any:
    name, seed, budget = entry.key
    same = (other.c.search == search, other.c.candidate == name, other.c.seed == seed)
    return sql.select(other.c.id).where(*same, other.c.budget == (budget or 0))


def _entries(rows: Iterable[Any], points: Iterable[Any]) -> Mapping[Key, Entry]:
    """Return the jobs by their attempts, which come in order: a result counts, or else the last attempt."""
    curves: dict[int, dict[int, float]] = {}
    for point in points:
        curves.setdefault(point.attempt, {})[point.epoch] = point.accuracy
    counted: dict[Key, Entry] = {}
    joined: dict[Key, dict[int, float]] = {}
    for row in rows:
        entry = _entry(row)
        if entry.id in curves:
            joined.setdefault(entry.key, {}).update(curves[entry.id])
        before = counted.get(entry.key)
        if before is None or before.state is not State.done:
            counted[entry.key] = entry
    return counted | {key: replace(counted[key], curve=curve) for key, curve in joined.items()}


_STATES = dict(State.__members__)  # quicker to ask than the class


def _entry(row: Any) -> Entry:
    """Return what a row of the attempts says, in the order of their columns: named ones take twice as long."""
    number, _, candidate, seed, budget, attempt, place, state, worker, process, beat, share, reached, *others = row
    errors, deaths, accuracy, loss, seconds, images, one_class, error = others
    done = state == "done"
    return Entry(
        key=(candidate, seed, budget or None),
        state=_STATES[state],
        attempt=attempt,
        id=number,
        place=place,
        worker=worker,
        process=process,
        beat=beat,
        share=share,
        reached=reached,
        errors=errors,
        deaths=deaths,
        result=Result(candidate, seed, accuracy, loss, seconds, images, one_class) if done else None,
        error=error,
    )
