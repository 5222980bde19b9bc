"""Searches whose processes are killed, stopped and started as clusters do it: each job has one result in the end."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import resource
import signal
import sqlite3
import sys
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

import commands
import pytest
import yaml
from commands import SCALENET
from interruption import servers, workers

from scalenet.arch.config import load_config
from scalenet.arch.errors import RunError
from scalenet.search.evaluators import Function
from scalenet.search.queue.board import Board, Place
from scalenet.search.queue.crew import _unheard, work
from scalenet.search.queue.jobs import Aim, State
from scalenet.search.queue.tables import ATTEMPTS
from scalenet.search.queue.worker import Task
from scalenet.search.rungs.schedule import Rung, Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from commands import Program
    from postgres import Server

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="workers are found through Linux's /proc")

POINTS = [[2, 1, 1], [1, 1.5, 1], [1, 1, 1.5], [1, 2, 1], [3, 1, 1], [2, 1.5, 1]]
GRID = "schema: scalenet-grid/1\nname: g\npoints: {{kind: list, values: {}}}\ninclude: []\nrounding: fine\n"

# An evaluation of some steps a budget's epoch, with a checkpoint after each; every step is a line of a log.
JUDGES = """
import os, time, zlib
from pathlib import Path

STEPS, PAUSE = int(os.environ.get("STEPS", "2")), float(os.environ.get("PAUSE", "0.04"))

def say(folder, *words):
    log = os.open(folder.parent.parent / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, (" ".join(map(str, (folder.name, *words, os.getpid()))) + "\\n").encode())
    os.close(log)

def judge(architecture, *, budget, seed, folder, report):
    kept, half = folder / f"kept-{budget}", folder / f"half-{os.getpid()}"
    done = int(kept.read_text()) if kept.exists() else 0
    say(folder, budget, "begin", done)
    for step in range(done + 1, budget * STEPS + 1):
        time.sleep(PAUSE)
        say(folder, budget, "step", step)
        half.write_text(str(step))
        half.replace(kept)
        report(step / STEPS, 0.5)
    say(folder, budget, "end", budget * STEPS)
    return zlib.crc32(f"{folder.name} {budget}".encode()) % 1000 / 1000

def full(architecture, *, folder, **_):
    raise OSError(28, "No space left on device")

def fragile(architecture, *, budget, seed, folder, report):
    tried = folder / f"tried-{budget}"
    if Path("broken").exists() or "a3_b1" in folder.name or not tried.exists():
        tried.write_text("")
        raise ValueError("no luck")
    return judge(architecture, budget=budget, seed=seed, folder=folder, report=report)
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the log: what a process did for a job."""

    job: str
    budget: int
    what: str
    step: int
    pid: int


@dataclass
class Lab:
    """A folder to search in, and a database."""

    folder: Path
    tiny: Path
    url: str

    def prepare(self, points: int = 6) -> None:
        (self.folder / "judges.py").write_text(JUDGES)
        (self.folder / "grid.yaml").write_text(GRID.format(json.dumps(POINTS[:points])))

    def words(self, *words: str, output: str = "run") -> list[str]:
        fixed = ["--base", str(self.tiny / "net.yaml"), "--grid", "grid.yaml", "--evaluate", "judges:judge"]
        fixed += ["--epochs", "2", "--seeds", "2", "--halving", "3", "--workers", "3", "--grace", "2"]
        fixed += ["--storage", self.url, "-o", output]
        return [*SCALENET, "grid-search", *fixed, *words]

    def start(self, *words: str, output: str = "run", **environment: str) -> Program:
        """Start a search; the environment is the evaluator's."""
        own = {**os.environ, **environment}
        return commands.start(self.words(*words, output=output), cwd=self.folder, env=own)

    def run(self, *words: str, code: int = 0, output: str = "run", **environment: str) -> str:
        """Run a search to its end, and return its stderr."""
        return self.ended(self.start(*words, output=output, **environment), code)

    def ended(self, process: Program, code: int = 0) -> str:
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == code, stderr
        assert "Traceback" not in stderr
        return stderr

    def log(self, output: str = "run") -> list[Line]:
        file = self.folder / output / "log"
        rows = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
        return [Line(row[0], int(row[1]), row[2], int(row[3]), int(row[4])) for row in rows]

    def wait(self, done: Callable[[list[Line]], bool]) -> list[Line]:
        """Return the log once it is as wanted."""
        return until(lambda: lines if done(lines := self.log()) else None)

    def board(self, name: str = "run") -> Board:
        return Board(self.url, name, grace=2)

    def check(self, kills: int = 0) -> None:
        """Check that each planned job has one result, and that no attempt was made in vain."""
        board = self.board()
        rows, view = attempts(board), board.view()
        done = [(row.candidate, row.seed, row.budget) for row in rows if row.state == "done"]
        assert Counter(done) == Counter(view.needed)
        lost = [row for row in rows if row.state != "done"]
        assert {row.state for row in lost} <= {"lost"}
        assert len(lost) <= kills
        steps = Counter((line.job, line.budget, line.step) for line in self.log() if line.what == "step")
        ends = Counter((line.job, line.budget) for line in self.log() if line.what == "end")
        assert len(ends) == len(done)
        assert sum(ends.values()) - len(ends) <= kills
        assert sum(steps.values()) - len(steps) <= kills, "a job went on from its checkpoint"

    def answer(self, output: str = "run") -> tuple[list[dict[str, str]], dict[str, object]]:
        """Return what a search found, without times."""
        with (self.folder / output / "candidates.csv").open() as file:
            rows = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
        found = yaml.safe_load((self.folder / output / "coefficients.yaml").read_text())
        found["evidence"].get("separation", {}).pop("seconds", None)
        return rows, found


def attempts(board: Board) -> list[Any]:
    """Return all attempts at jobs of a search."""
    (rows,) = board.database.rows(ATTEMPTS.select().where(ATTEMPTS.c.search == board.id))
    return list(rows)


def until(find: Callable[[], object]):
    """Return what is found, once it is."""
    deadline = time.monotonic() + 60
    while not (found := find()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)
    return found


def kill_group(process: Program) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def lab(tiny: Path, tmp_path: Path, url: str) -> Lab:
    made = Lab(tmp_path, tiny, url)
    made.prepare()
    return made


@pytest.fixture(scope="session")
def undisturbed(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Return a search that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    made = Lab(folder, tiny, f"sqlite:///{folder}/search.db")
    made.prepare()
    made.run(PAUSE="0")
    made.check()
    return made


@dataclass
class Drain:
    """Workers that are children of the tests', for so many candidates with six seeds."""

    tiny: Path
    folder: Path
    url: str
    candidates: int

    def __post_init__(self) -> None:
        (self.folder / "judges.py").write_text(JUDGES)
        self.names = [f"c{number}" for number in range(self.candidates)]
        self.where = Place(self.url, "drain", 60)
        self.board = self.where.board()
        rung = Rung(seeds=tuple(range(6)), budget=1)
        config = load_config(self.tiny / "net.yaml")
        self.board.add_candidates((name, {}, config) for name in self.names)
        self.board.begin(Aim(schedule=Schedule(rungs=(rung,)), factors=dict.fromkeys(self.names, 1.0)))

    def work(self, workers: int, judge: str = "judges:judge") -> None:
        task = Task(self.where, self.folder, Function(judge, str(self.folder)), {"PAUSE": "0", "STEPS": "1"})
        work(self.board, [task] * workers, look=lambda _: None, say=pytest.fail)


def test_many_jobs_are_each_evaluated_once_and_none_is_invented(tiny, tmp_path, url):
    drain = Drain(tiny, tmp_path, url, 12)
    drain.work(3)
    rows = attempts(drain.board)
    assert len(rows) == 72
    assert {row.state for row in rows} == {"done"}
    lines = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert len({line[-1] for line in lines}) > 1  # who comes last may find nothing left
    planned = Counter(f"{name}_seed{seed}" for name in drain.names for seed in range(6))
    for what in ("begin", "step", "end"):
        assert Counter(line[0] for line in lines if line[2] == what) == planned


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_no_job_is_to_blame_for_a_full_disk(tiny, tmp_path, url):
    drain = Drain(tiny, tmp_path, url, 1)
    with pytest.raises(RunError, match=r"No space left on device.*the same command goes on from there"):
        drain.work(1, "judges:full")
    view = drain.board.view()
    assert {entry.state for entry in view.entries.values()} == {State.waiting}


def test_searches_whose_workers_are_killed_end_as_others_do(lab, undisturbed):
    """Kill workers just after they began a job, then the whole process group, then workers again."""
    draw, killed = random.Random(lab.url.partition(":")[0]), set()

    def kill_workers(process: Program, count: int) -> None:
        for _ in range(count):
            begun = lab.wait(lambda log: process.poll() is not None or fresh(log))
            if process.poll() is not None:
                return
            time.sleep(draw.uniform(0, 0.06))
            pid = fresh(begun)[-1].pid
            killed.add(pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def fresh(log: list[Line]) -> list[Line]:
        return [line for line in log if line.pid not in killed]

    first = lab.start(PAUSE="0.25")
    kill_workers(first, 4)
    lab.wait(fresh)
    kill_group(first)
    killed |= {line.pid for line in lab.log()}
    second = lab.start(PAUSE="0.25")
    kill_workers(second, 3)
    stderr = lab.ended(second)
    assert "died with exit code -9" in stderr
    assert "another one takes over" in stderr
    lab.check(kills=4 + 3 + 3)
    assert lab.answer() == undisturbed.answer()


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_job_whose_worker_is_killed_goes_to_one_that_waits_and_goes_on_from_its_checkpoint(lab):
    lab.prepare(points=1)
    words = ("--seeds", "1", "--epochs", "1", "--workers", "1")
    first = lab.start(*words, STEPS="40")
    lab.wait(bool)
    second = lab.start(*words, STEPS="40")
    until(lambda: lab.board().view().running())
    kept = lab.wait(lambda log: log[-1].step > 3)[-1].step
    kill_group(first)
    lab.ended(second)
    begins = [line for line in lab.log() if line.what == "begin"]
    assert len(begins) == 2
    assert begins[1].step >= kept - 1
    lab.check(kills=1)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_worker_that_was_stopped_longer_than_the_grace_is_not_robbed_by_its_siblings(lab):
    lab.prepare(points=2)
    process = lab.start("--workers", "2", "--seeds", "1", "--epochs", "1", "--grace", "1", STEPS="40")
    first = lab.wait(lambda log: len({line.job for line in log}) == 2)[0]
    os.kill(first.pid, signal.SIGSTOP)
    until(lambda: len(lab.board().view().done()) == 1)
    time.sleep(2)
    os.kill(first.pid, signal.SIGCONT)
    lab.ended(process)
    lab.check()


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_search_started_late_joins_and_says_the_same(lab, undisturbed):
    first = lab.start("--workers", "1", PAUSE="0.4")
    lab.wait(bool)
    second = lab.start("--workers", "1", PAUSE="0.05")
    lab.ended(first)
    lab.ended(second)
    lab.check()
    assert len({line.pid for line in lab.log()}) == 2
    assert lab.answer() == undisturbed.answer()


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_two_searches_in_one_database_are_apart_and_a_name_is_one_search(lab, undisturbed):
    first = lab.start("--workers", "1")
    second = lab.start("--workers", "1", "--seed", "5", output="other")
    lab.ended(first)
    lab.ended(second)
    lab.check()
    assert lab.answer() == undisturbed.answer()
    assert {line.job.rpartition("_")[2] for line in lab.log("other")} == {"seed5", "seed6"}
    refused = lab.run("--name", "run", "--epochs", "2", "--evaluate", "judges:fragile", output="third", code=2)
    assert "is the search in" in refused


@contextlib.contextmanager
def outage(lab: Lab, request: pytest.FixtureRequest) -> Iterator[None]:
    """Take the database away for a while: a server starts anew, both ways; a file is locked."""
    if lab.url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(lab.folder / "search.db", timeout=30, isolation_level=None)) as lock:
            lock.execute("BEGIN EXCLUSIVE")
            time.sleep(2.5)
            yield
        return
    server: Server = request.getfixturevalue("postgresql")
    for how in ("fast", "immediate"):
        server.stop(how)
        time.sleep(0.7)
        server.start()
        time.sleep(0.7)
    yield


def test_a_database_that_is_away_for_a_while_is_waited_for(lab, undisturbed, request):
    process = lab.start("--grace", "60", PAUSE="0.3")  # which does not end before the database is away
    lab.wait(bool)
    with outage(lab, request):
        assert process.poll() is None
    stderr = lab.ended(process)
    assert "died" not in stderr
    lab.check()
    assert lab.answer() == undisturbed.answer()


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_full_disk_ends_a_search_that_goes_on_when_there_is_room(lab, undisturbed):
    process = lab.start(PAUSE="0.2")
    lab.wait(bool)
    room = (8192, resource.RLIM_INFINITY)  # bytes a file: less than a transaction needs
    for pid in (process.pid, *workers(process.pid)):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, room)
    stderr = lab.ended(process, code=3)
    assert "search.db: " in stderr
    assert "disk" in stderr.splitlines()[-2]
    assert "the same command goes on from there" in stderr.splitlines()[-1]
    lab.run()
    lab.check(kills=6)
    assert lab.answer() == undisturbed.answer()


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_what_fails_is_tried_again_and_what_always_fails_is_left_out(lab):
    words = ("--evaluate", "judges:fragile")
    (lab.folder / "broken").touch()
    stderr = lab.run(*words, code=3)
    assert "ValueError: no luck" in stderr
    (lab.folder / "broken").unlink()
    stderr = lab.run(*words)
    assert "1 candidate failed: ranked by the rungs before, or else a tie without evidence" in stderr
    rows, _ = lab.answer()
    assert [row["name"] for row in rows if not row["rank"]] == ["tiny_a3_b1_g1"]
    assert Counter(line.what for line in lab.log())["end"] == len(lab.board().view().done())


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_ctrl_c_and_sigterm_give_jobs_back_at_once(lab):
    words = ("--grace", "600", "--workers", "2")
    process = lab.start(*words, PAUSE="0.1")
    log = lab.wait(lambda log: len({line.pid for line in log}) == 2)
    os.kill(log[-1].pid, signal.SIGTERM)
    until(lambda: len(lab.board().view().running()) == 1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    stderr = lab.ended(process, code=130)
    assert "the same command goes on from there" in stderr
    assert not lab.board().view().running()
    lab.run(*words)
    lab.check(kills=4)


def test_what_is_started_for_workers_is_out_of_the_reach_of_ctrl_c(monkeypatch):
    tracker = resource_tracker.ResourceTracker()  # as in a process that has started none, as programs do for servers
    monkeypatch.setattr(resource_tracker, "ensure_running", tracker.ensure_running)
    with _unheard():
        resource_tracker.ensure_running()
        held = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    tracker._stop()
    assert signal.SIGINT in held
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_ctrl_c_does_not_wait_for_what_workers_load(tmp_path):
    (tmp_path / "endless.py").write_text("import time\ntime.sleep(600)\n")
    program = "from scalenet.search.queue import crew\ncrew._CONTEXT.set_forkserver_preload(['endless'])\n"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    process = commands.start([sys.executable, "-c", f"{program}crew._load_server()"], env=environment)
    while not (started := servers(process.pid)):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(timeout=60)
    finally:
        os.kill(started[0], signal.SIGKILL)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_ctrl_c_twice_gives_back_the_job_of_a_worker_that_does_not_answer(lab):
    lab.prepare(points=1)
    process = lab.start("--workers", "1", "--seeds", "1", PAUSE="5")
    os.kill(lab.wait(bool)[0].pid, signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    lab.ended(process, code=130)
    assert not lab.board().view().running()


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_workers_end_with_the_process_that_started_them(lab):
    process = lab.start(PAUSE="5")  # they would not end by themselves
    pids = {line.pid for line in lab.wait(lambda log: len({line.pid for line in log}) == 3)}
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while any(running(str(pid)) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not lab.board().view().running(), "their jobs went back"


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_ctrl_c_is_heard_while_the_database_is_away(lab, request):
    process = lab.start("--workers", "2", PAUSE="0.3")
    lab.wait(bool)
    server: Server = request.getfixturevalue("postgresql")
    server.stop()
    try:
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        lab.ended(process, code=130)
    finally:
        server.start()


TRAINER = """
import os, sys, time
with open("pid", "a") as file:
    print(os.getpid(), file=file)
while not os.path.exists("go"):
    time.sleep(0.02)
print('{"accuracy": 0.5}')
"""


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_command_ends_with_its_worker_though_that_is_killed(lab):
    lab.prepare(points=1)
    (lab.folder / "trainer.py").write_text(TRAINER)
    words = ("--evaluate", f"{sys.executable} trainer.py {{config}} {{seed}}", "--workers", "1", "--seeds", "1")
    process = lab.start(*words)
    file = lab.folder / "pid"
    (first,) = until(lambda: file.read_text().split() if file.exists() else None)
    os.kill(workers(process.pid)[0], signal.SIGKILL)
    until(lambda: not running(first))
    until(lambda: len(file.read_text().split()) == 2)
    (lab.folder / "go").touch()
    assert "another one takes over" in lab.ended(process)


def running(pid: str) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
