"""Two processes train as one on the same whole batches."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch

from scalenet.arch.errors import ScalenetError
from scalenet.training.distributed import World

if TYPE_CHECKING:
    from pathlib import Path

# In double precision, so that only the order of sums differs.
SCRIPT = """
import json, sys
import torch
torch.set_num_threads(1)
from pathlib import Path
from scalenet import build, load
from scalenet.training import runs
from scalenet.training.distributed import world
from scalenet.training.loop import Training
from scalenet.training.progress import Listener
from scalenet.training.recipe import change, load_recipe

net, data, out = map(Path, sys.argv[1:])
changes = {"epochs": 2, "batch_size": 18, "sync_batchnorm": True, "dropout": 0.0, "drop_path": 0.0}
changes |= {"augmentation.area": [0.5, 1.0], "augmentation.policy": "autoaugment"}
recipe = change(load_recipe("small_images"), changes.items())
splits = runs.read_images(data, recipe=recipe, resolution=(8, 8), reading=runs.Reading(seed=0))
losses = []

class Ear(Listener):
    def step(self, training, progress):
        losses.append(training.sums.loss)

with world("cpu") as here:
    torch.manual_seed(0)
    network = build(recipe.applied(load(net).model)).double()
    training = Training(network, splits, recipe=recipe, resolution=(8, 8), seed=0, world=here)
    ready = training.inputs.ready
    training.inputs.ready = training.judge.norms.prepare = lambda images: ready(images).double()
    outcome = training.run(Ear())
    if here.leads:
        norm = training.module.stem.norm.running_var.tolist()
        scores = outcome.scores
        out.write_text(json.dumps({"losses": losses, "held_out": scores.loss, "images": len(scores), "norm": norm}))
"""


def test_two_processes_have_the_losses_of_one(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    found = {}
    for processes in (1, 2):
        out = tmp_path / f"{processes}.json"
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"] if processes == 2 else []
        words = [*launcher, str(tmp_path / "script.py"), str(tiny / "net.yaml"), str(tiny / "images"), str(out)]
        done = subprocess.run([sys.executable, *words], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found[processes] = json.loads(out.read_text())
    one, two = found[1], found[2]
    assert len(one["losses"]) == 12
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-9)
    assert two["norm"] == pytest.approx(one["norm"], rel=1e-9)
    assert two["held_out"] == pytest.approx(one["held_out"], rel=1e-9)
    assert two["images"] == one["images"] == 12


def test_the_command_trains_in_two_processes_and_speaks_once(tiny: Path, tmp_path: Path) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "scalenet_cli"]
    words = ["train", "net.yaml", "--data", "images", "--recipe", "small_images", "--epochs", "2", "--json"]
    command = [sys.executable, *launcher, *words, "-o", str(tmp_path / "run")]
    done = subprocess.run(command, cwd=tiny, capture_output=True, text=True, check=True)
    (row,) = json.loads(done.stdout)
    assert row["epochs"] == 2  # that two processes go on where they were killed: tests/search/test_torchrun.py
    assert done.stderr.count("images to train on") == 1
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["processes"] == 2


def test_every_value_is_in_one_part() -> None:
    values = torch.arange(7)
    parts = [World(rank, 3).part(values) for rank in range(3)]
    assert torch.equal(torch.cat(parts), values)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_batch_smaller_than_its_parts_is_refused(tiny: Path, tmp_path: Path) -> None:
    from scalenet import load
    from scalenet.training import runs
    from scalenet.training.recipe import change, load_recipe

    recipe, reading = change(load_recipe("small_images"), [("batch_size", 4), ("accumulate", 5)]), runs.Reading(seed=0)
    splits = runs.read_images(tiny / "images", recipe=recipe, resolution=(8, 8), reading=reading)
    with pytest.raises(ScalenetError, match="a batch of 4 images cannot be divided into 5 parts"):
        runs.train(load(tiny / "net.yaml"), splits, tmp_path, recipe=recipe, reading=reading)
