"""Files of weights that are damaged, changed, or of another library: one plain line, and nothing is half-written."""

from __future__ import annotations

import contextlib
import json
import struct
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from scalenet_cli.main import app
from typer.testing import CliRunner

from scalenet import load
from scalenet.arch.errors import ScalenetError
from scalenet.training import runs
from scalenet.training.checkpoint import checkpoints, read_trained, write_state
from scalenet.training.foreign import describe_tensors
from scalenet.training.recipe import change, load_recipe
from scalenet.training.state import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

RECIPE = change(load_recipe("small_images"), [("epochs", 1), ("batch_size", 16)])
READING = runs.Reading(seed=0)
CONV = "stem.conv.weight"


def train(tiny: Path, folder: Path, **others: Any) -> dict[str, Any]:
    splits = runs.read_images(tiny / "images", recipe=RECIPE, resolution=(8, 8), reading=READING)
    return runs.train(load(tiny / "net.yaml"), splits, folder, recipe=RECIPE, reading=READING, **others)


@pytest.fixture(scope="module")
def trained(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    train(tiny, folder)
    return folder


def rewritten(trained: Path, place: Path, edit: Callable[[dict[str, Tensor], dict[str, str]], object]) -> Path:
    """Write the trained weights again, with changes."""
    with safe_open(trained / "model.safetensors", "pt") as file:
        texts = dict(file.metadata())
    tensors = load_file(trained / "model.safetensors")
    edit(tensors, texts)
    save_file(tensors, place, texts)
    return place


def changed_record(**changes: Any) -> Callable[[dict[str, Tensor], dict[str, str]], object]:
    return lambda _, texts: texts.update(about=json.dumps(json.loads(texts["about"]) | changes))


CHANGES: dict[str, tuple[Callable[[dict[str, Tensor], dict[str, str]], object], str]] = {
    "missing": (lambda tensors, _: tensors.pop(CONV), f"no tensor {CONV}"),
    "renamed": (lambda tensors, _: tensors.update(other=tensors.pop(CONV)), f"no tensor {CONV}"),
    "added": (lambda tensors, _: tensors.update(other=torch.ones(2)), "a tensor other that the network does not have"),
    "shape": (
        lambda tensors, _: tensors.update({CONV: tensors[CONV][:, :, :2].contiguous()}),
        f"{CONV} is 4×3×2×3 of float32, not 4×3×3×3 of float32",
    ),
    "type": (lambda tensors, _: tensors.update({CONV: tensors[CONV].half()}), "4×3×3×3 of float16, not"),
    "nan": (lambda tensors, _: tensors[CONV].fill_(torch.nan), f"{CONV} has values that are not finite"),
    "brace": (lambda _, texts: texts.update(about="{"), "its record 'about' is no JSON"),
    "nested": (lambda _, texts: texts.update(about="[" * 5000), "its record 'about' is no JSON: nested too deep"),
    "twice": (lambda _, texts: texts.update(about='{"plan": 1, "plan": 2}'), "is no JSON: 'plan' stands twice"),
    "number": (changed_record(mean=[float("nan"), 0, 0]), "is no JSON: NaN is no number"),
    "list": (lambda _, texts: texts.update(about="[]"), "expected keys and values, found list"),
    "key": (changed_record(extra=1), "extra: unknown key"),
    "mean": (changed_record(mean=[]), "mean"),
    "deviation": (changed_record(deviation=[1, 0, 1]), "deviation"),
    "none": (lambda _, texts: texts.pop("about"), "tensors that scalenet did not write"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_weights_are_refused_in_one_line(tiny: Path, trained: Path, tmp_path: Path, name: str) -> None:
    edit, said = CHANGES[name]
    file = rewritten(trained, tmp_path / "changed.safetensors", edit)
    for words in (["evaluate", file], ["train", "net.yaml", "--init", file, "-o", tmp_path / "run"]):
        with contextlib.chdir(tiny):
            done = CliRunner().invoke(app, [*map(str, words), "--data", "images"])
        assert done.exit_code == 2, done.output
        assert said in done.stderr
        error = [line for line in done.stderr.splitlines() if not line.startswith("images: ")]
        assert len(error) <= 2
        assert not (tmp_path / "run").exists()


def damaged(content: bytes) -> dict[str, bytes]:
    header = struct.unpack("<Q", content[:8])[0]
    return {
        "empty": b"",
        "cut": content[: 8 + header // 2],
        "short": content[:-1],
        "huge": struct.pack("<Q", 2**62) + content[8:],
        "larger": struct.pack("<Q", 10**8) + content[8:],
        "latin": content[:20] + b"\xff\xfe" + content[22:],
        "text": b"schema: scalenet/1\n",
    }


@pytest.mark.parametrize("name", damaged(struct.pack("<Q", 8) + b"{} "))
def test_damaged_files_are_called_damaged(trained: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(damaged((trained / "model.safetensors").read_bytes())[name])
    with pytest.raises(ScalenetError, match="half-written, damaged, or no safetensors file"):
        read_trained(file)


def test_files_of_other_libraries_are_called_what_they_are(tmp_path: Path) -> None:
    tensors = {"module.features.0.0.weight": torch.ones(2, 2), "module.features.0.1.weight": torch.ones(2)}
    save_file(tensors, tmp_path / "hub.safetensors")
    torch.save(tensors, tmp_path / "hub.pth")
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "wrapped.pth.tar")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "module.pth")
    torch.save(tensors, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    said = {
        "hub.safetensors": "2 tensors that scalenet did not write, named as in torchvision",
        "hub.pth": "a file of torch.save with 2 tensors that scalenet did not write, named as in torchvision",
        "wrapped.pth.tar": "a file of torch.save with 2 tensors that scalenet did not write, named as in torchvision",
        "module.pth": "a file of torch.save that holds more than tensors",
        "old.pth": "a pickle",
    }
    for name, text in said.items():
        with pytest.raises(ScalenetError) as caught:
            read_trained(tmp_path / name)
        assert text in caught.value.message
        assert "`scalenet weights import FILE" in str(caught.value)


@pytest.mark.parametrize(
    ("first", "library"),
    [
        ("features.0.0.weight", "torchvision"),
        ("conv_stem.weight", "timm"),
        ("conv1.weight", "torchvision or timm"),
        ("efficientnet.embeddings.convolution.weight", "transformers"),
        ("resnet.embedder.embedder.convolution.weight", "transformers"),
    ],
)
def test_names_of_tensors_tell_the_library(first: str, library: str) -> None:
    assert describe_tensors([first, "other"]).endswith(f", named as in {library}")
    assert describe_tensors(["encoder.weight"]) == "1 tensor that scalenet did not write"


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(tiny: Path, tmp_path: Path) -> None:
    def stop(progress: Any) -> None:
        if progress.step == 5:
            raise KeyboardInterrupt

    whole = train(tiny, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tiny, tmp_path / "cut", every=2, tell=stop)
    newest, _ = checkpoints(tmp_path / "cut" / "checkpoints")
    with safe_open(newest, "pt") as file:
        texts = dict(file.metadata())
    tensors, numbers = load_file(newest), json.loads(texts["state"])
    other = {name.replace("weights/stem.conv", "weights/stem.convolution"): value for name, value in tensors.items()}
    write_state(newest, State(other, numbers), texts["about"])
    notes: list[str] = []
    resumed = train(tiny, tmp_path / "cut", note=notes.append)
    assert f"{newest}: weights that cannot be used: no tensor {CONV}" in notes[0]
    assert {**resumed, "seconds": 0} == {**whole, "seconds": 0}
