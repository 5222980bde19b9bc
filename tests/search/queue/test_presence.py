"""Who takes part in a search, and for how long it was at work."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

import scalenet
from scalenet.arch.config import config_of
from scalenet.arch.errors import ScalenetError
from scalenet.search.evaluators import Result
from scalenet.search.queue.board import Board
from scalenet.search.queue.jobs import Aim
from scalenet.search.queue.presence import Presence, seconds_of
from scalenet.search.rungs.race import race
from scalenet.search.rungs.schedule import Rung, Schedule

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalenet.search.queue.jobs import Entry

AIM = Aim(schedule=Schedule(rungs=(Rung(seeds=(0,), budget=1),)), factors={"c0": 1.0})


def opened(url: str) -> Board:
    """Return a board whose processes give a sign of life every hundredth of a second."""
    return Board(url, "search", grace=0.08)


def come(board: Board, workers: int = 1) -> Presence:
    here = Presence(workers).__enter__()
    plan = board.plan()
    assert board.begin(AIM, plan=plan or {"seeds": 1}, before=plan, here=here)
    return here


def leave(here: Presence) -> None:
    here.__exit__()


def wait_for(condition: Callable[[], bool]) -> None:
    wait, deadline = time.sleep, time.perf_counter() + 60
    while not condition():
        assert time.perf_counter() < deadline
        wait(0.01)


def test_the_time_is_how_long_any_process_was_there_whoever_asks(url, monkeypatch):
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    first = come(opened(url), workers=6)
    now = 35.0
    wait_for(lambda: seconds_of(opened(url), 1) == 35)
    second = come(opened(url))
    assert (first.seconds, second.seconds) == (35, 35)
    now = 50.0
    leave(first)
    now = 60.0
    leave(second)
    assert seconds_of(opened(url), 8) == 60
    now = 1000.0
    third = come(opened(url))
    now = 1040.0
    assert third.seconds == 100
    leave(third)


def test_one_whose_clock_lags_is_told_by_the_others(url, monkeypatch):
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    first, lagging = come(opened(url)), come(opened(url), workers=2)
    lagging._before = -10.0  # it came before the sign of life of those who were further
    now = 20.0
    wait_for(lambda: lagging.seconds == 20)
    assert (first.seconds, first.workers, lagging.workers) == (20, 3, 3)
    leave(first)
    leave(lagging)


def test_the_workers_of_all_processes_are_known_to_each(url):
    first, second = come(opened(url), workers=2), come(opened(url), workers=3)
    wait_for(lambda: first.workers == second.workers == 5)
    leave(second)
    wait_for(lambda: first.workers == 2)
    leave(first)


def test_a_round_of_a_race_has_a_training_for_each_worker_of_all_processes(url):
    names = [f"c{place}" for place in range(12)]
    shares = {name: (place / 11, 0.0, 1 - place / 11) for place, name in enumerate(names)}
    asked = race(len(names), budget=10, seeds=4)
    aim = Aim(schedule=asked, factors=dict.fromkeys(names, 1.0), shares=shares)
    config = config_of(scalenet.load("small_resnet"))
    board, first, second = opened(url), Presence(2), Presence(3)
    rounds = []
    with first:
        candidates = [(name, {}, config) for name in names]
        assert board.begin(aim, plan={"seeds": 1}, here=first, candidates=candidates)
        with second:
            assert opened(url).begin(aim, plan={"seeds": 1}, before={"seeds": 1}, here=second)
            rounds += [a_round(board) for _ in range(3)]
        rounds.append(a_round(board))
    # everybody's short training, two seeds of three candidates, and then one for each worker that is there
    assert [len(found) for found in rounds] == [12, 6, 5, 2]


def a_round(board: Board) -> list[Entry]:
    """Do the jobs that are on the board; the last one puts the next ones there."""
    done = []
    for _ in board.fill().open():
        entry = board.claim("worker")
        assert entry is not None
        name, seed, _ = entry.key
        accuracy = 0.5 + random.Random(f"{name} {seed}").gauss(0, 0.02)
        board.finish(entry, Result(name, seed, accuracy, None, 1.0, None))
        done.append(entry)
    return done


def test_another_plan_waits_until_nobody_takes_part(url):
    board, here = opened(url), come(opened(url))
    with pytest.raises(ScalenetError, match=r"^here: others take part just now with another one ") as refused:
        board.check_idle("here", " with another one")
    assert refused.value.hint == "`scalenet search stop` ends them"
    assert not board.begin(AIM, plan={"seeds": 2}, before={"seeds": 1}, alone=True)
    leave(here)
    board.check_idle("here", " with another one")
    assert board.begin(AIM, plan={"seeds": 2}, before={"seeds": 1}, alone=True)


KILLED = """
import os, signal, sys
from scalenet.search.queue.board import Board
from scalenet.search.queue.jobs import Aim
from scalenet.search.queue.presence import Presence

board, here = Board(sys.argv[1], "search", grace=60), Presence(1)
board.begin(Aim.model_validate_json(sys.argv[2]), plan={"seeds": 1}, here=here)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("near", [True, False])
def test_one_that_was_killed_keeps_nobody_out(url, near, monkeypatch):
    subprocess.run([sys.executable, "-c", KILLED, url, AIM.model_dump_json(by_alias=True)], check=False, timeout=60)
    board = opened(url)
    if not near:
        monkeypatch.setattr("scalenet.search.queue.board.lives", lambda _: None)
        monkeypatch.setattr("scalenet.search.queue.board.PULSE", 0.05)
    assert not board.begin(AIM, plan={"seeds": 2}, before={"seeds": 1}, alone=True)
    board.check_idle("here")
    assert board.begin(AIM, plan={"seeds": 2}, before={"seeds": 1}, alone=True)
