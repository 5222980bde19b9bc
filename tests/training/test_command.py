"""`scalenet train`, `evaluate` and `recipes` as a user types them."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import yaml
from PIL import Image
from safetensors.torch import load_file
from scalenet_cli.main import app
from typer.testing import CliRunner

from scalenet.training.selection import select
from scalenet.training.sources import find_source

if TYPE_CHECKING:
    from pathlib import Path

FAST = ["--recipe", "small_images", "--batch-size", "16", "--threads", "1"]


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def run(folder: Path, *words: object, **environment: str) -> Done:
    """Run a command in this process: loading torch takes longer than these trainings."""
    with contextlib.chdir(folder):
        result = CliRunner().invoke(app, list(map(str, words)), env=environment)
    return Done(result.exit_code, result.stdout, result.stderr)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture(scope="module")
def trained(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    output = tmp_path_factory.mktemp("trained") / "run"
    done = run(tiny, "train", "net.yaml", "--data", "images", *FAST, "--epochs", "6", "-o", output)
    assert done.returncode == 0, done.stderr
    return output, rows(done.stdout)[0]


def test_the_folder_of_a_training_is_complete(trained, tiny):
    output, row = trained
    assert float(row["top1"]) > 0.8, "light and dark squares are easy"
    assert {path.name for path in output.iterdir()} >= {
        "config.yaml",
        "recipe.yaml",
        "environment.json",
        "log.csv",
        "curves.png",
        "model.safetensors",
        "MODEL_CARD.md",
        "checkpoints",
    }
    recipe = yaml.safe_load((output / "recipe.yaml").read_text())
    assert (recipe["name"], recipe["epochs"], recipe["batch_size"]) == ("small_images", 6, 16)
    assert run(tiny, "cost", output / "config.yaml").returncode == 0
    log = rows((output / "log.csv").read_text())
    assert [int(line["epoch"]) for line in log] == list(range(1, 7))
    assert float(log[-1]["loss"]) < float(log[0]["loss"])
    with Image.open(output / "curves.png") as curves:
        assert curves.size == (960, 320)
    card = (output / "MODEL_CARD.md").read_text()
    assert f"{100 * float(row['top1']):.2f} % of 12 held-out images" in card
    environment = json.loads((output / "environment.json").read_text())
    assert environment["plan"]["classes"] == ["dark", "light"]
    assert environment["command"].split()[0] == "scalenet"
    assert environment["processes"] == 1


def test_evaluation_gives_the_figure_of_the_training(trained, tiny, tmp_path):
    output, row = trained
    done = run(tiny, "evaluate", output, "--data", "images", "--confusion", tmp_path / "c.csv", "--json")
    found = json.loads(done.stdout)
    assert (found["images"], found["top1"], found["loss"]) == (12, float(row["top1"]), float(row["loss"]))
    table = list(csv.reader((tmp_path / "c.csv").read_text().splitlines()))
    assert table[0] == ["class", "dark", "light"]
    assert sum(int(n) for line in table[1:] for n in line[1:]) == 12
    assert int(table[1][1]) + int(table[2][2]) == round(12 * found["top1"])
    assert [(line["class"], line["images"]) for line in found["classes"]] == [("dark", 6), ("light", 6)]


def test_evaluation_of_other_images_sizes_crops_and_checkpoints(trained, tiny):
    output, _ = trained
    whole = run(tiny, "evaluate", output, "--data", "images", "--part", "all")
    assert (rows(whole.stdout)[0]["images"], "120 images: all ones" in whole.stderr) == ("120", True)
    newest = max((output / "checkpoints").iterdir())
    other = run(tiny, "evaluate", newest, "--data", "images", "--resolution", "12", "--crop", "0.8", "--per-class")
    assert [line["class"] for line in rows(other.stdout)] == ["dark", "light"]


def test_held_out_images_are_drawn_again_from_the_images_of_the_training_alone(trained, tiny, tmp_path):
    output, row = trained
    copy = shutil.copytree(tiny / "images", tmp_path / "renamed")
    done = run(tiny, "evaluate", output, "--data", copy, "--json")
    assert json.loads(done.stdout)["remarks"] == ["12 images: the held-out (drawn again) ones of renamed"]
    assert json.loads(done.stdout)["top1"] == float(row["top1"])

    changed = shutil.copytree(copy, tmp_path / "images")
    (changed / "dark" / "000.png").unlink()
    done = run(tiny, "evaluate", output, "--data", changed, "--json")
    all_, doubt = json.loads(done.stdout)["remarks"]
    assert all_ == "119 images: all ones of images"
    assert "may have been trained on some of these: images is not what it was then (images.digest differ)" in doubt
    assert doubt in done.stderr
    refused = run(tiny, "evaluate", output, "--data", changed, "--part", "held-out")
    assert refused.returncode == 2
    assert "images: has no held-out images, and is not what " in refused.stderr
    assert "--part all evaluates all of them" in refused.stderr


def test_they_are_drawn_again_also_of_a_part_with_a_minival_and_of_data_with_broken_files(tiny, tmp_path):
    data = shutil.copytree(tiny / "images", tmp_path / "images")
    words = ["train", "net.yaml", "--data", data, *FAST, "--epochs", "1", "--set", "minival=8", "--seed", "3"]
    limited = ["--images", "64", "--cache", "none", "--workers", "0", "-o", tmp_path / "limited"]
    assert run(tiny, *words, *limited).returncode == 0
    (data / "dark" / "001.png").write_bytes(b"no image")
    assert run(tiny, *words, "-o", tmp_path / "broken").returncode == 0
    done = run(tiny, "evaluate", tmp_path / "broken", "--data", data)
    assert "12 images: the held-out (drawn again) ones of images" in done.stderr
    done = run(tiny, "evaluate", tmp_path / "limited", "--data", data)
    assert "120 images: all ones of images" in done.stderr
    shutil.copy(tiny / "images" / "dark" / "001.png", data / "dark")
    done = run(tiny, "evaluate", tmp_path / "limited", "--data", data)
    assert "12 images: the held-out (drawn again) ones of images" in done.stderr


def test_the_same_command_again_trains_nothing_and_says_the_same(trained, tiny):
    output, row = trained
    weights = (output / "model.safetensors").read_bytes()
    again = run(tiny, "train", "net.yaml", "--data", "images", *FAST, "--epochs", "6", "-o", output)
    assert {**rows(again.stdout)[0], "seconds": ""} == {**row, "seconds": ""}
    assert "going on after step 36 of 36" in again.stderr
    assert (output / "model.safetensors").read_bytes() == weights


def test_what_is_asked_wrongly_trains_nothing_and_discards_nothing(trained, tiny, tmp_path):
    output = shutil.copytree(trained[0], tmp_path / "run")
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    words = ["train", "net.yaml", *FAST, "--epochs", "1", "--force", "-o"]
    assert run(tiny, *words, output, "--data", "nowhere").returncode == 2
    assert run(tiny, *words, output, "--data", "images", "--init", "nowhere").returncode == 2
    other = tmp_path / "other.yaml"
    other.write_text((tiny / "net.yaml").read_text().replace("width: 4", "width: 8"))
    refused = run(tiny, "train", other, *words[2:], output, "--data", "images", "--init", trained[0])
    assert (refused.returncode, "another network" in refused.stderr) == (2, True)
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before
    assert run(tiny, *words, tmp_path / "two", "--data", "images", "--data", "nowhere").returncode == 2
    assert not (tmp_path / "two").exists()


def test_a_folder_holds_one_training_and_force_removes_only_its_files(trained, tiny, tmp_path):
    words = ["train", "net.yaml", "--data", "images", *FAST, "--epochs", "1", "-o", tmp_path]
    assert run(tiny, *words).returncode == 0
    (tmp_path / "mine.txt").write_text("kept")
    refused = run(tiny, *words, "--set", "optimizer.lr=0.01")
    assert refused.returncode == 2
    assert "holds another training: recipe.optimizer.lr differ" in refused.stderr
    assert run(tiny, *words, "--set", "optimizer.lr=0.01", "--force").returncode == 0
    assert (tmp_path / "mine.txt").read_text() == "kept"


def test_a_folder_of_ones_own_is_left_alone(tiny, tmp_path):
    (tmp_path / "config.yaml").write_text("mine")
    refused = run(tiny, "train", "net.yaml", "--data", "images", *FAST, "-o", tmp_path)
    assert (refused.returncode, "config.yaml: is no training's" in refused.stderr) == (2, True)
    assert (tmp_path / "config.yaml").read_text() == "mine"


def test_flags_come_before_the_environment_and_that_before_the_file(tiny, tmp_path):
    environment = {"SCALENET_SET": "optimizer.lr=0.03 epochs=2", "SCALENET_RECIPE": "small_images"}
    words = [
        "train",
        "net.yaml",
        "--data",
        "images",
        "--threads",
        "1",
        "--set",
        "optimizer.momentum=0.5",
        "-o",
        tmp_path,
    ]
    done = run(tiny, *words, "--epochs", "1", **environment)
    assert done.returncode == 0, done.stderr
    recipe = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    assert (recipe["name"], recipe["epochs"]) == ("small_images", 1)
    assert (recipe["optimizer"]["lr"], recipe["optimizer"]["momentum"]) == (0.03, 0.5)


def test_held_out_images_that_the_weights_to_start_from_were_trained_on_are_counted(trained, tiny, tmp_path):
    words = ["train", "net.yaml", "--init", trained[0], "--epochs", "1", "--batch-size", "64", "--json"]
    part = ["--data", "images", "--seed", "1"]
    done = run(tiny, *words, *part, "-o", tmp_path / "other")
    seen = json.loads(done.stdout)[0]["seen"]
    first, second = (select(find_source(tiny / "images"), seed=seed).validation for seed in (0, 1))
    assert seen == sum(file not in first[name] for name, found in second.items() for file in found) > 0
    assert f"{seen} of the 12 held-out images of images were training images of {trained[0]}" in done.stderr
    assert f"**{seen} of the 12 held-out images were training" in (tmp_path / "other" / "MODEL_CARD.md").read_text()
    done = run(tiny, *words, "--data", "images", "-o", tmp_path / "same")
    assert json.loads(done.stdout)[0]["seen"] == 0
    assert "were training images" not in done.stderr + (tmp_path / "same" / "MODEL_CARD.md").read_text()


def test_fine_tuning_on_several_data_sets_gives_a_table(trained, tiny, tmp_path):
    output, _ = trained
    words = ["train", "net.yaml", "--init", output, "--data", "others", "--data", "images", "--epochs", "2"]
    done = run(tiny, *words, "--threads", "1", "--set", "optimizer.body=0", "-o", tmp_path / "tuned")
    assert done.returncode == 0, done.stderr
    table = rows(done.stdout)
    assert [(row["data"], row["classes"]) for row in table] == [("others", "3"), ("images", "2")]
    before = load_file(output / "model.safetensors")
    after = load_file(tmp_path / "tuned" / "others" / "model.safetensors")
    assert after["head.classifier.weight"].shape == (3, 4)
    # A rate of nought leaves the body as it was.
    assert all((before[name] == after[name]).all() for name in before if name.endswith("conv.weight"))
    card = (tmp_path / "tuned" / "others" / "MODEL_CARD.md").read_text()
    assert "Started from the weights with sha256:" in card


@pytest.fixture
def damaged(tiny, tmp_path):
    """Return a copy of the images with one broken file and one cut short."""
    folder = tmp_path / "damaged"
    for name in ("dark", "light"):
        (folder / name).mkdir(parents=True)
        for file in sorted((tiny / "images" / name).iterdir())[:30]:
            (folder / name / file.name).write_bytes(file.read_bytes())
    (folder / "dark" / "000.png").write_bytes(b"no image")
    (folder / "light" / "001.png").write_bytes((folder / "light" / "001.png").read_bytes()[:60])
    return folder


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_broken_images_are_named_or_refused(damaged, tiny, tmp_path, cache):
    words = ["train", "net.yaml", "--data", damaged, *FAST, "--epochs", "2", "--cache", cache, "--workers", "1"]
    done = run(tiny, *words, "-o", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "skipped dark/000.png: not an image that can be read" in done.stderr
    assert "skipped light/001.png: " in done.stderr
    refused = run(tiny, *words, "--strict", "-o", tmp_path / "strict")
    assert refused.returncode == 2
    assert "broken files" in refused.stderr


def test_images_left_encoded_train_the_same_twice(tiny, tmp_path):
    words = ["train", "net.yaml", "--data", "others", *FAST, "--epochs", "2", "--cache", "none", "--workers", "2"]
    changes = ["--set", "augmentation.area=[0.5,1]", "--set", "augmentation.policy=randaugment"]
    for name, workers in (("one", "1"), ("two", "0")):
        done = run(tiny, *words, *changes, "--workers", workers, "-o", tmp_path / name)
        assert done.returncode == 0, done.stderr
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two


def test_a_training_that_diverges_says_where_and_keeps_no_broken_weights(tiny, tmp_path):
    words = ["train", "net.yaml", "--data", "images", *FAST, "--checkpoint-every", "1"]
    broken = ["--set", "optimizer.lr=1e38", "--set", "average=null"]
    done = run(tiny, *words, *broken, "-o", tmp_path / "at-once")
    assert done.returncode == 3
    assert "diverged at step" in done.stderr
    assert "try a learning rate below 1e+38" in done.stderr
    assert "Traceback" not in done.stderr
    kept = sorted((tmp_path / "at-once").glob("checkpoints/*"))
    assert (f"the newest checkpoint, {kept[-1].name}" if kept else "no checkpoint is older") in done.stderr
    assert all(value.isfinite().all() for file in kept for name, value in load_file(file).items() if "weights" in name)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "resnt18"], "did you mean 'resnet18'"),
        (["train", "net.yaml", "--recipe", "eficientnet"], "did you mean 'efficientnet'"),
        (["train", "net.yaml", "--set", "optimizer.lrr=1"], "did you mean 'lr'"),
        (["train", "net.yaml", "--set", "epochs"], "write key=value"),
        (["train", "net.yaml", "--cache", "memry"], "did you mean 'memory'"),
        (["train", "net.yaml", "--data", "nowhere"], "nowhere: no such directory"),
        (["train", "net.yaml", "--data", "net.yaml"], "net.yaml: is a file"),
        (["train", "net.yaml", "--data", "images", "--layout", "clases"], "did you mean 'classes'"),
        (["train", "net.yaml", "--layout", "classes"], "--layout is for the images of --data"),
        (["train", "net.yaml", "--data", "images", "--layout", "shards"], "images: no tar shards"),
        (["train", "net.yaml", "--data", "images", "--layout", "cifar"], "unpack CIFAR's binary version"),
        (["train", "net.yaml", "--data", "images", "--data", "images"], "have the same name"),
        (["train", "net.yaml", "--data", "images", "--init", "nowhere"], "nowhere: no such file"),
        (["train", "net.yaml", "--data", "images", "--device", "tpu"], "tpu"),
        (["train", "net.yaml", "-o", "net.yaml"], "net.yaml: is a file"),
        (["train", "efficientnet_b0"], "the embedded images are for small networks"),
        (["train", "net.yaml", "--data", "images", "--held-out", "2"], "between 0 and 1"),
        (["evaluate", "nowhere"], "nowhere: no such file"),
        (["evaluate", "net.yaml"], "no safetensors file"),
        (["evaluate", "net.yaml", "--part", "train"], "known: held-out, all"),
        (["evaluate", "net.yaml", "--crop", "1.5"], "crop 1.5 is no share"),
        (["recipes", "searh"], "did you mean 'search'"),
    ],
)
def test_what_is_asked_wrongly_is_one_plain_line_and_code_2(tiny, tmp_path, words, said):
    output = ["-o", str(tmp_path)] if words[0] == "train" and "-o" not in words else []
    done = run(tiny, *words, *output)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_classes_that_the_weights_do_not_know_are_named(trained, tiny):
    done = run(tiny, "evaluate", trained[0], "--data", "others")
    assert (done.returncode, "was not trained on: black, grey, white" in done.stderr) == (2, True)


def test_weights_of_another_network_are_refused(trained, tiny, tmp_path):
    words = ["train", "small_resnet", "--init", trained[0], "--data", "images", "-o", tmp_path]
    done = run(tiny, *words)
    assert (done.returncode, "weights of tiny, another network" in done.stderr) == (2, True)


def test_recipes_are_listed_and_printed_to_be_copied(tiny, tmp_path):
    names = {row["name"] for row in rows(run(tiny, "recipes").stdout)}
    assert names >= {"efficientnet", "resnet", "mobilenet", "search", "finetune"}
    shipped = run(tiny, "recipes", "finetune").stdout
    (tmp_path / "own.yaml").write_text(shipped)
    assert run(tiny, "recipes", tmp_path / "own.yaml").stdout == shipped
    assert json.loads(run(tiny, "recipes", "search", "--json").stdout)["epochs"] == 5


def test_tensorboard_gets_the_curves_where_it_is_installed(tiny, tmp_path):
    pytest.importorskip("tensorboard")
    run(tiny, "train", "net.yaml", "--data", "images", *FAST, "--epochs", "2", "-o", tmp_path)
    assert len(list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))) == 2


def test_lines_of_json_are_an_epochs_held_out_accuracy_and_the_result_at_the_end(tiny, tmp_path):
    words = ["train", "net.yaml", "--data", "images", *FAST, "--epochs", "3", "--json-lines"]
    done = run(tiny, *words, "--set", "evaluate_every=2", "-o", tmp_path / "run")
    *epochs, last = map(json.loads, done.stdout.splitlines())
    assert [line.keys() for line in epochs] == [{"epoch"}, {"epoch", "accuracy"}, {"epoch"}]
    assert [line["epoch"] for line in epochs] == [1, 2, 3]
    assert last["accuracy"] == last["top1"]
    assert last.keys() >= {"data", "loss", "seconds"}
    again = run(tiny, *words, "--set", "evaluate_every=2", "-o", tmp_path / "run")
    assert [json.loads(line) | {"seconds": 0} for line in again.stdout.splitlines()] == [last | {"seconds": 0}]


def test_with_lines_of_json_a_training_that_diverges_has_no_accuracy(tiny, tmp_path):
    words = ["train", "net.yaml", "--data", "images", *FAST, "--set", "optimizer.lr=1e30", "-o", tmp_path / "run"]
    done = run(tiny, *words, "--json-lines")
    assert (done.returncode, json.loads(done.stdout.splitlines()[-1])["accuracy"]) == (0, None)
    assert "training diverged at step" in done.stderr
    assert run(tiny, *words, "--force").returncode == 3
    assert "exclude each other" in run(tiny, *words, "--json", "--json-lines").stderr


def test_what_was_found_is_said_before_anything_runs_and_recorded(damaged, trained, tiny, tmp_path):
    (damaged / "dark" / "gone.jpg").symlink_to("nowhere")
    (damaged / os.fsdecode(b"caf\xe9.txt")).write_text("a name that is not UTF-8")
    words = ["train", "net.yaml", "--data", damaged, *FAST, "--epochs", "1", "--images", "40"]
    done = run(tiny, *words, "--json", "-o", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert said[0] == "damaged: class folders: to train on: 60 images of 2 classes: dark 30, light 30"
    assert said[1].endswith("git-annex that were not fetched (1): dark/gone.jpg")
    assert "to train on (14 more are left out), 6 held out; one held-out image is 16.7" in done.stderr
    found = {
        "layout": "folders",
        "train": {"dark": 30, "light": 30},
        "held_out": None,
        "left_out": {"other": [r"caf\udce9.txt"], "dangling": ["dark/gone.jpg"]},
    }
    assert json.loads(done.stdout)[0]["found"] == found
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["found"] == found
    judged = run(tiny, "evaluate", trained[0], "--data", damaged, "--json")
    assert json.loads(judged.stdout)["found"] == found
    for refused in (
        run(tiny, *words, "--strict", "-o", tmp_path / "strict"),
        run(tiny, "evaluate", trained[0], "--data", damaged, "--strict"),
    ):
        assert refused.returncode == 2
        assert "dark/gone.jpg without --strict they are left out" in " ".join(refused.stderr.split())


def test_folders_called_train_and_test_are_classes_where_that_is_said(tiny, tmp_path):
    for name, old in (("train", "dark"), ("test", "light")):
        shutil.copytree(tiny / "images" / old, tmp_path / "rail" / name)
    words = ["train", "net.yaml", "--data", tmp_path / "rail", *FAST, "--epochs", "1", "-o", tmp_path / "run"]
    refused = run(tiny, *words)
    assert refused.returncode == 2
    assert "test, train: named as splits" in refused.stderr
    assert "--layout classes" in refused.stderr
    done = run(tiny, *words, "--layout", "classes")
    assert done.returncode == 0, done.stderr
    assert "120 images of 2 classes: test 60, train 60" in done.stderr


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_a_training_goes_on_with_copied_images_and_not_with_another_one_of_the_same_name(tiny, tmp_path, cache):
    data = tmp_path / "images"
    shutil.copytree(tiny / "images", data)
    words = [*FAST, "--epochs", "2", "--cache", cache, "--workers", "0", "-o", tmp_path / "run"]
    assert run(tiny, "train", "net.yaml", "--data", data, *words).returncode == 0
    elsewhere = tmp_path / "elsewhere" / "images"
    shutil.copytree(data, elsewhere)
    for file in elsewhere.rglob("*.png"):
        os.utime(file, (0, 0))
    again = run(tiny, "train", "net.yaml", "--data", elsewhere, *words)
    assert again.returncode == 0, again.stderr
    assert "going on after step" in again.stderr
    one = elsewhere / "dark" / "007.png"
    # Decoded once, the contents count; left encoded, the sizes.
    one.write_bytes((elsewhere / "dark" / "008.png").read_bytes() + b"x" * (cache == "none"))
    refused = run(tiny, "train", "net.yaml", "--data", elsewhere, *words)
    assert refused.returncode == 2
    assert "images.digest differ" in refused.stderr
