"""The board of a search: whatever happens to its processes, each job has one result in the end."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalenet.arch.errors import RunError, ScalenetError
from scalenet.search.evaluators import Report, Result
from scalenet.search.queue import board as boards
from scalenet.search.queue.board import Board
from scalenet.search.queue.jobs import Aim, State
from scalenet.search.queue.silence import Silence
from scalenet.search.queue.tables import ATTEMPTS
from scalenet.search.rungs.pilot import Pilot
from scalenet.search.rungs.schedule import Rung, Schedule

if TYPE_CHECKING:
    from scalenet.search.queue.jobs import Entry

PILOT = Pilot(rates=(0.001, 0.003, 0.009), seeds=(0,), budget=1)
RUNGS = Schedule(rungs=(Rung(seeds=(0,), budget=1), Rung(keep=2, seeds=(0, 1), budget=2)))


def aim(count: int, schedule: Schedule = RUNGS) -> Aim:
    return Aim(schedule=schedule, factors={f"c{number}": 1.0 for number in range(count)})


def begun(url: str, count: int = 4, *, grace: float = 60) -> Board:
    board = Board(url, "search", grace=grace)
    board.begin(aim(count))
    return board


def claim(board: Board, worker: str = "one") -> Entry:
    entry = board.claim(worker)
    assert entry is not None
    return entry


def result(entry: Entry) -> Result:
    name, seed, budget = entry.key
    return Result(name, seed, (int(name[1:]) + seed + (budget or 0)) / 100, None, 1.0, None)


def drain(board: Board) -> None:
    """Be the last worker: evaluate all that is left, also what the dead have left."""
    deadline = time.monotonic() + 60
    while not board.view().finished:
        assert time.monotonic() < deadline
        entry = board.claim("last")
        if entry is None:
            board.find_dead()
            board.fill()
        else:
            board.finish(entry, result(entry))


def attempts(board: Board) -> list[Any]:
    """Return all attempts at jobs of a search, in the order in which they came to the board."""
    (rows,) = board.database.rows(ATTEMPTS.select().where(ATTEMPTS.c.search == board.id).order_by(ATTEMPTS.c.id))
    return list(rows)


def check(board: Board) -> None:
    """Check that each planned job has one result, the right one, and that attempts are numbered without gaps."""
    rows, view = attempts(board), board.view()
    done = [(row.candidate, row.seed, row.budget) for row in rows if row.state == "done"]
    assert len(set(done)) == len(done), "a job has two results"
    assert set(done) == set(view.needed), "a job has none"
    assert all(view.entries[key].result == result(view.entries[key]) for key in done)
    assert {row.state for row in rows} <= {"done", "lost", "failed"}, "an attempt too many"
    for key in done:
        numbers = [row.attempt for row in rows if (row.candidate, row.seed, row.budget) == key]
        assert numbers == list(range(len(numbers)))


def test_rung_follows_rung(url):
    board = begun(url)
    drain(board)
    check(board)
    done = [(row.candidate, row.seed, row.budget) for row in attempts(board)]
    assert done[:4] == [("c0", 0, 1), ("c1", 0, 1), ("c2", 0, 1), ("c3", 0, 1)]
    assert done[4:] == [("c3", 0, 2), ("c2", 0, 2), ("c3", 1, 2), ("c2", 1, 2)]
    assert len(done) == 8


MORTAL = """
import os, signal, sys
from sqlalchemy import event
from scalenet.search.evaluators import Result
from scalenet.search.queue import board as boards

url, deaths = sys.argv[1], 0
boards.DEATHS = 1000

def live(left):
    board = boards.Board(url, "search", grace=1)
    def count(connection):
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    for moment in ("begin", "commit"):
        event.listen(board.database.engine, moment, count)
    entry = board.claim("mortal")
    board.beat(entry, 0.5)
    name, seed, budget = entry.key
    board.finish(entry, Result(name, seed, (int(name[1:]) + seed + budget) / 100, None, 1.0, None))
    os._exit(0)

while True:
    child = os.fork()
    if not child:
        live(deaths)
    if os.waitpid(child, 0)[1] == 0:
        break
    deaths += 1
print(deaths)
"""


def test_a_process_may_die_in_any_transaction(url, monkeypatch):
    """Kill processes at the begin and the commit of each transaction, one by one, from the claim to the result."""
    monkeypatch.setattr(boards, "DEATHS", 1000)
    board = begun(url, 30)
    done = subprocess.run([sys.executable, "-c", MORTAL, url], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 6, "a claim, a sign of life and a result are a transaction each"
    assert board.find_dead(), "processes of this machine are known to be dead, without a wait"
    drain(board)
    check(board)


def test_who_asks_again_as_the_connection_broke_has_the_job_that_it_took(url, monkeypatch):
    board = begun(url)
    first = claim(board, "one")

    def broken(work: Any) -> Any:
        """Do work that was done before, as far as its process can tell."""
        with board.database.engine.begin() as connection:
            return work(connection, True)

    with monkeypatch.context() as patch:
        patch.setattr(board.database, "transact", broken)
        assert claim(board, "one") == first
        assert claim(board, "two").key != first.key
        board.finish(first, result(first))
        board.finish(first, result(first))
    assert board.view().entries[first.key].result == result(first)


def test_the_pilot_is_first_and_all_others_go_by_what_it_found(url):
    board = Board(url, "search", grace=60)
    board.begin(aim(2).changed(pilot=PILOT))
    assert (board.view().rate, board.view().planned()) == (None, 3 + 2 + 4)
    worth = {"rate_0.001": 0.5, "rate_0.003": 0.7, "rate_0.009": 0.8, "rate_0.027": None}
    done = []
    while board.fill().rate is None:
        entry = claim(board)
        done.append(entry.key[0])
        board.finish(entry, Result(entry.key[0], 0, worth[entry.key[0]], None, 1.0, None))
    assert done == list(worth), "the best was at an end, so that one more was tried"
    assert board.view().rate == 0.009
    drain(board)
    view = board.view()
    assert (view.rate_of("rate_0.027"), view.rate_of("c1")) == (0.027, 0.009)
    assert len(view.done()) == view.planned() == 4 + 2 + 4


def test_what_the_pilot_found_stays_whoever_comes_late_or_begins_again(url, elsewhere, monkeypatch):
    monkeypatch.setattr(boards, "DEATHS", 1)
    board = Board(url, "search", grace=0.1)
    own = aim(2).changed(pilot=PILOT)
    board.begin(own)
    slow = claim(board, "slow")
    watch(board, 0.3)
    while board.fill().rate is None:
        entry = claim(board)
        board.finish(entry, Result(entry.key[0], 0, {"rate_0.009": 0.4}.get(entry.key[0], 0.6), None, 1.0, None))
    found = board.view().rate
    board.finish(slow, Result(slow.key[0], 0, 0.9, None, 1.0, None), in_time=True)
    board.begin(own)
    assert [entry.key for entry in board.view().failed()] == [slow.key]
    assert board.view().rate == found


def test_a_pilot_of_which_all_failed_is_tried_again_by_the_next_search(url):
    board = Board(url, "search", grace=60)
    board.begin(aim(1).changed(pilot=PILOT))
    while not board.fill().finished:
        board.fail(claim(board), "no luck")
    assert (board.view().rate, len(board.view().failed())) == (None, 5)
    board.begin(aim(1).changed(pilot=PILOT))
    assert (board.view().finished, len(board.view().waiting())) == (False, 3)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers be taken for those of another machine."""
    monkeypatch.setattr(boards, "this_process", lambda: "")


def watch(board: Board, seconds: float) -> list[Entry]:
    """Look for the dead again and again, for so long by the board's own clock, and return them."""
    found, step = [], board.grace / 10
    board.silence.clock = lambda: now
    for look in range(round(seconds / step) + 1):
        now = look * step
        found += board.find_dead()
    return found


def test_a_worker_that_stalled_longer_than_the_grace_may_bring_its_result(url, elsewhere):
    board = begun(url, grace=0.2)
    slow = claim(board, "slow")
    assert [entry.key for entry in watch(board, 0.5)] == [slow.key]
    taken = next(entry for entry in iter(lambda: claim(board, "other"), None) if entry.key == slow.key)
    assert taken.attempt == 1
    assert board.beat(slow, 0.2).wanted, "there is no result yet"
    board.fail(slow, "late")
    board.give_back(slow)
    assert board.view().entries[slow.key].state is State.running, "it is another one's to give back"
    board.finish(slow, result(slow))
    assert not board.beat(taken, 0.9).wanted
    board.finish(taken, Result(*slow.key[:2], 0.99, None, 1.0, None))
    assert board.view().entries[slow.key].result == result(slow)
    for entry in board.view().running():
        board.give_back(entry)
    drain(board)
    check(board)


def test_a_result_that_comes_after_the_job_failed_counts(url, elsewhere, monkeypatch):
    monkeypatch.setattr(boards, "DEATHS", 1)
    board = begun(url, 1, grace=0.1)
    slow = claim(board)
    watch(board, 0.3)
    assert board.view().entries[slow.key].state is State.failed
    board.finish(slow, result(slow))
    assert board.view().entries[slow.key].result == result(slow)


def test_who_gives_signs_of_life_is_not_taken_to_be_dead_whatever_the_clocks_say(url, elsewhere):
    board = begun(url, grace=0.3)
    entry = claim(board)
    for _ in range(20):
        assert board.find_dead() == []
        assert board.beat(entry, 0.5).wanted
        time.sleep(0.05)


def test_a_process_of_this_machine_that_lives_is_not_robbed_however_silent(url):
    board = begun(url, grace=0.1)
    claim(board)
    assert watch(board, 0.4) == []
    with pytest.raises(ScalenetError, match=r"^here: 1 job is running just now "):
        board.check_idle("here")


def test_of_two_that_begin_a_search_at_once_the_second_is_told_to_look_again(url):
    first, second = (Board(url, "search", grace=60) for _ in range(2))
    assert first.begin(aim(1), plan={"seeds": 1}, request={})
    assert not second.begin(aim(2), plan={"seeds": 2}, request={})
    assert (second.plan(), second.view().names) == ({"seeds": 1}, ("c0",))
    assert second.begin(aim(2), plan={"seeds": 2}, before={"seeds": 1}, request={})
    assert first.plan() == {"seeds": 2}


def test_who_did_not_look_has_watched_nothing():
    now, beats = 0.0, {1: 5}
    silence = Silence(grace=60, clock=lambda: now)
    assert silence.after(beats) == []
    now = 10_000.0  # the watcher was stopped, or its database was away
    assert silence.after(beats) == []
    for _ in range(3):
        now += 15
        assert silence.after(beats) == []
    now += 15
    assert silence.after({1: 6}) == []
    for _ in range(4):
        now += 15
        assert silence.after({1: 6}) == []
    now += 1
    assert silence.after({1: 6, 2: 0}) == [1]


def test_what_is_given_back_is_had_at_once_by_another(url):
    board = begun(url, 1)
    first = claim(board)
    board.give_back(first)
    second = claim(board, "two")
    assert (second.key, second.attempt) == (first.key, 1)
    assert board.bury("one") == []
    assert [entry.key for entry in board.bury("two")] == [first.key]
    assert claim(board, "three").attempt == 2


def test_a_search_that_is_to_stop_hands_out_no_job(url):
    board = begun(url)
    board.stop()
    assert board.claim("one") is None
    board.begin(aim(4))
    assert claim(board).key == ("c0", 0, 1)


def test_a_job_may_fail_twice_and_is_tried_again_by_the_next_search(url):
    board = begun(url, 3)
    for _ in range(2):
        board.fail(claim(board), "no luck")
    assert [entry.error for entry in board.view().failed()] == ["no luck"]
    drain(board)
    assert "c0" not in board.view().course.rungs[1][1]
    board.begin(aim(3))
    assert not board.view().failed()
    assert claim(board).key == ("c0", 0, 1)


def test_one_who_joins_does_not_undo_what_failed(url):
    board = begun(url, 3)
    for _ in range(2):
        board.fail(claim(board), "no luck")
    running = claim(board)
    begun(url, 3)
    assert [entry.key[0] for entry in board.view().failed()] == ["c0"]
    board.finish(running, result(running))


def test_a_job_that_kills_its_processes_ends(url):
    board = begun(url, 2)
    for _ in range(boards.DEATHS):
        assert claim(board, "doomed").key == ("c0", 0, 1)
        board.bury("doomed")
    assert board.view().scores == {("c0", 0, 1): None}
    assert board.view().entries["c0", 0, 1].state is State.failed


def test_deaths_count_since_the_job_got_further(url):
    board = begun(url, 1)
    for number in range(1, 3 * boards.DEATHS):
        board.beat(claim(board, "mortal"), number / 100)
        board.bury("mortal")
    for _ in range(boards.DEATHS - 1):
        assert board.view().waiting()
        board.beat(claim(board, "mortal"), 0.1)
        board.bury("mortal")
    assert board.view().entries["c0", 0, 1].state is State.failed


def test_what_a_worker_killed_by_another_search_had_is_nobodys_loss(url):
    board = begun(url, 2)
    first, second = claim(board, "one"), claim(board, "two")
    assert [entry.key for entry in board.bury("one")] == [first.key]
    assert board.bury("three") == []
    board.finish(second, result(second))
    drain(board)
    check(board)


def test_searches_in_one_database_are_apart(url):
    one, two = begun(url, 3), Board(url, "another", grace=60)
    assert two.plan() is None
    two.begin(aim(2))
    entry = claim(one)
    assert two.bury("one") == []
    two.stop()
    assert (one.stopped(), two.stopped()) == (False, True)
    two.remove()
    with pytest.raises(RunError, match="the search another was removed"):
        two.view()
    one.finish(entry, result(entry))
    drain(one)
    check(one)


def test_the_jobs_of_a_search_that_was_removed_are_nobodys(url):
    board = begun(url)
    entry = claim(board)
    board.remove()
    assert not board.beat(entry, 0.5).wanted
    board.note(entry, Report(1, 0.5))
    assert board.claim("two") is None
    with pytest.raises(RunError, match="was removed"):
        board.stopped()


@pytest.fixture(scope="session")
def one_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('board')}/search.db"


def test_a_search_begun_anew_is_another_though_the_database_gives_it_the_same_numbers(url):
    board = begun(url)
    old = claim(board, "old")
    Board(url, "search", grace=60).remove()
    anew = begun(url)
    mine = claim(anew, "mine")
    assert not board.beat(old, 0.9).wanted
    board.finish(old, Result(*old.key[:2], 0.99, None, 1.0, None))
    assert board.claim("old") is None
    for look in (board.view, board.stopped):
        with pytest.raises(RunError, match="was removed"):
            look()
    anew.finish(mine, result(mine))
    drain(anew)
    check(anew)


STEPS = st.sampled_from(["claim", "finish", "fail", "give back", "die", "beat", "join", "fill", "late"])


@settings(max_examples=6)
@given(steps=st.lists(STEPS, min_size=5, max_size=15), data=st.data())
def test_any_order_of_events_leaves_each_job_with_one_result(one_file: str, steps: list[str], data: Any):
    board = Board(one_file, uuid4().hex, grace=60)
    board.begin(aim(3))
    held: list[Entry] = []
    lost: list[Entry] = []
    for number, step in enumerate(steps):
        if step == "claim":
            entry = board.claim(str(number))
            held += [] if entry is None else [entry]
        elif step == "join":
            board.begin(aim(3))
        elif step == "fill":
            board.fill()
        elif step == "late" and lost:
            entry = data.draw(st.sampled_from(lost))
            board.finish(entry, result(entry))
            held = [one for one in held if one.key != entry.key]
        elif held and step not in ("late", "beat"):
            entry = held.pop(data.draw(st.integers(0, len(held) - 1)))
            end = {
                "finish": lambda entry=entry: board.finish(entry, result(entry)),
                "fail": lambda entry=entry: board.fail(entry, "no luck"),
                "give back": lambda entry=entry: board.give_back(entry),
                "die": lambda entry=entry: board.bury(board.view().entries[entry.key].worker or ""),
            }
            end[step]()
            lost.append(entry)
        elif held:
            assert board.beat(held[0], 0.5).wanted
        keys = [entry.key for entry in held]
        assert len(set(keys)) == len(keys), "two have one job"
    for entry in held:
        board.finish(entry, result(entry))
    board.begin(aim(3))  # what failed is tried again
    drain(board)
    check(board)


@settings(max_examples=6)
@given(steps=st.lists(STEPS, min_size=8, max_size=25), data=st.data())
def test_whatever_happens_to_a_pilot_what_it_found_stays(one_file: str, steps: list[str], data: Any):
    board, own = Board(one_file, uuid4().hex, grace=60), aim(2).changed(pilot=PILOT)
    board.begin(own)
    held: list[Entry] = []
    lost: list[Entry] = []
    found: float | None = None
    for number, step in enumerate(steps):
        if step == "claim" and (entry := board.claim(str(number))) is not None:
            assert board.view().is_pilots(entry.key) == (found is None), "all others wait for what it finds"
            held.append(entry)
        elif step in ("join", "fill"):
            board.begin(own) if step == "join" else board.fill()
        elif held or (lost and step == "late"):
            entry = data.draw(st.sampled_from(lost)) if step == "late" and lost else (held or lost).pop()
            if step in ("finish", "late"):
                score = data.draw(st.none() | st.floats(0, 1))
                board.finish(entry, Result(*entry.key[:2], score, None, 1.0, None), in_time=True)
            else:
                board.fail(entry, "no luck")
            held = [one for one in held if one.key != entry.key]
            lost.append(entry)
        rate = board.view().rate
        assert found is None or rate == found
        found = rate
