"""Networks leave as programs of torch.export: the same outputs, or one plain line and no file."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from elsewhere import CLASSES, tiny, trained_folder
from scalenet_cli.main import app
from torch import nn
from typer.testing import CliRunner

import scalenet
from scalenet.exchange.runtimes import calls, onnx_files, programs
from scalenet.exchange.runtimes.quantizing import Int8Accuracy, find_parts
from scalenet.training.checkpoint import Images, Plan, read_trained
from scalenet.training.recipe import load_recipe
from scalenet.training.scoring import Scores
from scalenet.training.selection import select
from scalenet.training.sources import find_source

if TYPE_CHECKING:
    from collections.abc import Iterator

LITTLE = """\
schema: scalenet/1
name: little
model:
  resolution: 32
  activation: relu
  norm: {kind: batchnorm}
  stem: {kind: conv, width: 4, kernel: 3, stride: 4}
  stages: [{block: basic, depth: 1, width: 4, stride: 2}]
  head: {kind: linear, classes: 3}
"""
"""Tracing takes as long as there are operators."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small network whose weights and statistics are not fresh."""
    return trained_folder(tmp_path_factory.mktemp("trained"), LITTLE)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of images, whose files are numbered."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("images")
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir()
        for number in range(120):
            shade = (80 * label + number % 20, 2 * number, 255 - number)
            Image.new("RGB", (32, 32), shade).save(folder / name / f"{number:03}.png")
    return folder


def run(*words: object) -> Any:
    return CliRunner().invoke(app, ["export", *map(str, words)])


def test_a_program_gives_the_outputs_of_the_trained_network(trained: Path, tmp_path: Path) -> None:
    found = scalenet.export(trained, tmp_path, to="torch-export", say=None)
    again = scalenet.export(trained, tmp_path / "again.pt2", to="torch-export", say=None)
    assert found.float32.file == tmp_path / "little.pt2"
    assert found.float32.file.read_bytes() == again.float32.file.read_bytes()
    assert str(Path(scalenet.__file__).parent).encode() not in found.float32.file.read_bytes()
    own = read_trained(trained).module().eval()
    texts = dict.fromkeys(("scalenet.classes", "scalenet.preprocessing", "scalenet.weights"), "")
    program = torch.export.load(found.float32.file, extra_files=texts).module()
    for batch in (1, 2, 7):
        inputs = torch.randn(batch, 3, 32, 32)
        torch.testing.assert_close(program(inputs), own(inputs))
    assert json.loads(texts["scalenet.classes"]) == list(CLASSES)
    assert json.loads(texts["scalenet.preprocessing"])["size"] == 32
    assert texts["scalenet.weights"] == read_trained(trained).digest


@pytest.mark.parametrize("padding", ["", "\n  padding: same"])
def test_the_size_may_be_free_and_drawn_weights_stay_as_drawn(tmp_path: Path, padding: str) -> None:
    text = LITTLE.replace("activation: relu", f"activation: relu{padding}")
    found = scalenet.export(tiny(tmp_path, text), tmp_path, to="torch-export", dynamic="batch,size", say=None)
    assert {shape[2:] for shape in found.shapes} == {(32, 32), (64, 96), (45, 39)}
    torch.manual_seed(0)
    own = scalenet.build(tmp_path / "tiny.yaml").eval()
    program = torch.export.load(found.float32.file).module()
    inputs = torch.randn(3, 3, 51, 76)
    torch.testing.assert_close(program(inputs), own(inputs))


def test_sizes_that_the_file_would_refuse_are_told(tmp_path: Path) -> None:
    heard: list[str] = []
    convnext = scalenet.scale("convnext_atto", depth=0.1).at(96)
    found = scalenet.export(convnext, tmp_path, to="torch-export", dynamic="size", say=heard.append)
    assert found.least == (64, 64)
    assert "images have 64×64 pixels or more" in heard[1]
    program = torch.export.load(found.float32.file).module()
    assert program(torch.zeros(1, 3, 64, 65)).shape == (1, 1000)
    with pytest.raises((AssertionError, RuntimeError), match="64"):
        program(torch.zeros(1, 3, 63, 64))


def test_a_size_that_is_free_up_to_a_number_is_refused(tmp_path: Path) -> None:
    done = run(tiny(tmp_path, LITTLE.replace("32", "8")), "--to", "torch-export", "--dynamic", "size", "-o", tmp_path)
    assert (done.exit_code, [one.name for one in tmp_path.iterdir()]) == (2, ["tiny.yaml"])
    assert "takes images of a height from 2 to 8 alone" in done.stderr


def test_a_program_of_fixed_axes_says_so(trained: Path, tmp_path: Path) -> None:
    done = run(trained, "--to", "torch-export", "--dynamic", "none", "-o", tmp_path / "fixed.pt2", "--json")
    found = json.loads(done.stdout)
    assert (found["dynamic"], found["shapes"], found["trained"]) == ("none", [[1, 3, 32, 32]], True)
    assert found["files"]["float32"]["bytes"] == (tmp_path / "fixed.pt2").stat().st_size
    program = torch.export.load(tmp_path / "fixed.pt2").module()
    with pytest.raises((AssertionError, RuntimeError)):
        program(torch.randn(2, 3, 32, 32))


class Off(nn.Module):
    """Gives outputs that are a little off, as a wrong eps would."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.program = torch.export.load(io.BytesIO(content)).module()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return 1.01 * self.program(inputs)


def test_nothing_is_written_where_outputs_differ(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "Program", Off)
    done = run(trained, "--to", "torch-export", "-o", tmp_path / "new" / "off.pt2")
    assert done.exit_code == 3
    assert "gives other outputs" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_export_leaves_nothing(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(calls, "latencies", interrupted)
    assert run(trained, "--to", "torch-export", "-o", tmp_path / "half.pt2").exit_code == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("small_resnet", "--to", "onx"), "unknown format 'onx'; did you mean 'onnx'?"),
        (("small_resnet", "--dynamic", "bach"), "unknown dynamic axis 'bach'; did you mean 'batch'?"),
        (("small_resnet", "--dynamic", "batch,none"), "none goes with no other; write batch, size or none"),
        (("small_resnet", "--int8"), "--int8 needs images to find ranges by; --calibrate DIR"),
        (("small_resnet", "--calibrate", "embedded"), "--calibrate is for --int8; give both"),
        (("small_resnet", "--to", "torch-export", "--int8"), "--int8 is for ONNX; --to onnx"),
        (("small_resnet", "--to", "torch-export", "--opset", "18"), "--opset is for ONNX; --to onnx"),
        (("small_resnet", "--layout", "folders"), "--layout is for the images of --calibrate"),
        (("small_resnet", "--int8", "--calibrate", "embedded"), "accuracy is of trained weights; give the folder"),
        (("smal_resnet",), "unknown baseline 'smal_resnet'; did you mean 'small_resnet' or"),
        (("small_resnet", "-o", "x.pt2"), "files of onnx end with .onnx; name it so"),
        (("small_resnet", "-o", "there.onnx"), "there.onnx: exists already; --force replaces it"),
        (("small_resnet", "-o", "there.onnx/x.onnx"), "there.onnx is a file"),
        (("vit_small", "--dynamic", "size"), "its size is fixed; --dynamic batch"),
        (("empty",), "empty/model.safetensors: no such file; give a file or folder"),
        (("weights.pth",), "weights.pth:"),
    ],
)
def test_what_is_asked_wrongly_is_told_in_a_line(
    words: tuple[str, ...], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "check_packages", lambda: None)
    monkeypatch.chdir(tmp_path)
    Path("there.onnx").touch()
    Path("empty").mkdir()
    torch.save({"a": torch.zeros(1)}, "weights.pth")
    done = run(*words)
    lines = [line for line in done.stderr.splitlines() if line.startswith(("scalenet: ", "  "))]
    assert told in "; ".join(line.removeprefix("  ") for line in lines)
    assert done.exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "there.onnx", "weights.pth"]


def test_packages_that_are_missing_are_told_with_their_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(package: str) -> None:
        raise ImportError(f"{package} is not installed")

    monkeypatch.setattr(onnx_files, "imported", missing)
    done = run("small_resnet", "-o", tmp_path)
    assert done.exit_code == 2
    assert "ONNX needs another package: onnx is not installed" in done.stderr
    assert "pip install 'scalenet-torch[onnx]'" in done.stderr


def test_weights_that_one_onnx_file_cannot_hold_are_told() -> None:
    with torch.device("meta"):
        network = nn.Linear(2**15, 2**15)
    with pytest.raises(scalenet.ScalenetError, match="an ONNX file holds 2 GB"):
        onnx_files.check_size(network)


def test_ranges_and_accuracies_are_of_other_images(trained: Path, images: Path) -> None:
    parts = find_parts(read_trained(trained), find_source(images), workers=0)
    names = [{file.path for file in part.decoded.images.files} for part in _feeds(parts)]
    assert [len(one) for one in names] == [256, 36]
    assert not names[0] & names[1]


def test_accuracies_of_a_searchs_network_are_of_what_the_search_held_out(trained: Path, images: Path) -> None:
    one, source = read_trained(trained), find_source(images)
    drawn = Images(name="-", digest="-", train=324, validation=36, minival=0, cached=True, drawn=0.1, drawn_by=7)
    config, recipe = one.about.plan.config, load_recipe("small_images")
    plan = Plan(
        schema="scalenet-training/1", config=config, recipe=recipe, images=drawn, classes=CLASSES, seed=3, init=None
    )
    parts = find_parts(replace(one, about=one.about.changed(plan=plan)), source, workers=0)
    held_out = select(source, seed=7, fraction=0.1).validation
    measured: Any = parts.measured
    assert set(measured.decoded.images.files) == {file for found in held_out.values() for file in found}


def _feeds(parts: Any) -> Iterator[Any]:
    yield parts.calibration
    yield parts.measured


def test_too_few_images_and_unknown_classes_are_told(trained: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    for name in CLASSES:
        (few / name).mkdir(parents=True)
        for number in range(40):
            (few / name / f"{number}.png").touch()
    with pytest.raises(scalenet.ScalenetError, match="12 images to measure on"):
        find_parts(read_trained(trained), find_source(few), workers=0)
    broken = tmp_path / "broken"
    for name in CLASSES:
        (broken / name).mkdir(parents=True)
        for number in range(120):
            (broken / name / f"{number}.png").touch()
    parts = find_parts(read_trained(trained), find_source(broken), workers=0)
    with pytest.raises(scalenet.ScalenetError, match="0 images to measure on can be decoded: ") as told:
        parts.score(read_trained(trained).module())
    assert told.value.hint == "give 32 or more"
    assert list(parts.batches(16)) == []
    other = tmp_path / "other"
    for name in ("cat", "dog"):
        (other / name).mkdir(parents=True)
        (other / name / "1.png").touch()
    with pytest.raises(scalenet.ScalenetError, match=r"classes that .* was not trained on: cat, dog"):
        find_parts(read_trained(trained), find_source(other), workers=0)
    with pytest.raises(scalenet.ScalenetError, match="give a folder of its images"):
        find_parts(read_trained(trained), None, workers=0)


def scores(correct: torch.Tensor) -> Scores:
    labels = torch.zeros(len(correct), dtype=torch.int64)
    return Scores(2, labels, (~correct).long(), correct, torch.zeros(len(correct)))


def test_the_interval_holds_the_loss_as_often_as_it_says() -> None:
    draws = torch.Generator().manual_seed(0)
    held = 0
    for _ in range(400):
        kind = torch.rand(300, generator=draws)
        before, after = kind < 0.85, (kind < 0.80) | (kind > 0.98)  # 5 % lost, 2 % won
        found = Int8Accuracy.of(scores(before), scores(after))
        held += found.low <= 0.03 <= found.high
        assert found.loss == pytest.approx(before.double().mean().item() - after.double().mean().item())
    assert held >= 0.92 * 400
