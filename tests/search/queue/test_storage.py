"""The database of a search: what may be wrong with it, and what must not be."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy

from scalenet.arch.errors import PlainError, RunError, ScalenetError, UnknownNameError
from scalenet.search.evaluators import Result
from scalenet.search.folder import database
from scalenet.search.queue.board import Board, Place
from scalenet.search.queue.database import Database, open_database
from scalenet.search.queue.jobs import Aim
from scalenet.search.queue.storage_url import parsed
from scalenet.search.queue.tables import ATTEMPTS
from scalenet.search.rungs.schedule import Rung, Schedule

if TYPE_CHECKING:
    from scalenet.search.queue.jobs import Entry

SECRET = "hunter2"


def opened(url: str, **options: float) -> Database:
    return open_database(url, **options)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that waits for a database."""
    monkeypatch.setattr("scalenet.search.queue.database.time.sleep", lambda _: pytest.fail("it waits"))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "write postgresql://USER@HOST/DATABASE, or sqlite:///FILE"),
        (f"postgresql://me:{SECRET}@host:port/db", "not the URL of a database"),
        (f"postgresql://me:a@{SECRET}@host/db", "more than one @ .write an @ in a password as %40"),
        (f"mysql://me:{SECRET}@host/db", "in PostgreSQL or in a file"),
        (f"oracel://me:{SECRET}@host/db", "in PostgreSQL or in a file"),
        ("sqlite://", "in PostgreSQL or in a file"),
        ("sqlite:///:memory:", "in PostgreSQL or in a file"),
    ],
)
def test_a_url_that_is_none_is_one_line_without_the_password(url, said):
    with pytest.raises(ScalenetError, match=said) as error:
        opened(url)
    assert not isinstance(error.value, RunError)
    assert SECRET not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@127.0.0.1:1/db",
        f"postgresql://me:{SECRET}%25@127.0.0.1:1/db",
        f"postgresql://me@127.0.0.1:1/db?password={SECRET}&application_name=x",
    ],
)
def test_a_server_that_is_not_there_is_one_line_at_once(url, no_pause):
    pytest.importorskip("psycopg")
    with pytest.raises(RunError) as error:
        opened(url)
    assert SECRET not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_driver_is_one_line(tmp_path):
    text = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from scalenet.search.queue.board import Board\n"
        "try: Board('postgresql://host/db', 'x', grace=60)\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert "pip install 'scalenet-torch[postgresql]'" in done.stdout


def test_a_file_that_cannot_be_one_is_one_line(tmp_path):
    (tmp_path / "text.db").write_text("no database, but long enough to be read as the head of one\n" * 20)
    with pytest.raises(RunError, match="file is not a database"):
        opened(f"sqlite:///{tmp_path}/text.db")
    with pytest.raises(RunError, match="unable to open database file"):
        opened(f"sqlite:///{tmp_path}/none/search.db")


@pytest.mark.parametrize(
    "name", ["a b", "100 %", "50%25", "why?", "a?b=c&d", "{x}", "{", "日本", "#1", "a:b@c", "'\";"]
)
def test_a_folder_may_have_any_name(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    Board(database(folder), "search", grace=60)
    assert (folder / "search.db").stat().st_size
    assert [path.name for path in tmp_path.rglob("*")] == [name, "search.db"]


def test_the_name_of_a_search_is_one_that_the_database_can_keep(url):
    for name in ("", "x" * 513):
        with pytest.raises(ScalenetError, match="has 1 to 512 characters"):
            Board(url, name, grace=60)
    for name in ("x" * 512, "50 % {of} 日本?", "'; DROP TABLE studies; --"):
        assert Board(url, name, grace=60).id == Board(url, name, grace=60).id


def in_threads(count: int, call) -> None:
    start, errors = threading.Barrier(count), []

    def run() -> None:
        start.wait()
        try:
            call()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_many_may_open_one_database_at_once(url):
    boards: list[Board] = []
    in_threads(4, lambda: boards.append(Board(url, "search", grace=60)))
    assert len({board.id for board in boards}) == 1


def test_one_of_many_begins_a_search_with_its_plan(url):
    board, found, words = Board(url, "search", grace=60), [], iter("abcd")
    aim = Aim(schedule=Schedule(rungs=(Rung(seeds=(0,), budget=1),)), factors={"c0": 1.0})
    in_threads(4, lambda: found.append(board.begin(aim, plan={"plan": next(words)})))
    assert sorted(found) == [False, False, False, True]


def test_a_queue_is_filled_once_however_many_fill_it(url):
    board = Board(url, "search", grace=60)
    aim = Aim(schedule=Schedule(rungs=(Rung(seeds=(0,), budget=1),)), factors={f"c{n}": 1.0 for n in range(20)})
    in_threads(4, lambda: board.begin(aim))
    query = sqlalchemy.select(ATTEMPTS.c.candidate).where(ATTEMPTS.c.search == board.id)
    (rows,) = board.database.rows(query)
    assert sorted(name for (name,) in rows) == sorted(aim.factors)


def test_a_job_is_one_workers_however_many_claim_it(url):
    board, found = Board(url, "search", grace=60), []
    aim = Aim(schedule=Schedule(rungs=(Rung(seeds=(0,), budget=1),)), factors={f"c{n}": 1.0 for n in range(12)})
    board.begin(aim)
    names = iter("abcdefgh")
    in_threads(8, lambda: found.extend(claims(board, next(names))))
    keys = [entry.key for entry in found]
    assert sorted(keys) == sorted(board.view().needed)


def claims(board: Board, worker: str) -> list[Entry]:
    """Return all jobs that a worker gets."""
    return list(iter(lambda: board.claim(worker), None))


def test_the_results_of_a_job_are_one(url):
    board = Board(url, "search", grace=60)
    board.begin(Aim(schedule=Schedule(rungs=(Rung(seeds=(0,), budget=1),)), factors={"c0": 1.0}))
    slow = board.claim("slow")
    board.database.change(ATTEMPTS.update().values(state="lost"))
    board.fill()
    fast = board.claim("fast")
    entries, accuracies = iter((slow, fast)), iter((0.1, 0.2))
    in_threads(2, lambda: board.finish(next(entries), Result("c0", 0, next(accuracies), None, 1.0, None)))
    (rows,) = board.database.rows(sqlalchemy.select(ATTEMPTS.c.accuracy).where(ATTEMPTS.c.state == "done"))
    assert len(rows) == 1


def locked(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    return connection


def test_a_file_locked_for_a_while_is_waited_for(tmp_path):
    board = Board(f"sqlite:///{tmp_path}/search.db", "search", grace=60)
    lock = locked(tmp_path / "search.db")
    timer = threading.Timer(2.3, lock.rollback)
    timer.start()
    board.stop()
    assert board.stopped()
    timer.join()
    lock.close()


def test_who_only_looks_writes_nothing_and_waits_for_no_writer(tmp_path, no_pause):
    place = Place(f"sqlite:///{tmp_path}/a b?%.db", "search", 60)
    board = place.board()
    board.begin(Aim(schedule=Schedule(rungs=(Rung(seeds=(0,), budget=1),)), factors={"c0": 1.0}), plan={"of": "it"})
    with contextlib.closing(sqlite3.connect(tmp_path / "a b?%.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        looking = place.look()
        assert (looking.plan(), list(looking.view().entries), looking.stopped()) == (
            {"of": "it"},
            [("c0", 0, 1)],
            False,
        )
        assert looking.view() == looking.view()
        writer.rollback()
    with pytest.raises(RunError, match="readonly"):
        looking.stop()


def test_a_search_that_another_removes_while_it_is_opened_is_one_line(url, monkeypatch):
    Board(url, "another", grace=60)
    monkeypatch.setattr(Board, "_make", lambda _: None)
    with pytest.raises(RunError, match="the search search was removed from"):
        Board(url, "search", grace=60)


def test_a_database_without_searches_stays_as_it_is_when_it_is_looked_at(url):
    with pytest.raises(PlainError, match=r"holds no search|unable to open"):
        Place(url, "search", 60).look()
    Board(url, "another", grace=60)
    with pytest.raises(UnknownNameError, match="its storage has none"):
        Place(url, "search", 60).look()
    with pytest.raises(UnknownNameError):
        Place(url, "another", 60).look()


def test_patience_ends(tmp_path):
    board = Board(f"sqlite:///{tmp_path}/search.db", "search", grace=60)
    board.database.patience = 0
    lock = locked(tmp_path / "search.db")
    with pytest.raises(RunError, match=r"search\.db: database is locked .*the same command goes on from there"):
        board.stop()
    assert not board.stopped(), "who reads waits for no lock"
    lock.close()


STOPPED = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="locks are listed by Linux")
def test_a_process_that_was_stopped_within_a_transaction_is_named(tmp_path, monkeypatch):
    heard = []
    board = Board(f"sqlite:///{tmp_path}/search.db", "search", grace=60, say=heard.append)
    monkeypatch.setattr("scalenet.search.queue.database._TOLD", 0.0)
    words = [sys.executable, "-c", STOPPED, tmp_path / "search.db"]
    stopped = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        os.waitpid(stopped.pid, os.WUNTRACED)
        board.database.patience = 0
        with pytest.raises(RunError, match=f"locked by process {stopped.pid}, which was stopped: `kill -CONT"):
            board.stop()
        board.database.patience = 60
        monkeypatch.setattr("scalenet.search.queue.database.time.sleep", lambda _: stopped.kill())
        board.stop()
    finally:
        stopped.kill()
        stopped.communicate()
    assert board.stopped()
    assert [f"locked by process {stopped.pid}" in line for line in heard] == [True]


def test_a_full_disk_is_said_at_once(tmp_path, no_pause):
    board = Board(f"sqlite:///{tmp_path}/search.db", "search", grace=60)
    sqlalchemy.event.listen(
        board.database.engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 1")
    )
    board.database.engine.dispose()
    with pytest.raises(RunError, match=r"database or disk is full .*what is finished is kept"):
        board.begin(Aim(schedule=Schedule(rungs=(Rung(seeds=(0,), budget=1),)), factors={"c" * 100_000: 1.0}))


def test_a_server_that_starts_anew_is_waited_for(postgresql):
    board = Board(postgresql.database(), "search", grace=60)
    for how in ("fast", "immediate"):
        postgresql.stop(how)
        timer = threading.Timer(1, postgresql.start)
        timer.start()
        assert not board.stopped()
        timer.join()
    postgresql.stop()
    timer = threading.Timer(1, postgresql.start)
    timer.start()
    assert Board(board.database.url, "search", grace=60, patience=30).id == board.id
    timer.join()


def test_the_search_of_an_older_version_is_left_alone_and_that_is_said(url):
    engine = sqlalchemy.create_engine(parsed(url))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE studies (study_name TEXT)"))
        connection.execute(sqlalchemy.text("INSERT INTO studies VALUES ('search')"))
    for _ in range(2):
        with pytest.raises(ScalenetError, match=r"made by scalenet 0\.1.*`search results` of that version"):
            Board(url, "search", grace=60)
    engine.dispose()


def test_a_file_that_was_removed_is_not_written_to_and_nothing_is_said_to_be_kept(tmp_path):
    board = Board(f"sqlite:///{tmp_path}/search.db", "search", grace=60)
    (tmp_path / "search.db").unlink()
    with pytest.raises(RunError, match="was removed, and the search's results with it"):
        board.stop()
    assert not board.there()


def test_a_pipe_in_the_place_of_a_database_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "search.db")
    with pytest.raises(RunError, match=r"search\.db: is no file"):
        open_database(f"sqlite:///{tmp_path}/search.db", reading=True)
