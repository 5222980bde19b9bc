"""Candidates that are trained by several processes each: killed, they end; evaluated again, they go on."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import commands
import pytest

from scalenet.arch.config import load_config
from scalenet.search.evaluators import Command, Job, Report

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found through Linux's /proc")

DOCUMENT = Path(__file__).parents[2] / "docs" / "cluster.md"
EPOCHS = 20
TORCHRUN = f"{sys.executable} -m torch.distributed.run --standalone --nproc-per-node 2 -m scalenet_cli"
TRAIN = "train {config} --recipe search --set evaluate_every=1 --batch-size 16 --threads 1 --epochs {budget}"
REST = "--seed {seed} -o {folder}/{budget} --json-lines"

WORKER = """
import sys
from pathlib import Path
from scalenet.arch.config import load_config
from scalenet.search.evaluators import Command, Job
command, net, folder = sys.argv[1:]
Command(command).evaluate(Job("tiny", load_config(net), Path(net), 1, 20, Path(folder)), print)
"""


@pytest.fixture
def command(tiny: Path) -> Command:
    return Command(f"{TORCHRUN} {TRAIN} --data {tiny}/images {REST}")


@pytest.fixture
def job(tiny: Path, tmp_path: Path) -> Job:
    return Job("tiny", load_config(tiny / "net.yaml"), tiny / "net.yaml", 1, EPOCHS, tmp_path / "job")


def running(folder: Path) -> list[int]:
    """Return the processes whose command names a folder (read from Linux's /proc)."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words and int(place.name) != os.getpid():
            found.append(int(place.name))
    return found


def wait(condition, *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def working(command: Command, job: Job) -> commands.Program:
    """Start a worker on a job, and return it once the second checkpoint is written."""
    words = [sys.executable, "-c", WORKER, command.text, job.file, job.folder]
    worker = commands.start(words, cwd=job.folder.parent)
    wait(lambda: len(list(job.folder.glob(f"{EPOCHS}/checkpoints/step-*"))) == 2)
    assert len(running(job.folder)) == 4, "torchrun, its guard and two trainers"
    return worker


def test_its_trainers_end_with_a_killed_worker_and_the_next_one_goes_on_to_the_same_bits(command, job):
    worker = working(command, job)
    worker.kill()
    worker.communicate(timeout=60)
    wait(lambda: not running(job.folder))
    reports: list[Report] = []
    result = command.evaluate(job, reports.append)
    assert "going on after step" in (job.folder / "log.txt").read_text()
    assert 1 < reports[0].done <= reports[-1].done == EPOCHS
    whole = command.evaluate(replace(job, folder=job.folder.parent / "whole"), reports.append)
    assert replace(result, seconds=0.0) == replace(whole, seconds=0.0)


def test_the_documented_search_by_torchrun(tiny, tmp_path):
    (line,) = [
        block for block in re.findall(r"```sh\n(.*?)```", DOCUMENT.read_text(), re.DOTALL) if "torchrun" in block
    ]
    changes = {"resnet18": "net.yaml", "64": "8", "classes 10": "classes 2", "epochs 10": "epochs 3"}
    changes |= {"path/to/images": f"{tiny}/images", "runs/wide": f"{tmp_path}/run --grid one.yaml --seeds 1"}
    changes |= {"scalenet": "scalenet_cli", "torchrun --no-python": f"{sys.executable} -m torch.distributed.run -m"}
    for old, new in changes.items():
        assert old in line
        line = line.replace(old, new)
    shutil.copy(tiny / "net.yaml", tmp_path)
    (tmp_path / "one.yaml").write_text((tiny / "grid.yaml").read_text().replace(", [1, 1.5, 1], [1, 1, 1.5]", ""))
    words = [sys.executable, "-m", *shlex.split(line), "--json"]
    done = commands.run(words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["evidence"]["accuracy"] > 0.8, "light and dark squares are easy"
    assert len((tmp_path / "run" / "curves.csv").read_text().splitlines()) == 1 + 3


SLOW = """
import os, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
(folder / f"checkpoints/step-{os.environ['RANK']}").mkdir(parents=True)
time.sleep(300)
"""


def test_its_trainers_end_with_a_worker_that_is_interrupted(job, tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)  # torchrun is the same whatever trains
    launch = TORCHRUN.removesuffix("-m scalenet_cli")
    worker = working(Command(f"{launch} {tmp_path}/slow.py {{folder}}/{{budget}} {{config}} {{seed}}"), job)
    worker.send_signal(signal.SIGINT)
    worker.communicate(timeout=60)
    assert not running(job.folder)
