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
from optuna.trial import TrialState

from scalenet.arch.errors import RunError
from scalenet.search import board as boards
from scalenet.search.board import Board
from scalenet.search.evaluators import Report, Result
from scalenet.search.jobs import Aim, State
from scalenet.search.schedule import Rung, Schedule

if TYPE_CHECKING:
    from scalenet.search.jobs import Entry

RUNGS = Schedule(rungs=(Rung(seeds=(0,), budget=1), Rung(keep=2, seeds=(0, 1), budget=2)))


def aim(count: int, schedule: Schedule = RUNGS) -> Aim:
    return Aim(schedule=schedule, factors={f"c{number}": 1.0 for number in range(count)})


def begun(url: str, count: int = 4, *, grace: int = 60) -> Board:
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
    while not board.view().finished():
        assert time.monotonic() < deadline
        entry = board.claim("last")
        if entry is None:
            time.sleep(0.1)
        else:
            board.finish(entry, result(entry))


def check(board: Board) -> None:
    """Check that each planned job has one result, the right one, and that no attempt was enqueued twice."""
    trials, view = board.study.get_trials(), board.view()
    jobs = [tuple(trial.user_attrs["job"]) for trial in trials]
    assert len(set(jobs)) == len(jobs), "an attempt was enqueued twice"
    done = [job[:3] for job, trial in zip(jobs, trials, strict=True) if trial.state is TrialState.COMPLETE]
    assert len(set(done)) == len(done), "a job has two results"
    assert set(done) == set(view.needed()), "a job has none"
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.FAIL}, "a trial too many"
    assert all(view.entries[key].result == result(view.entries[key]) for key in done)
    attempts = [jobs.count((*key, number)) for key in set(done) for number in range(view.entries[key].attempt + 1)]
    assert set(attempts) == {1}, "attempts are numbered without gaps"


def test_rung_follows_rung(url):
    board = begun(url)
    drain(board)
    check(board)
    done = [entry.key for entry in sorted(board.entries().values(), key=lambda entry: entry.number)]
    assert done[:4] == [("c0", 0, 1), ("c1", 0, 1), ("c2", 0, 1), ("c3", 0, 1)]
    assert done[4:] == [("c3", 0, 2), ("c2", 0, 2), ("c3", 1, 2), ("c2", 1, 2)]
    assert len(board.study.get_trials()) == 8


MORTAL = """
import os, signal, sys
from sqlalchemy import event
from scalenet.search import board as boards
from scalenet.search.evaluators import Result

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
        event.listen(board.storage.engine, moment, count)
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
    board = begun(url, 30, grace=1)
    done = subprocess.run([sys.executable, "-c", MORTAL, url], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 12
    drain(board)
    check(board)


def test_who_asks_again_as_the_connection_broke_has_the_job_that_it_took(url):
    board = begun(url)
    entry = claim(board, "one")
    assert board.storage.take(entry.trial, "one")
    assert not board.storage.take(entry.trial, "two")
    board.finish(entry, result(entry))
    assert not board.storage.take(entry.trial, "one")


def test_a_process_taken_to_be_dead_is_told_and_its_result_not_counted(url):
    board = begun(url, grace=1)
    slow = claim(board, "slow")
    assert board.beat(slow, 0.1)
    time.sleep(2.2)
    taken = claim(Board(url, "search", grace=1), "other")
    assert (taken.key, taken.attempt) == (slow.key, 1)
    assert not board.beat(slow, 0.2)
    wrong = Result(*slow.key[:2], 0.99, None, 1.0, None)
    board.note(slow, Report(1, 0.99))
    board.finish(slow, wrong)
    board.fail(slow, "late")
    board.give_back(slow)
    board.finish(taken, result(taken))
    board.finish(taken, wrong)
    assert board.entries()[slow.key].result == result(taken)
    drain(board)
    check(board)


def test_a_live_process_is_not_taken_to_be_dead(url):
    board = begun(url, grace=1)
    entry = claim(board)
    for _ in range(10):
        time.sleep(0.25)
        assert board.beat(entry, 0.5)
        board.storage._get_stale_trial_ids(board.id)
        assert claim(board, "other").key != entry.key if board.view().waiting() else True


def test_after_an_outage_all_may_give_a_sign_of_life_first(url):
    board = begun(url, grace=2)
    entry = claim(board)
    time.sleep(3.2)
    board.storage.returned = time.monotonic()  # as after retries
    other = claim(board, "other")
    assert other.key != entry.key
    assert board.beat(entry, 0.5)


def test_what_is_given_back_is_had_at_once_by_another(url):
    board = begun(url, 1)
    first = claim(board)
    board.give_back(first)
    second = claim(board, "two")
    assert (second.key, second.attempt) == (first.key, 1)
    assert board.bury("one") == []
    assert [entry.key for entry in board.bury("two")] == [first.key]
    assert claim(board, "three").attempt == 2


def test_a_job_may_fail_twice_and_is_tried_again_by_the_next_search(url):
    board = begun(url, 3)
    for _ in range(2):
        board.fail(claim(board), "no luck")
    assert [entry.error for entry in board.view().failed()] == ["no luck"]
    drain(board)
    assert "c0" not in board.view().entrants()[1]
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
        claim(board, "doomed")
        board.bury("doomed")
    assert board.view().scores() == {("c0", 0, 1): None}
    assert board.entries()["c0", 0, 1].state is State.failed


def test_searches_in_one_database_are_apart(url):
    one, two = begun(url, 3), Board(url, "another", grace=60)
    assert two.plan() is None
    two.begin(aim(2))
    entry = claim(one)
    assert two.bury("one") == []
    two.stop()
    assert (one.stopped(), two.stopped()) == (False, True)
    two.remove()
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
    assert not board.beat(entry, 0.5)
    board.note(entry, Report(1, 0.5))
    with pytest.raises(RunError, match="was removed"):
        board.claim("two")


@pytest.fixture(scope="session")
def one_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('board')}/search.db"


def test_a_search_begun_anew_is_another_though_the_database_gives_it_the_same_numbers(url):
    board = begun(url)
    old = claim(board, "old")
    Board(url, "search", grace=60).remove()
    anew = begun(url)
    mine = claim(anew, "mine")
    assert not board.beat(old, 0.9)
    board.finish(old, Result(*old.key[:2], 0.99, None, 1.0, None))
    for look in (board.view, board.stopped, lambda: board.claim("old")):
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
            board.finish(entry, Result(*entry.key[:2], 0.999, None, 1.0, None))
        elif held and step not in ("late", "beat"):
            entry = held.pop(data.draw(st.integers(0, len(held) - 1)))
            end = {
                "finish": lambda entry=entry: board.finish(entry, result(entry)),
                "fail": lambda entry=entry: board.fail(entry, "no luck"),
                "give back": lambda entry=entry: board.give_back(entry),
                "die": lambda entry=entry: board.bury(board.entries()[entry.key].worker or ""),
            }
            end[step]()
            lost.append(entry)
        elif held:
            assert board.beat(held[0], 0.5)
        keys = [entry.key for entry in held]
        assert len(set(keys)) == len(keys), "two have one job"
    for entry in held:
        board.finish(entry, result(entry))
    board.begin(aim(3))  # what failed is tried again
    drain(board)
    check(board)
