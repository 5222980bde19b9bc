"""Folders of weights become folders at another scale, which every command takes; a smaller one keeps what does most."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from noisy_images import write_images
from scalenet_cli.main import app
from scales import CLASSES, drawn, network, outputs, trained
from typer.testing import CliRunner

import scalenet
from scalenet.arch.errors import RunError, ScalenetError
from scalenet.inheritance import carrying
from scalenet.training.checkpoint import read_trained, write_weights

if TYPE_CHECKING:
    from typer.testing import Result


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return a folder as an import writes it."""
    weights = trained(network("basic"))
    write_weights(tmp_path / "small" / "model.safetensors", weights.weights, weights.about)
    scalenet.save(weights.about.plan.config, tmp_path / "small" / "config.yaml")
    return tmp_path / "small"


def written(architecture: scalenet.Architecture, path: Path) -> Path:
    scalenet.save(architecture, path)
    return path


def test_what_is_written_is_taken_by_the_other_commands(small: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "images", dict.fromkeys(CLASSES, 90), 3, size=16)
    scaled = run("scale", "--base", small / "config.yaml", "--width", 1.5, "--depth", 2, "-o", tmp_path / "big.yaml")
    assert scaled.exit_code == 0, scaled.output
    done = run("inherit", small, "--config", tmp_path / "big.yaml", "-o", tmp_path / "big", "--json")
    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout)
    assert (row["added"], row["dropped"], row["channels_dropped"], row["classes"]) == (3, 0, 0, 3)
    assert max(row["difference"], row["training_difference"]) < 1e-9
    config = tmp_path / "big" / "config.yaml"
    assert config.read_bytes() == (tmp_path / "big.yaml").read_bytes()
    one, other = (
        run("evaluate", place, "--data", tmp_path / "images", "--json") for place in (small, tmp_path / "big")
    )
    before, after = (json.loads(found.stdout) for found in (one, other))
    assert after["loss"] == pytest.approx(before["loss"], abs=2e-6)
    assert after["classes"] == before["classes"]
    assert run("weights", "export", tmp_path / "big", "-o", tmp_path / "out").exit_code == 0


def test_the_page_works_as_it_is_shown(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "inherit.md").read_text(encoding="utf-8")
    write_images(tmp_path / "photos", {"rose": 60, "lily": 180}, 6, size=16)
    lines = [shlex.split(line) for line in re.findall(r"^\$ scalenet (.*)$", page, flags=re.MULTILINE)]
    assert [words[0] for words in lines] == ["train", "scale", "inherit", "train"]
    with contextlib.chdir(tmp_path):
        for words in lines:
            less = ["--epochs", 1, "--batch-size", 4, "--workers", 0] if words[0] == "train" else []
            done = run(*words, *less)
            assert done.exit_code == 0, f"{words}: {done.output}"
        for code in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
            exec(code, {"__name__": "__main__"})
    weights = read_trained(tmp_path / "runs" / "begun")
    assert weights.about.training == read_trained(tmp_path / "runs" / "base").about.plan
    assert read_trained(tmp_path / "runs" / "bigger").about.plan.init == weights.digest


def test_an_inheritance_says_what_it_came_from_and_can_be_inherited_again(small: Path, tmp_path: Path) -> None:
    for number, (old, depth) in enumerate([(small, 3), (tmp_path / "0", 4)]):
        scalenet.inherit(old, network("basic", depths=(depth, 1)), tmp_path / str(number), say=None)
    about, before = (read_trained(place).about for place in (tmp_path / "1", small))
    assert about.plan.inherited == ("net", "net")
    assert about.plan.file == read_trained(tmp_path / "0").digest
    assert about.plan.source == "inherited from net, a test"
    assert (about.plan.origin, about.normalization, about.scores) == (before.plan, before.normalization, None)


def test_the_classes_are_those_that_the_weights_know(small: Path, tmp_path: Path) -> None:
    said: list[str] = []
    found = scalenet.inherit(small, network("basic", stem=12).with_classes(7), tmp_path / "big", say=said.append)
    assert found.classes == 3
    assert "3 classes as before; net has 7" in said
    assert scalenet.load(tmp_path / "big" / "config.yaml").model.head.classes == 3


def test_a_new_size_of_images_is_said_to_change_outputs(small: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "images", dict.fromkeys(CLASSES, 90), 3, size=24)
    said: list[str] = []
    found = scalenet.inherit(
        small, network("basic", stem=12, pixels=24), tmp_path / "big", data=tmp_path / "images", say=said.append
    )
    assert found.difference is not None
    assert any("embedded images of 16 px, the size before, are kept" in line for line in said)
    assert found.statistics_images == 6
    assert "running statistics are estimated anew from 6 training images" in said
    assert None not in (found.before, found.after)
    assert read_trained(tmp_path / "big").about.preprocessing.size == 24


def test_numbers_of_places_are_resampled(tmp_path: Path) -> None:
    text = "{schema: scalenet/1, name: vit, model: {resolution: PX, activation: gelu, norm: {kind: layernorm}, "
    text += "stem: {kind: patch, width: W, stride: 4, then: positions}, "
    text += "stages: [{block: transformer, depth: 1, width: W, head_width: 4}], head: {kind: linear, classes: 3}}}"
    one, wide, large = (
        scalenet.load_config(written_text(text.replace("PX", px).replace("W", width), tmp_path / f"{px}{width}.yaml"))
        for px, width in (("16", "8"), ("16", "16"), ("24", "8"))
    )
    weights = trained(one.architecture())
    assert scalenet.inherit(weights, wide, tmp_path / "wide", say=None).training_difference < 1e-9
    said: list[str] = []
    assert scalenet.inherit(weights, large, tmp_path / "large", say=said.append).difference is None
    assert said[0] == "outputs are not kept: numbers of places are resampled to the new size of images"
    places = read_trained(tmp_path / "large").weights["stem.positions.weight"]
    assert places.shape == (8, 6, 6)
    mean = weights.weights["stem.positions.weight"].mean()
    assert float(places.mean()) == pytest.approx(float(mean), abs=5e-3)


def written_text(text: str, path: Path) -> Path:
    path.write_text(text)
    return path


def test_channels_that_do_nothing_are_the_first_to_go(tmp_path: Path) -> None:
    large, small = network("mbconv", stem=8, widths=(12, 20)), network("mbconv", stem=6, widths=(8, 16))
    module = drawn(large)
    state = module.state_dict()
    quiet = {"stem": (1, 5), "stages.0": (0, 2, 7, 11), "stages.1": (3, 4, 5, 19)}
    for name, value in state.items():  # the output of each block's last normalisation, and of the stem's
        stage = "stem" if name.startswith("stem.") else ".".join(name.split(".")[:2])
        last = name.startswith("stem.norm.") or ".project.norm." in name
        if last and name.endswith(("weight", "bias")):
            value[list(quiet[stage])] = 0
    found = scalenet.inherit(trained(large, module), small, tmp_path / "small", say=None)
    assert found.channels_dropped >= 2 + 4 + 4
    assert found.difference is None
    kept = [channel for channel in range(20) if channel not in quiet["stages.1"]]
    heir = read_trained(tmp_path / "small").weights
    assert torch.equal(heir["stages.1.0.main.project.norm.weight"], state["stages.1.0.main.project.norm.weight"][kept])
    assert torch.equal(heir["head.classifier.weight"], state["head.classifier.weight"][:, kept])


def test_a_block_that_does_nothing_is_the_first_to_go(tmp_path: Path) -> None:
    large, small = network("basic", depths=(4, 2)), network("basic", depths=(3, 2))
    module = drawn(large)
    for part in ("weight", "bias"):
        module.get_parameter(f"stages.0.2.main.conv2.norm.{part}").data.zero_()
    said: list[str] = []
    found = scalenet.inherit(trained(large, module), small, tmp_path / "small", say=said.append)
    assert found.dropped == 1
    assert said[0] == "left out: stages.0.2"
    assert said[-1] == "running statistics are the old network's; with --data they are estimated anew"
    torch.testing.assert_close(outputs(found.module(), small.model), outputs(module, large.model))


def test_a_network_may_grow_and_shrink_at_once(tmp_path: Path) -> None:
    found = scalenet.inherit(
        trained(network("dense", depths=(3, 2))), network("dense", stem=12, depths=(2, 3)), tmp_path / "other", say=None
    )
    assert (found.added, found.dropped) == (1, 1)
    assert found.channels_dropped > 0


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("mobilenet_v1", "mobilenet_v1: no scaling of FOLDER's net: stages is 5, not 2"),
        (network("mbconv"), "net: no scaling of FOLDER's net: stages[0].block is mbconv, not basic"),
        (
            network("basic").at(16).model.changed(channels=1),
            "network: no scaling of FOLDER's net: channels is 1, not 3",
        ),
        ("none.yaml", "none.yaml: no such file"),
    ],
)
def test_what_is_no_scaling_is_refused_with_the_first_difference(
    small: Path, tmp_path: Path, other: object, message: str
) -> None:
    with pytest.raises(ScalenetError) as caught:
        scalenet.inherit(small, other, tmp_path / "big", say=None)  # type: ignore[arg-type]
    assert caught.value.message == message.replace("FOLDER", str(small))
    assert not (tmp_path / "big").exists()


def test_another_kernel_is_named_at_its_place(small: Path, tmp_path: Path) -> None:
    net = network("basic", stem=12)
    stages = (net.model.stages[0], net.model.stages[1].changed(kernel=5))
    other = written(scalenet.Architecture("wide", net.model.changed(stages=stages)), tmp_path / "wide.yaml")
    done = run("inherit", small, "--config", other, "-o", tmp_path / "big")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        f"scalenet: wide: no scaling of {small}'s net: stages[1].kernel is 5, not 3\n"
        "  scale the network of the weights, which config.yaml beside them describes: `scalenet scale --base FILE`\n"
    )


def test_nothing_is_written_over(small: Path, tmp_path: Path) -> None:
    other = written(network("basic", stem=12), tmp_path / "wide.yaml")
    words = ["inherit", small, "--config", other]
    before = (small / "model.safetensors").read_bytes()
    assert "exists already" in run(*words, "-o", small).stderr
    assert run(*words, "-o", other).stderr.startswith(f"scalenet: {other}: is a file")
    assert "cannot be written" in run(*words, "-o", "/proc/none").stderr
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "environment.json").write_text("{}")
    assert run(*words, "--force", "-o", tmp_path / "run").stderr.startswith(
        f"scalenet: {tmp_path / 'run'}: holds a training"
    )
    assert (small / "model.safetensors").read_bytes() == before
    assert run(*words, "--force", "-o", small).exit_code == 0
    assert (small / "model.safetensors").read_bytes() != before


def test_damaged_weights_are_refused_in_one_line(small: Path, tmp_path: Path) -> None:
    file = small / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    done = run("inherit", small, "--config", small / "config.yaml", "-o", tmp_path / "big")
    assert done.exit_code == 2
    assert done.stderr.startswith(f"scalenet: {file}: half-written, damaged")


def test_outputs_that_differ_although_they_should_not_are_no_result(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = carrying.inherited

    def wrong(*args: object, **others: object) -> dict[str, torch.Tensor]:
        found = whole(*args, **others)  # type: ignore[arg-type]
        return {name: 1.001 * value if name == "stem.conv.weight" else value for name, value in found.items()}

    monkeypatch.setattr(carrying, "inherited", wrong)
    with pytest.raises(RunError, match=r"outputs differ by .* of their deviation, and nothing is written"):
        scalenet.inherit(small, network("basic", stem=12), tmp_path / "big", say=None)
    assert not (tmp_path / "big").exists()
