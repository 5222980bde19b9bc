"""A training that is killed goes on and ends with the bits of one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import killing
import pytest
import torch
from safetensors.torch import load_file

from scalenet import load
from scalenet.arch import files
from scalenet.arch.errors import RunError, ScalenetError
from scalenet.training import runs
from scalenet.training.checkpoint import checkpoints, read_trained
from scalenet.training.recipe import change, load_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from scalenet.training.progress import Progress

# One process imports torch; its forks train, and kill themselves where they are told to: after a step, while a
# checkpoint is written (before and after it gets its name), or while the log is.
DRIVER = """
import contextlib, json, os, random, signal, sys
import torch
import torch._dynamo  # optimisers import it, slowly
with contextlib.suppress(ImportError):
    import torch.utils.tensorboard
torch.set_num_threads(1)
from pathlib import Path
from killing import die, die_at_write
from scalenet import load
from scalenet.arch import files
from scalenet.training import runs
from scalenet.training.recipe import change, load_recipe

files.ABANDONED = 0.0
net, data, folder, changes, seed = json.loads(sys.argv[1])
recipe = change(load_recipe("efficientnet"), [("epochs", 6), ("batch_size", 12), ("minival", 10), *changes])
reading = runs.Reading(seed=0)
splits = runs.read_images(Path(data), recipe=recipe, resolution=(8, 8), reading=reading)

def train(place, *, step=None, write=None):
    child = os.fork()
    if child == 0:
        die_at_write(write, chooser)
        tell = lambda progress: die() if step is not None and progress.step >= step else None
        runs.train(load(net), splits, Path(place), recipe=recipe, reading=reading, every=2, tell=tell)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

chooser, step, killed = random.Random(seed), 0, 0
assert train(folder + "/whole") == 0
for number in range(40):
    step += chooser.randint(1, 3)
    how = {"write": chooser.randint(4, 7)} if number % 3 == 2 else {"step": step}
    ended = train(folder + "/killed", **how)
    killed += ended == -signal.SIGKILL
    if ended == 0:
        break
print(killed, train(folder + "/killed"))
"""

OTHER = [
    ("optimizer.kind", "adamw"),
    ("schedule.kind", "cosine"),
    ("schedule.warmup", 0.1),
    ("augmentation.policy", "randaugment"),
    ("precision", "bfloat16"),
    ("accumulate", 2),
    ("clip", 1.0),
]


def logged(folder: Path) -> list[list[str]]:
    lines = (folder / "log.csv").read_text().splitlines()
    return [line.split(",")[:8] for line in lines]  # without the times


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are killed")
@pytest.mark.parametrize(("seed", "changes"), [(0, []), (1, OTHER)], ids=["paper", "other"])
def test_killed_at_random_moments_it_ends_with_the_same_bits(
    tiny: Path, tmp_path: Path, seed: int, changes: list[tuple[str, object]]
) -> None:
    words = json.dumps([str(tiny / "net.yaml"), str(tiny / "images"), str(tmp_path), changes, seed])
    killed, last = map(int, killing.run(DRIVER, words).split())
    assert (killed >= 10, last) == (True, 0)
    whole, resumed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert logged(tmp_path / "whole") == logged(tmp_path / "killed")
    assert len(list((tmp_path / "killed" / "checkpoints").iterdir())) == 2, "nothing half-written is left"
    assert not [
        path for path in (tmp_path / "killed" / "checkpoints").glob("*") if not path.name.startswith((".", "step"))
    ]


RECIPE = change(load_recipe("small_images"), [("epochs", 2), ("batch_size", 16)])
READING = runs.Reading(seed=0)


def train(tiny: Path, folder: Path, *, recipe=RECIPE, stop: int | None = None, **others) -> dict:
    def tell(progress: Progress) -> None:
        if progress.step == stop:
            raise KeyboardInterrupt

    splits = runs.read_images(tiny / "images", recipe=recipe, resolution=(8, 8), reading=READING)
    return runs.train(load(tiny / "net.yaml"), splits, folder, recipe=recipe, reading=READING, tell=tell, **others)


def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(tiny: Path, tmp_path: Path) -> None:
    whole = train(tiny, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tiny, tmp_path / "cut", every=2, stop=6)
    newest, before = checkpoints(tmp_path / "cut" / "checkpoints")
    newest.write_bytes(newest.read_bytes()[:-100])
    notes: list[str] = []
    resumed = train(tiny, tmp_path / "cut", note=notes.append)
    assert "half-written, damaged" in notes[0]
    assert newest.name in notes[0]
    assert notes[1] == f"going on after step {int(before.stem[5:])} of 12"
    assert {**resumed, "seconds": 0} == {**whole, "seconds": 0}


CONSTANT = change(RECIPE, [("schedule", {"kind": "constant", "cooldown": 0.25})])


TAIL, MOVING = {"kind": "tail", "share": 0.2}, {"kind": "ema", "decay": 0.9}


@pytest.mark.parametrize(("average", "minival"), [(None, 8), (TAIL, 0), (MOVING, 8)])
def test_a_training_at_a_constant_rate_goes_on_to_more_epochs_with_the_same_bits(
    tiny: Path, tmp_path: Path, average: dict[str, object] | None, minival: int
) -> None:
    short = change(CONSTANT, [("average", average), ("minival", minival)])
    long = change(short, [("epochs", 4)])
    train(tiny, tmp_path / "extended", recipe=short)
    notes: list[str] = []
    extended = train(tiny, tmp_path / "extended", recipe=long, note=notes.append)
    whole = train(tiny, tmp_path / "whole", recipe=long)
    assert "going on after step 9 of 24" in notes
    assert {**extended, "seconds": 0} == {**whole, "seconds": 0}
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("extended", "whole")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
    assert logged(tmp_path / "extended") == logged(tmp_path / "whole")


def test_a_training_that_parts_from_the_start_is_another(tiny: Path, tmp_path: Path) -> None:
    train(tiny, tmp_path)
    with pytest.raises(ScalenetError, match=r"holds another training: recipe.epochs differ"):
        train(tiny, tmp_path, recipe=change(RECIPE, [("epochs", 3)]))


def test_a_shorter_training_that_parted_before_all_checkpoints_is_refused_and_writes_nothing(
    tiny: Path, tmp_path: Path
) -> None:
    train(tiny, tmp_path, recipe=change(CONSTANT, [("epochs", 3)]))
    for file in checkpoints(tmp_path / "checkpoints")[1:]:
        file.unlink()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ScalenetError, match="is of step 18; trainings of 3 and 2 epochs are alike up to step 9"):
        train(tiny, tmp_path, recipe=CONSTANT)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_only_damaged_checkpoints_are_an_error(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tiny, tmp_path, every=2, stop=6)
    for file in checkpoints(tmp_path / "checkpoints"):
        file.write_bytes(b"{}")
    with pytest.raises(ScalenetError, match="half-written, damaged"):
        train(tiny, tmp_path)


def test_a_checkpoint_of_another_training_is_refused(tiny: Path, tmp_path: Path) -> None:
    train(tiny, tmp_path / "one")
    other = change(RECIPE, [("optimizer.lr", 0.05)])
    with pytest.raises(KeyboardInterrupt):
        train(tiny, tmp_path / "two", recipe=other, every=2, stop=4)
    for file in checkpoints(tmp_path / "two" / "checkpoints"):
        file.unlink()
    (file,) = checkpoints(tmp_path / "one" / "checkpoints")[:1]
    (tmp_path / "two" / "checkpoints" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ScalenetError, match=r"a checkpoint of another training: recipe\.optimizer\.lr differ"):
        train(tiny, tmp_path / "two", recipe=other)


def test_a_full_disk_is_said_and_the_older_checkpoint_survives(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tiny, tmp_path, every=2, stop=5)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.safetensors")}

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(RunError, match=r"cannot be written: No space left on device .*unchanged"):
        train(tiny, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.safetensors")} == before
    monkeypatch.undo()
    assert train(tiny, tmp_path)["epochs"] == 2


def test_early_stopping_keeps_the_best_epoch(tiny: Path, tmp_path: Path) -> None:
    changes = [("epochs", 30), ("minival", 10), ("patience", 3), ("average", None), ("optimizer.lr", 0.3)]
    recipe = change(RECIPE, changes)
    row = train(tiny, tmp_path, recipe=recipe)
    table = [line.split(",") for line in (tmp_path / "log.csv").read_text().splitlines()]
    top1 = [float(line[table[0].index("held_out_top1")]) for line in table[1:]]
    assert row["best_epoch"] == top1.index(max(top1)) + 1
    assert row["epochs"] == len(top1) == row["best_epoch"] + 3
    scores = runs.evaluate(read_trained(tmp_path), tiny / "images")
    assert scores.top1 == pytest.approx(row["top1"], abs=1e-6)


def test_killed_by_a_signal_the_installed_command_goes_on(tiny: Path, tmp_path: Path) -> None:
    words = ["train", "net.yaml", "--data", "images", "--recipe", "small_images", "--epochs", "24", "--batch-size", "8"]
    command = [
        sys.executable,
        "-m",
        "scalenet_cli",
        *words,
        "--threads",
        "1",
        "--checkpoint-every",
        "5",
        "-o",
        str(tmp_path / "run"),
    ]
    process = subprocess.Popen(command, cwd=tiny, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(checkpoints(tmp_path / "run" / "checkpoints")) < 2:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = subprocess.run([*command, "--json"], cwd=tiny, capture_output=True, text=True, check=True)
    assert "going on after step" in again.stderr
    assert json.loads(again.stdout)[0]["epochs"] == 24
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert environment["command"].startswith("scalenet train net.yaml --data images")
