"""Every family as an ONNX file that onnxruntime runs: skipped where the extra `onnx` is not installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from elsewhere import CLASSES, TINY, trained_folder
from PIL import Image
from scalenet_cli.main import app
from typer.testing import CliRunner

import scalenet
from scalenet.exchange.runtimes import onnx_files

if TYPE_CHECKING:
    from scalenet.arch.spec import Architecture

onnxruntime: Any = pytest.importorskip("onnxruntime")
onnx: Any = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

FAMILIES = {
    "convnext_atto": 32,
    "densenet121": 32,
    "efficientnet_b0": 32,
    "efficientnet_lite0": 32,
    "efficientnet_v2_b0": 32,
    "inception_resnet_v2": 96,
    "inception_v3": 75,
    "mnasnet_a1": 32,
    "mobilenet_v1": 32,
    "mobilenet_v2": 32,
    "mobilenet_v3_small": 32,
    "regnet_y_400mf": 32,
    "repvgg_a0": 32,
    "resnet50d": 32,
    "resnext50_32x4d": 32,
    "seresnet50": 32,
    "shufflenet_v2_x1_0": 32,
    "small_resnet": 22,
    "squeezenet1_0": 48,
    "vgg16_bn": 32,
    "vit_small": 32,
    "xception": 71,
}
"""A network of each family, and the smallest size that it reads."""


def small(name: str) -> Architecture:
    """Return a network of a family with as few blocks as it has stages."""
    architecture = scalenet.load(name)
    if name == "vit_small":
        return scalenet.scale(architecture, depth=1 / 6, resolution=1 / 7)
    if name.startswith("vgg"):
        architecture = scalenet.scale(architecture, width=1 / 8)
    return scalenet.scale(architecture, depth=1 / 10).at(FAMILIES[name])


def run(file: Path, images: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_the_same_in_onnxruntime(name: str, tmp_path: Path) -> None:
    found = scalenet.export(small(name), tmp_path, say=None)
    assert found.difference < 1e-3
    model = onnx.load(found.float32.file)
    onnx.checker.check_model(model)
    assert [axis.dim_param or axis.dim_value for axis in model.graph.input[0].type.tensor_type.shape.dim][:2] == [
        "batch",
        3,
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_folder(tmp_path_factory.mktemp("trained"))


def test_a_file_says_whose_it_is_and_nothing_of_the_machine(trained: Path, tmp_path: Path) -> None:
    found = scalenet.export(trained, tmp_path / "one.onnx", say=None)
    content = found.float32.file.read_bytes()
    assert scalenet.export(trained, tmp_path / "two.onnx", say=None).float32.file.read_bytes() == content
    assert str(Path(scalenet.__file__).parent).encode() not in content
    model = onnx.load(found.float32.file)
    record = {one.key: one.value for one in model.metadata_props}
    assert json.loads(record["scalenet.classes"]) == list(CLASSES)
    assert json.loads(record["scalenet.preprocessing"])["std"] == pytest.approx([64 / 255] * 3)
    assert record["scalenet.version"] == scalenet.__version__
    assert (found.opset, found.ir) == (model.opset_import[0].version, model.ir_version)


@pytest.mark.parametrize("stem", ["kernel: 7, stride: 2", "kernel: 3, stride: 4"])
@pytest.mark.parametrize("padding", ["", "\n  padding: same"])
def test_batch_and_size_are_really_free(padding: str, stem: str, tmp_path: Path) -> None:
    text = TINY.replace("activation: relu", f"activation: relu{padding}").replace("kernel: 7, stride: 2", stem)
    trained = trained_folder(tmp_path, text)
    found = scalenet.export(trained, tmp_path / "free.onnx", dynamic="batch,size", say=None)
    own = scalenet.exchange.runtimes.subject.find_subject(trained).network
    for shape in ((1, 3, 32, 32), (9, 3, 41, 57), *((1, 3, 40 + side, 59 - side) for side in range(8))):
        images = torch.randn(shape)
        with torch.no_grad():
            torch.testing.assert_close(run(found.float32.file, images), own(images), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("opset", [18, 21])
def test_an_opset_is_the_one_asked_for(trained: Path, tmp_path: Path, opset: int) -> None:
    assert scalenet.export(trained, tmp_path, opset=opset, say=None).opset == opset


@pytest.mark.parametrize("opset", [11, 17, 99])
def test_an_opset_that_the_exporter_does_not_write_is_refused(trained: Path, tmp_path: Path, opset: int) -> None:
    done = CliRunner().invoke(app, ["export", str(trained), "--opset", str(opset), "-o", str(tmp_path / "x.onnx")])
    assert done.exit_code == 2
    assert f"where {opset} is asked for" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_eight_bits_are_measured_on_images_that_are_held_out(trained: Path, tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    for name in CLASSES:
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(120):
            pixels = draws.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number:03}.png")
    words = ["export", str(trained), "--int8", "--calibrate", str(tmp_path / "images"), "--workers", "0"]
    done = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "made"), "--json"])
    found = json.loads(done.stdout)
    assert "ranges by 256 images to train on, accuracies on 36 held-out ones" in done.stderr
    paired = found["accuracy"]
    assert paired["images"] == 36
    assert paired["low"] <= paired["float32"] - paired["int8"] <= paired["high"]
    files = {name: Path(row["file"]) for name, row in found["files"].items()}
    assert [file.name for file in files.values()] == ["tiny_resnet.onnx", "tiny_resnet.int8.onnx"]
    kinds = {node.op_type for node in onnx.load(files["int8"]).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    images = torch.randn(64, 3, 32, 32)
    logits = [run(file, images) for file in files.values()]
    assert (logits[0] - logits[1]).abs().max() < 0.5 * logits[0].std()


def test_what_onnxruntime_refuses_is_a_line() -> None:
    with pytest.raises(scalenet.RunError, match=r"onnxruntime .* refuses it"):
        onnx_files.Session(b"no model")
