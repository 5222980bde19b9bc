"""Weights leave as files that others load: the same outputs, or one plain line."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from elsewhere import CLASSES, TINY, drawn, images, loaded, named, tiny, trained_folder
from networks import SMALL
from PIL import Image
from scalenet_cli.main import app
from typer.testing import CliRunner

import scalenet
from scalenet.arch.config import config_of, dumps
from scalenet.arch.errors import ScalenetError
from scalenet.exchange import folders
from scalenet.exchange.source import source_of
from scalenet.training.checkpoint import read_trained
from scalenet.training.decoding import File, read_centre
from scalenet.training.preprocessing import Preprocessing

if TYPE_CHECKING:
    from pathlib import Path

QUIET: dict[str, Any] = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25), "say": None}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    network, model = loaded(tiny(folder))
    torch.save(named(network, model, "torchvision"), folder / "weights.pth")
    scalenet.import_weights(
        folder / "weights.pth", folder / "run", name=folder / "tiny.yaml", classes=CLASSES, crop=0.875, **QUIET
    )
    return folder / "run"


def small(name: str) -> scalenet.Architecture:
    """Return a baseline small enough to be run, where its size is free, with stochastic depth."""
    architecture = scalenet.load(name)
    if name == "vit_small":
        architecture = scalenet.scale(architecture, depth=1 / 6, resolution=1 / 7)
    elif name.startswith("vgg"):
        architecture = scalenet.scale(architecture, width=1 / 8, resolution=1 / 4)
    elif name == "inception_resnet_v2":
        architecture = scalenet.scale(architecture.at(96), depth=1 / 10)
    else:
        architecture = architecture.at(96 if name == "inception_v3" else 48)
    return architecture


@pytest.mark.parametrize("name", SMALL)
@torch.no_grad()
def test_a_file_of_python_gives_the_outputs_of_every_family(name: str) -> None:
    architecture = small(name)
    config = config_of(architecture)
    record = Preprocessing(
        size=architecture.model.resolution, mean=(0, 0, 0), std=(1, 1, 1), classes=1000, source="a test"
    )
    text = source_of(config, record, weights="weights.pt")
    assert "scalenet" not in text.replace("Written by scalenet", "")
    names: dict[str, Any] = {"__name__": "network", "__file__": "network.py"}
    exec(compile(text, "network.py", "exec"), names)
    ours, theirs = drawn(scalenet.build(architecture)), names["Network"]()
    theirs.load_state_dict(ours.state_dict())
    batch = torch.rand(2, 3, *architecture.model.size)
    assert torch.equal(theirs.eval()(batch), ours(batch))


def test_padding_as_tensorflows_is_written(tmp_path: Path) -> None:
    model = scalenet.load(tiny(tmp_path)).model
    config = config_of(scalenet.Architecture("same", model.changed(padding="same", resolution=35)))
    record = Preprocessing(size=35, mean=(0, 0, 0), std=(1, 1, 1), classes=3, source="a test")
    names: dict[str, Any] = {"__name__": "network", "__file__": "network.py"}
    exec(source_of(config, record, weights="weights.pt"), names)
    ours, theirs = drawn(scalenet.build(config)), names["Network"]()
    theirs.load_state_dict(ours.state_dict())
    batch, expected = images(ours, 35)
    assert torch.equal(theirs.eval()(batch), expected)


def test_a_colleague_without_scalenet_gets_the_same(imported: Path, tmp_path: Path) -> None:
    found = scalenet.export_weights(imported, tmp_path / "out", say=None)
    assert (found.difference, found.files) == (0.0, ("network.py", "weights.pt", "classes.txt"))
    code = """
import sys, torch
from network import load, prepare
assert not [name for name in sys.modules if name.startswith("scalenet")]
images = torch.linspace(0, 1, 2 * 3 * 50 * 70).reshape(2, 3, 50, 70)
inputs = prepare(images)
assert inputs.shape == (2, 3, 32, 32)
torch.save((inputs, load()(inputs)), "answer.pt")
"""
    subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, '.')\n{code}"], cwd=tmp_path / "out", check=True
    )
    inputs, logits = torch.load(tmp_path / "out" / "answer.pt", weights_only=True)
    network = read_trained(imported).module().eval()
    torch.testing.assert_close(logits, network(inputs))
    assert (tmp_path / "out" / "classes.txt").read_text().split() == list(CLASSES)


@pytest.mark.parametrize("crop", [1.0, 0.8])
def test_oblong_images_are_prepared_as_they_are_evaluated(crop: float, tmp_path: Path) -> None:
    model = scalenet.load(tiny(tmp_path)).model.at((40, 56))
    record = Preprocessing(size=(40, 56), crop=crop, mean=(0, 0, 0), std=(1, 1, 1), classes=3, source="a test")
    names: dict[str, Any] = {"__name__": "network", "__file__": "network.py"}
    exec(source_of(config_of(scalenet.Architecture("oblong", model)), record, weights="weights.pt"), names)
    place = tmp_path / "slope.png"
    ramp = np.linspace(0, 255, 120 * 90).reshape(90, 120, 1).repeat(3, axis=2)
    Image.fromarray(ramp.astype(np.uint8)).save(place)
    evaluated = read_centre(File(str(place)), (40, 56), crop)
    whole = torch.from_numpy(np.asarray(Image.open(place)).copy()).permute(2, 0, 1)[None] / 255
    prepared = (255 * names["prepare"](whole)[0]).numpy()
    assert np.abs(prepared - evaluated.astype(np.float32)).mean() < 1
    assert record.data()["resize"] == ([40, 56] if crop == 1 else [50, 70])


def test_folders_that_cannot_say_how_oblong_images_are_prepared_are_refused(tmp_path: Path) -> None:
    trained = trained_folder(
        tmp_path, dumps(scalenet.load("mobilenet_v2").at((40, 56))).replace("classes: 1000", "classes: 3")
    )
    with pytest.raises(ScalenetError, match="images of 40 × 56 px are squeezed squares"):
        scalenet.export_weights(trained, tmp_path / "out", to="huggingface", say=None)


def test_a_name_is_no_code(tmp_path: Path) -> None:
    model = scalenet.load(tiny(tmp_path)).model
    name = '"""+open("written", "w")+"""'
    record = Preprocessing(size=32, mean=(0, 0, 0), std=(1, 1, 1), classes=3, source=f"trained on {name}\\")
    text = source_of(config_of(scalenet.Architecture(name, model)), record, weights="weights.pt")
    exec(compile(text, "network.py", "exec"), {"__name__": "network", "__file__": str(tmp_path / "network.py")})
    assert "open(" in text
    assert text.count('"""') % 2 == 0


def test_files_that_differ_are_not_written(imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = folders._run

    def other(*arguments: Any) -> torch.nn.Module:
        network = run(*arguments)
        network.head.classifier.bias.data += 1  # type: ignore[union-attr]
        return network

    monkeypatch.setattr(folders, "_run", other)
    done = CliRunner().invoke(app, ["weights", "export", str(imported), "-o", str(tmp_path / "out")])
    assert (done.exit_code, "gives other outputs" in done.stderr) == (3, True)
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_wrote(imported: Path, tmp_path: Path) -> None:
    words = ["weights", "export", str(imported), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout)
    assert (row["target"], row["network"], row["difference"]) == ("torch", "tiny_resnet", 0)
    assert "outputs of what was written are equal" in done.stderr
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, "network.py: exists already" in done.stderr) == (2, True)
    assert CliRunner().invoke(app, [*words, "--force"]).exit_code == 0
    done = CliRunner().invoke(app, [*words, "--to", "keras"])
    assert (done.exit_code, "unknown target 'keras'" in done.stderr) == (2, True)
    done = CliRunner().invoke(app, ["weights", "export", str(tmp_path / "nowhere")])
    assert (done.exit_code, "no such file" in done.stderr) == (2, True)


def test_stochastic_depth_is_written(tmp_path: Path) -> None:
    path = tiny(tmp_path, TINY + "  regularization: {dropout: 0.1, drop_path: 0.2}\n")
    config = config_of(scalenet.load(path))
    record = Preprocessing(size=32, mean=(0, 0, 0), std=(1, 1, 1), classes=3, source="a test")
    text = source_of(config, record, weights="weights.pt")
    assert "DropPath(0.133333)" in text
    assert "nn.Dropout(0.1)" in text
