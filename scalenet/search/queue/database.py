"""The database of searches: a file of SQLite's, or a PostgreSQL server, that may be away for a while.

Every change is a short transaction that may be made twice where the connection breaks in the middle of it. In SQLite's
write-ahead log readers wait for no writer, and writers for no reader.
"""

from __future__ import annotations

import os
import re
import time
import weakref
from pathlib import Path
from random import random
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError

from scalenet.arch.errors import RunError, ScalenetError
from scalenet.search.queue.holders import holder
from scalenet.search.queue.storage_url import parsed, scrubbed, shown
from scalenet.search.queue.tables import METADATA, SEARCHES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PATIENCE = 600.0
"""Seconds that a database may be away."""

KEPT = "what is finished is kept, and the same command goes on from there"

_OPENING, _LOCKED, _TOLD = 3.0, 2.0, 10.0
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 5.0
_ALIVE = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
_FULL = ("is full", "i/o error", "no space left", "could not extend", "could not write", "too large", "readonly")
_REFUSED = re.compile(
    r"does not exist|authentication failed|no password supplied|no pg_hba|not permitted|permission denied"
    r"|could not translate|failed to resolve|unable to open|not a database"
)

T = TypeVar("T")


class NoSearchError(ScalenetError):
    """Say that a database holds no search."""


class Database:
    """A database of searches; what can fail is one plain line.

    `patience` is for how many seconds it may be away, and `say` hears that it is.
    """

    def __init__(self, url: str, *, reading: bool = False, say: Callable[[str], None] | None = None) -> None:
        """Connect, and make the tables where they are missing unless it is only for `reading`."""
        self.url, self.place, self.patience, self.say = url, shown(url), PATIENCE, say
        self._file: Path | None = None
        found = parsed(url)
        if found.get_backend_name() == "sqlite":
            self._file = Path(str(found.database))
            if self._file.exists() and not (self._file.is_file() or self._file.is_dir()):  # it would be waited for
                raise RunError(f"{self.place}: is no file")
            if reading and not self._file.exists():
                raise NoSearchError(f"{self.place}: holds no search")
            self.engine = _sqlite(found, reading=reading)
        else:
            self.engine = _server(found, reading=reading)
        weakref.finalize(self, self.engine.dispose)
        self._reader = self.engine.execution_options(reading=True)
        if self._file is not None and (former := self.former()):
            raise _of_another_version(self.place, former[0])
        if reading:
            self._once(self._reader, lambda connection: connection.execute(sql.select(SEARCHES.c.id).limit(1)))
        else:
            METADATA.create_all(self.engine)

    def check_new(self, name: str) -> None:
        """Refuse a name that scalenet 0.1 has a search of here."""
        if name in self.former():
            raise _of_another_version(self.place, name)

    def former(self) -> list[str]:
        """Return the names of the searches of scalenet 0.1, which kept them otherwise."""
        if not self.has("studies"):
            return []
        names = sql.text("SELECT study_name FROM studies")
        return [name for (name,) in self._once(self._reader, lambda connection: connection.execute(names).all())]

    def has(self, table: str) -> bool:
        """Return whether it has a table."""
        return sql.inspect(self._reader).has_table(table)

    def rows(self, *queries: Any) -> list[Sequence[Any]]:
        """Return the rows of each query, all as of one moment."""
        return self._patiently(
            self._reader, lambda connection, _: [connection.execute(query).all() for query in queries]
        )

    def change(self, statement: Any) -> int:
        """Make a change, and return how many rows it changed."""
        changed: int = self.transact(lambda connection, _: connection.execute(statement).rowcount)
        return changed

    def add(self, table: sql.Table, rows: Sequence[dict[str, Any]]) -> None:
        """Add those rows that are not there."""
        self.transact(lambda connection, _: connection.execute(self.insert(table).on_conflict_do_nothing(), rows))

    def insert(self, table: sql.Table) -> sqlite.Insert | postgresql.Insert:
        """Return the database's own INSERT, which can leave out what is there."""
        return (sqlite.insert if self._file is not None else postgresql.insert)(table)

    def transact(self, work: Callable[[sql.Connection, bool], T]) -> T:
        """Do work in a transaction, which is told whether it may have been done before: the connection broke."""
        return self._patiently(self.engine, work)

    def _patiently(self, engine: sql.Engine, work: Callable[[sql.Connection, bool], T]) -> T:
        began, delay, again, told = time.monotonic(), _FIRST_DELAY, False, False
        while True:
            self._check_there()
            try:
                return self._once(engine, lambda connection: work(connection, again))  # noqa: B023 - called at once
            except IntegrityError:  # a key refuses it: the caller's to judge
                raise
            except SQLAlchemyError as error:
                waited = time.monotonic() - began
                if not _may_pass(error) or waited > self.patience:
                    raise RunError(f"{self.place}: {self._reason(error)}", hint=KEPT) from None
                if self.say is not None and waited > _TOLD and not told:
                    self.say(f"{self.place}: {self._reason(error)}; waiting for it")
                    told = True
            again = True
            time.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)

    def _reason(self, error: BaseException) -> str:
        """Return why the database is away; of a file that is locked, by whom."""
        said = _said(error, self.url)
        locker = holder(self._file) if self._file is not None and "locked" in said else None
        return said if locker is None else f"{said} by {locker}"

    @staticmethod
    def _once(engine: sql.Engine, work: Callable[[sql.Connection], T]) -> T:
        with engine.begin() as connection:
            return work(connection)

    def there(self) -> bool:
        """Return whether its file is there; a server is taken to be."""
        return self._file is None or self._file.exists()

    def _check_there(self) -> None:
        """Refuse to go on in a file that was removed: what is written there is nowhere."""
        if not self.there():
            raise RunError(f"{self.place}: was removed, and the search's results with it")


def open_database(
    url: str, *, reading: bool = False, patience: float = 0.0, say: Callable[[str], None] | None = None
) -> Database:
    """Open a database, `sqlite:///FILE` or `postgresql://USER@HOST/DATABASE`.

    A server may be away for `patience` seconds, and `say` hears that it is waited for. Raise ScalenetError where the
    URL is none, and RunError where the database cannot be opened.
    """
    began, told = time.monotonic(), False
    while True:
        try:
            return Database(url, reading=reading, say=say)
        except ImportError as error:
            hint = "pip install 'scalenet-torch[postgresql]'"
            raise ScalenetError(f"{shown(url)}: {error}", hint=hint) from None
        except SQLAlchemyError as error:
            said = _said(error, url)
            if reading and re.search("no such table|relation .* does not exist", said):
                raise NoSearchError(f"{shown(url)}: holds no search") from None
            away = _may_pass(error) and not _REFUSED.search(said)
            limit = max(_OPENING if _racing(error) else 0, patience if away else 0)
            if time.monotonic() - began >= limit:
                raise RunError(f"{shown(url)}: {said}") from None
            if say is not None and away and not told and time.monotonic() - began > _OPENING:
                say(f"{shown(url)}: {said}; waiting for it")
                told = True
        time.sleep(0.05 + 0.2 * random())


def _of_another_version(where: str, name: str) -> ScalenetError:
    return ScalenetError(
        f"{where}: the search {name!r} was made by scalenet 0.1, and is kept as that version reads it",
        hint="`search results` of that version writes its candidates.csv, and --evaluate table:candidates.csv takes it",
    )


def _server(url: sql.URL, *, reading: bool) -> sql.Engine:
    """Connect to a server, which ends the transaction of a process that was stopped in the middle of one."""
    options = "-c idle_in_transaction_session_timeout=10s" + " -c default_transaction_read_only=on" * reading
    return sql.create_engine(url, pool_pre_ping=True, connect_args={**_ALIVE, "options": options})


def _sqlite(url: sql.URL, *, reading: bool) -> sql.Engine:
    """Connect to a file. SQLite waits in C, where no signal is heard: briefly, and then `_patiently` goes on."""
    options = {"connect_args": {"timeout": _LOCKED}}
    engine = sql.create_engine(_to_read(url) if reading else url, **options)
    sql.event.listen(engine, "connect", _begin_by_hand if reading else _prepare)
    sql.event.listen(engine, "begin", _begin)
    return engine


def _to_read(url: sql.URL) -> sql.URL:
    """Return the URL that opens a file for reading alone, also where nothing may be written beside it."""
    file = Path(str(url.database))
    query = {"mode": "ro", "uri": "true"}
    if not file.with_name(f"{file.name}-wal").exists() and not os.access(file.parent, os.W_OK):
        query["immutable"] = "1"
    return url.set(database=f"file:{quote(str(file))}").update_query_dict(query)


def _begin_by_hand(connection: Any, _: object) -> None:
    connection.isolation_level = None


def _prepare(connection: Any, _: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: sql.Connection) -> None:
    """Begin a transaction; one that writes has the lock from the start, so that it never has to give up later."""
    reading = connection.get_execution_options().get("reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _may_pass(error: BaseException) -> bool:
    """Return whether an error may pass by itself: the server starts anew, a file is locked."""
    if not isinstance(error, DBAPIError):
        return False
    lost = error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    return lost and not any(word in str(error.orig).lower() for word in _FULL)


def _racing(error: BaseException) -> bool:
    """Return whether another process may be making the tables just now."""
    return isinstance(error, IntegrityError) or any(word in str(error) for word in ("exist", "locked"))


def _said(error: BaseException, url: str) -> str:
    """Return the first line of what a database said, without the secrets of its URL."""
    said = str(getattr(error, "orig", None) or error).strip()
    return scrubbed(said.splitlines()[0], url) if said else type(error).__name__
