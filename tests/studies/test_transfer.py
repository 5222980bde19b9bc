"""Fine-tuning models on several data sets: what is chosen, compared, kept, and gone on with."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from noisy_images import write_images

import scalenet
from scalenet.arch.config import Config, load_config
from scalenet.studies.transfer import Transfers, params_of_body
from scalenet.training.checkpoint import About, Imported, read_trained, write_weights
from scalenet.training.data import stream
from scalenet.training.recipe import load_recipe
from scalenet.training.runs import training_plan
from scalenet.training.selection import select
from scalenet.training.sources import find_source

NETWORK = """\
schema: scalenet/1
name: tiny
model:
  resolution: 8
  activation: relu
  norm: {kind: batchnorm}
  stem: {kind: conv, width: WIDTH, kernel: 3, stride: 2}
  stages:
  - {block: basic, depth: 1, width: WIDTH, stride: 1}
  head: {kind: linear, classes: 5}
"""
CPU = ("--device", "cpu")
OPTIONS: dict[str, Any] = {
    "epochs": 1,
    "batch_size": 16,
    "learning_rates": [0.01, 0.1],
    "weight_decays": [1e-4],
    "seeds": 2,
    "device": "cpu",
    "workers": 0,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two models and two folders of images."""
    folder = tmp_path_factory.mktemp("transfer")
    for name, width in (("small", "4"), ("large", "8")):
        (folder / name).mkdir()
        (folder / "net.yaml").write_text(NETWORK.replace("WIDTH", width))
        model = load_config(folder / "net.yaml").model
        config = Config(schema="scalenet/1", name=name, model=model)
        plan = Imported(schema="scalenet-import/1", config=config, classes=tuple("abcde"), source="a test", file="-")
        about = About(schema="scalenet-weights/1", plan=plan, mean=(128.0,) * 3, deviation=(64.0,) * 3)
        write_weights(folder / name / "model.safetensors", scalenet.build(config).state_dict(), about)
    write_images(folder / "two", {"dark": 80, "light": 170}, 30, size=10)
    write_images(folder / "three" / "train", {"black": 20, "grey": 120, "white": 230}, 20, size=10)
    write_images(folder / "three" / "val", {"black": 20, "grey": 120, "white": 230}, 5, size=10, seed=1)
    return folder


@pytest.fixture(scope="module")
def whole(place: Path) -> tuple[Transfers, list[str]]:
    """Return an uninterrupted transfer, and what it said."""
    said = list[str]()
    found = scalenet.transfer(
        [place / "small", place / "large"],
        [place / "two", place / "three"],
        folder=place / "whole",
        say=said.append,
        **OPTIONS,
    )
    return found, said


def test_each_model_gets_the_rate_that_is_best_for_it_on_images_of_the_training(whole: Any) -> None:
    found, said = whole
    assert (found.models, found.data) == (("small", "large"), ("two", "three"))
    for data in found.data:
        for model in found.models:
            rows = [row for row in found.trainings if (row["data"], row["model"]) == (data, model)]
            tried = [row for row in rows if row["seed"] is None]
            assert [row["learning_rate"] for row in tried] == [0.01, 0.1]
            assert all(row["accuracy"] is None for row in tried)  # the held-out images choose nothing
            best = min(tried, key=lambda row: row["loss"])["learning_rate"]
            final = [row for row in rows if row["seed"] is not None]
            assert [(row["seed"], row["learning_rate"]) for row in final] == [(0, best), (1, best)]
    assert "two: 54 images to train on, 6 held out" in said[0]
    assert any("16 of 16" in line and "left" not in line for line in said)
    assert any("a better one may lie beyond" in line for line in said)


def test_the_same_call_trains_nothing_and_more_seeds_only_those(whole: Any, place: Path) -> None:
    found, _ = whole
    said = list[str]()
    models, data = [place / "small", place / "large"], [place / "two", place / "three"]
    again = scalenet.transfer(models, data, folder=place / "whole", say=said.append, **OPTIONS)
    assert again.trainings == found.trainings
    assert not any(" of 16: " in line for line in said)
    more = scalenet.transfer(models, data, folder=place / "whole", say=said.append, **{**OPTIONS, "seeds": 3})
    assert sum(" of 20: " in line for line in said) == 4
    assert {row["seeds"] for row in more.table()} == {3}


def test_a_transfer_that_was_stopped_ends_as_one_that_was_not(whole: Any, place: Path) -> None:
    found, _ = whole
    models = [place / "small", place / "large"]

    def stop(line: str) -> None:
        if line.startswith("3 of 8"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scalenet.transfer(models, [place / "three"], folder=place / "stopped", say=stop, **OPTIONS)
    log = place / "stopped" / "trainings.jsonl"
    log.write_text(log.read_text() + '{"data": "tw')  # as a kill leaves a line
    again = scalenet.transfer(models, [place / "three"], folder=place / "stopped", say=None, **OPTIONS)
    assert again.trainings == tuple(row for row in found.trainings if row["data"] == "three")
    files = [again.save(place / name) for name in ("one", "two_of_them")]
    for first, second in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_another_transfer_is_not_mixed_in(whole: Any, place: Path) -> None:
    with pytest.raises(scalenet.ScalenetError, match="holds another transfer: 'epochs: 1' there, 'epochs: 2' here"):
        scalenet.transfer(
            [place / "small", place / "large"],
            [place / "two", place / "three"],
            folder=place / "whole",
            say=None,
            **{**OPTIONS, "epochs": 2},
        )


def test_results_of_other_images_of_the_same_name_are_not_taken(whole: Any, place: Path, tmp_path: Path) -> None:
    models = [place / "small", place / "large"]
    other = shutil.copytree(place / "three", tmp_path / "three")
    options: dict[str, Any] = {"folder": tmp_path / "kept", "say": None, **OPTIONS}
    shutil.copytree(place / "whole", tmp_path / "kept")
    moved = scalenet.transfer(models, [place / "two", other], **options)
    assert moved.table() == scalenet.transfer(models, [place / "two", place / "three"], **options).table()
    shutil.copy(other / "train" / "black" / "001.png", other / "train" / "black" / "000.png")
    with pytest.raises(scalenet.ScalenetError, match=r"holds another transfer: images\.digest of three differ"):
        scalenet.transfer(models, [place / "two", other], **options)

    record = tmp_path / "kept" / "transfer.yaml"
    lines = record.read_text().splitlines(keepends=True)
    record.write_text("".join(line for line in lines if not line.startswith("digests:")))  # as it was before
    former = scalenet.transfer(models, [place / "two", other], **options)
    assert former.table() == moved.table()


def test_held_out_images_that_a_model_was_trained_on_before_are_counted(place: Path, tmp_path: Path) -> None:
    known, source = read_trained(place / "small"), find_source(place / "two")
    recipe = load_recipe("small_images")
    splits = stream(select(source, seed=1))
    plan = training_plan(scalenet.load(place / "net.yaml"), splits, recipe, seed=1)
    network = scalenet.build(plan.config)
    write_weights(tmp_path / "model.safetensors", network.state_dict(), known.about.changed(plan=plan))
    said = list[str]()
    options: dict[str, Any] = {**OPTIONS, "learning_rates": [0.01], "seeds": 1, "say": said.append}
    found = scalenet.transfer([tmp_path], [place / "two"], folder=tmp_path / "kept", **options)
    first, second = (select(source, seed=seed).validation for seed in (0, 1))
    seen = sum(file not in second[name] for name, files in first.items() for file in files)
    assert found.table()[0]["seen"] == seen > 0
    assert f"{seen} of the 6 held-out images of two were training images of {tmp_path}" in said[1]


def test_ratios_and_their_means_are_as_the_papers() -> None:
    rows = [
        {"data": data, "model": model, "learning_rate": 0.1, "weight_decay": 0.0, "seed": seed, "accuracy": accuracy}
        for data, model, accuracies in (
            ("x", "a", (0.9, 0.8)),
            ("x", "b", (0.95, 0.95)),
            ("y", "a", (0.6, 0.6)),
            ("y", "b", (0.2, None)),
        )
        for seed, accuracy in enumerate(accuracies)
    ]
    found = Transfers(("a", "b"), ("x", "y"), {"a": 400, "b": 100}, {"a": 8, "b": 4}, tuple(rows))
    table = found.table()
    assert [row["accuracy"] for row in table] == pytest.approx([0.85, 0.95, 0.6, 0.1])
    assert [row["params_ratio"] for row in table] == [1, 4, 1, 4]
    assert table[1]["gain"] == pytest.approx(0.1)
    assert table[1]["gain_interval"] == pytest.approx(12.706 * 0.05, rel=1e-4)  # Student's t of one degree
    first, second = found.means()
    assert first["error_ratio"] == 1
    assert second["error_ratio"] == pytest.approx(math.sqrt((0.05 / 0.15) * (0.9 / 0.4)))
    assert second["smaller"] == 4


@pytest.mark.parametrize("name", ["efficientnet_b0", "resnet18", "mobilenet_v3_small"])
def test_the_classifier_is_left_out_of_the_parameters(name: str) -> None:
    network = scalenet.build(scalenet.load(name), classes=1000)
    own = sum(value.numel() for key, value in network.named_parameters() if not key.startswith("head.classifier"))
    assert params_of_body(scalenet.load(name).network) == own


def test_of_a_factory_it_is_left_out_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "examples" / "own_network"))
    network = scalenet.load("plain:mixer")
    own = [value.numel() for key, value in scalenet.build(network).named_parameters() if not key.startswith("head")]
    assert params_of_body(network.network) == sum(own)


WRONG: list[tuple[list[str], int, str]] = [
    (["small"], 2, "no images are given"),
    (["nowhere", "--data", "two"], 2, "nowhere"),
    (["small", "--data", "nowhere"], 2, "nowhere"),
    (["small", "--data", "two", "--data", "two"], 2, "two folders of images are called two"),
    (["small", "--data", "two", "--learning-rates", "fast"], 2, "--learning-rates 'fast' are no numbers"),
    (["small", "--data", "two", "--held-out", "2"], 2, "held"),
    (["small", "--data", "two", "--recipe", "finetun"], 2, "finetune"),
    (["small", "--data", "two", "--learning-rates", "1e30", "--epochs", "1"], 3, "diverged"),
]


@pytest.mark.parametrize(("arguments", "code", "said"), WRONG)
def test_what_is_asked_wrongly_is_one_line(
    place: Path, arguments: list[str], code: int, said: str, tmp_path: Path, monkeypatch: Any, capfd: Any
) -> None:
    from scalenet_cli.main import main

    monkeypatch.chdir(place)
    monkeypatch.setattr("sys.argv", ["scalenet", "transfer", *arguments, "-o", str(tmp_path), "--workers", "0"])
    with pytest.raises(SystemExit) as stopped:
        main()
    shown = capfd.readouterr().err
    assert stopped.value.code == code, shown
    assert said in shown
    assert "Traceback" not in shown


def test_the_command_prints_the_table(whole: Any, place: Path, monkeypatch: Any, capfd: Any) -> None:
    from scalenet_cli.main import main

    found, _ = whole
    options = (
        "--epochs 1 --batch-size 16 --learning-rates 0.01,0.1 --weight-decays 1e-4 --seeds 2 --workers 0 --device cpu"
    )
    command = ["scalenet", "transfer", "small", "large", "--data", "two", "--data", "three", *options.split(), *CPU]
    monkeypatch.chdir(place)
    monkeypatch.setattr("sys.argv", [*command, "-o", "whole", "--json"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    printed = json.loads(capfd.readouterr().out)
    assert printed["rows"] == json.loads(json.dumps(found.table()))
    assert (place / "whole" / "transfer.svg").read_text().count("two") > 0
