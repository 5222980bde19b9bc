"""A job that was killed goes on where it was, and ends with the bits of one that was not."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import killing
import pytest

from scalenet.arch import files
from scalenet.arch.config import load_config
from scalenet.arch.errors import RunError
from scalenet.search.evaluators import Job, Report, Result
from scalenet.search.evaluators import train as evaluation
from scalenet.search.evaluators.train import Train
from scalenet.training import runs
from scalenet.training.loop import Training
from scalenet.training.recipe import change, load_recipe

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = change(load_recipe("search"), [("epochs", 3), ("batch_size", 16)])
STEPS = 3 * 6

# One process imports torch; its forks evaluate a job, and kill themselves after a step, or while a checkpoint is
# written: before and after it gets its name.
DRIVER = """
import json, os, random, sys
import torch
import torch._dynamo  # optimisers import it, slowly
torch.set_num_threads(1)
from dataclasses import asdict
from pathlib import Path
from killing import die, die_at_write
from scalenet.arch.config import load_config
from scalenet.search.evaluators.train import Train
from scalenet.search.evaluators import Job
from scalenet.training import runs
from scalenet.training.recipe import change, load_recipe

net, data, folder = map(Path, sys.argv[1:])
recipe = change(load_recipe("search"), [("batch_size", 24)])
splits = runs.read_images(data, recipe=recipe, resolution=(8, 8), reading=runs.Reading(seed=0))

def evaluated(name, *, step=None, write=None):
    child = os.fork()
    if child:
        return child
    die_at_write(write, chooser)
    reports = []
    def tell(report):
        reports.append(report)
        if len(reports) == step:
            die()
    job = Job(name, load_config(net), net, 3, 4, folder / name)
    result = Train(splits, recipe, every=0.0).evaluate(job, tell)
    (folder / f"{os.getpid()}.json").write_text(json.dumps([result.accuracy, result.loss, result.images]))
    os._exit(0)

def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def found(child):
    assert ended(child) == 0
    return (folder / f"{child}.json").read_text()

chooser, killed = random.Random(0), 0
whole = found(evaluated("whole"))
for number in range(60):
    how = {"write": chooser.randint(1, 3)} if number % 3 == 2 else {"step": chooser.randint(1, 2)}
    child = evaluated("killed", **how)
    if ended(child) == 0:
        break
    killed += 1
pair = [evaluated("pair"), evaluated("pair")]
print(json.dumps([killed, whole, (folder / f"{child}.json").read_text(), *map(found, pair)]))
"""


class StoppedError(Exception):
    """Ends an evaluation from within."""


@pytest.fixture(scope="module")
def train(tiny: Path) -> Train:
    """Return an evaluator that keeps a checkpoint after every step."""
    splits = runs.read_images(tiny / "images", recipe=RECIPE, resolution=(8, 8), reading=runs.Reading(seed=0))
    return Train(splits, RECIPE, every=0.0)


@pytest.fixture
def job(tiny: Path, tmp_path: Path) -> Job:
    return Job("tiny", load_config(tiny / "net.yaml"), tiny / "net.yaml", 1, None, tmp_path / "job")


def evaluate(train: Train, job: Job, *, stop: int | None = None) -> tuple[Result, list[Report]]:
    reports: list[Report] = []

    def tell(report: Report) -> None:
        reports.append(report)
        if stop is not None and report.done >= RECIPE.epochs * stop / STEPS:
            raise StoppedError

    return replace(train.evaluate(job, tell), seconds=0.0), reports


def stopped(train: Train, job: Job, step: int) -> Path:
    """Stop an evaluation after a step, and return its checkpoint."""
    with pytest.raises(StoppedError):
        evaluate(train, job, stop=step)
    (file,) = job.folder.iterdir()
    return file


@pytest.fixture(scope="module")
def whole(train: Train, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Return the result of a job that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole") / "job"
    return evaluate(train, Job("tiny", load_config(tiny / "net.yaml"), tiny / "net.yaml", 1, None, folder))[0]


@pytest.mark.parametrize("step", [2, 6, 7, 17, 18])
def test_stopped_after_any_step_it_goes_on_to_the_same_bits(train, job, whole, step):
    stopped(train, job, step)
    result, reports = evaluate(train, job)
    assert result == whole
    assert reports[0].done >= RECIPE.epochs * (step - 1) / STEPS, "what was kept is not trained again"
    assert list(job.folder.iterdir()) == []


def test_stopped_again_and_again_with_a_curve_moving_averages_and_policies(train, job):
    changes = [("average", {"kind": "ema", "decay": 0.9}), ("augmentation.policy", "randaugment"), ("dropout", 0.3)]
    other = replace(train, recipe=change(RECIPE, [*changes, ("evaluate_every", 1), ("minival", 10)]))
    expected, reports = evaluate(other, job)
    assert [report.done for report in reports if report.accuracy is not None] == [1, 2, 3]
    for step in (1, 5, 6, 12, 13):
        stopped(other, job, step)
    assert evaluate(other, job)[0] == expected


def test_a_curve_of_some_held_out_images_changes_nothing(train, job, whole, monkeypatch: pytest.MonkeyPatch):
    _, reports = evaluate(train, job)
    curve = [report for report in reports if report.accuracy is not None]
    assert [report.done for report in curve] == [1, 2, 3]
    assert {round(12 * report.accuracy, 6) % 2 for report in curve} == {0.0}, "six of twelve images"
    monkeypatch.setattr(Training, "glimpse", lambda _: 0.0)
    assert evaluate(train, job)[0] == whole


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are killed")
def test_killed_at_random_moments_or_evaluated_twice_at_once_it_gives_the_same_bits(tiny, tmp_path):
    said = killing.run(DRIVER, *map(str, (tiny / "net.yaml", tiny / "images", tmp_path)))
    killed, first, *others = json.loads(said)
    assert killed >= 10
    assert others == [first] * 3


def test_time_says_when_a_training_is_kept_and_work_is_counted_once(train, job, whole):
    rare = replace(train, every=0.05)

    def tell(report: Report) -> None:
        time.sleep(0.03)
        if report.done >= 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        rare.evaluate(job, tell)
    result = replace(train, every=30.0).evaluate(job, lambda _: None)
    assert result.seconds > 0.2, "the first attempt's sleep"
    assert replace(result, seconds=0.0) == whole
    with pytest.raises(StoppedError):
        evaluate(replace(train, every=30.0), job, stop=10)
    assert list(job.folder.iterdir()) == []


def test_budgets_share_a_folder_and_not_a_checkpoint(train, job):
    short = replace(job, budget=2)
    expected = evaluate(train, replace(short, folder=job.folder.parent / "else"))[0]
    assert stopped(train, job, 9).name == "epochs-3.safetensors"
    assert evaluate(train, short)[0] == expected
    assert (job.folder / "epochs-3.safetensors").exists()


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    place = 3 * len(content) // 4  # in a tensor, where the format itself sees nothing
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("damage", [cut, flipped, lambda _: b"", lambda _: b"{}", lambda c: c + b"0"])
def test_a_damaged_checkpoint_is_not_taken(train, job, whole, damage):
    file = stopped(train, job, 9)
    file.write_bytes(damage(file.read_bytes()))
    result, reports = evaluate(train, job)
    assert (result, len(reports)) == (whole, STEPS + RECIPE.epochs)


@pytest.mark.parametrize("kind", ["recipe", "seed", "budget", "network", "images", "version"])
def test_a_checkpoint_of_another_training_is_not_taken(
    train, job, whole, tiny, tmp_path, kind, monkeypatch: pytest.MonkeyPatch
):
    other, foreign = train, replace(job, folder=tmp_path / "else")
    if kind == "recipe":
        other = replace(train, recipe=change(RECIPE, [("optimizer.lr", 0.01)]))
    if kind == "images":
        other = replace(train, splits=replace(train.splits, digest="sha256:0"))
    if kind == "seed":
        foreign = replace(foreign, seed=2)
    if kind == "budget":
        foreign = replace(foreign, budget=4)
    if kind == "network":
        model = job.config.model.at(10)
        foreign = replace(foreign, config=job.config.model_copy(update={"model": model}))
    if kind == "version":
        monkeypatch.setattr(evaluation, "__version__", "0.0.0")
    file = stopped(other, foreign, 9)
    monkeypatch.undo()
    file.rename(job.folder.parent / "kept")
    job.folder.mkdir()
    (job.folder.parent / "kept").rename(job.folder / "epochs-3.safetensors")
    result, reports = evaluate(train, job)
    assert (result, len(reports)) == (whole, STEPS + RECIPE.epochs)


def test_a_full_disk_is_said_and_the_checkpoint_survives(train, job, whole, monkeypatch: pytest.MonkeyPatch):
    file = stopped(train, job, 9)
    before = file.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(RunError, match=r"epochs-3\.safetensors: cannot be written: No space left .*unchanged") as error:
        evaluate(train, job)
    assert "\n" not in str(error.value)
    assert [path.read_bytes() for path in job.folder.iterdir()] == [before]
    monkeypatch.undo()
    assert evaluate(train, job)[0] == whole


def test_a_disk_without_room_for_a_name_is_full_too(train, job, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "open", full)
    with pytest.raises(RunError, match=r"epochs-3\.safetensors: cannot be written: No space left"):
        evaluate(train, job)


def test_a_file_that_may_not_grow_is_said_too(train, job, whole):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(RunError, match="cannot be written: File too large"):
            evaluate(train, job)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(job.folder.iterdir()) == []
    assert evaluate(train, job)[0] == whole


def test_a_training_that_diverges_leaves_no_checkpoint(train, job):
    other = replace(train, recipe=change(RECIPE, [("optimizer.lr", 1e30), ("schedule.warmup", 0.9)]))
    result, _ = evaluate(other, job)
    assert (result.accuracy, result.loss) == (None, None)
    assert not list(job.folder.glob("*"))


def test_what_a_killed_process_left_half_written_is_removed_once_it_is_old(train, job, whole):
    job.folder.mkdir()
    old, new = (job.folder / f".epochs-3.safetensors.{name}" for name in ("old_5678", "new_5678"))
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    assert evaluate(train, job)[0] == whole
    assert list(job.folder.iterdir()) == [new]
