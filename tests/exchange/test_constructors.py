"""Networks leave as calls and configs of other libraries, with weights by their names, or the reason is said."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from elsewhere import CLASSES, TINY, drawn, images, loaded, tiny
from neighbours import neighbour
from scalenet_cli.main import app
from test_naming import LIBRARIES, OURS, STATES
from typer.testing import CliRunner

import scalenet
from scalenet.arch.config import config_of
from scalenet.exchange.constructors import candidate
from scalenet.exchange.folders import CANDIDATES
from scalenet.exchange.matching import on_meta
from scalenet.exchange.shaping import state_in
from scalenet.training.checkpoint import About, Imported, Trained, read_trained, write_weights

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

PACKAGES = {"torchvision": "torchvision", "timm": "timm", "huggingface": "transformers"}


def trained(architecture: scalenet.Architecture, classes: tuple[str, ...] = CLASSES) -> Trained:
    """Return a network with weights drawn, as an import would have it."""
    architecture = architecture.with_classes(len(classes))
    network = drawn(scalenet.build(architecture))
    plan = Imported(
        schema="scalenet-import/1",
        config=config_of(architecture),
        classes=classes,
        source="a test",
        file="sha256:0",
        crop=0.875,
    )
    about = About(schema="scalenet-weights/1", plan=plan, mean=(127.5,) * 3, deviation=(60.0,) * 3)
    return Trained(dict(network.state_dict()), about, "sha256:0", "a test")


@pytest.mark.parametrize("name", STATES)
def test_tensors_leave_with_their_names_shapes_and_order(name: str) -> None:
    library, _, plain = name.partition("_")
    theirs = [
        (one, tuple(shape))
        for one, shape in STATES[name]
        if not one.endswith("num_batches_tracked") and not one.startswith("AuxLogits.")
    ]
    model = scalenet.load(OURS.get(name, plain)).model.with_classes(theirs[-1][1][0])
    network = on_meta(model)
    found = state_in(LIBRARIES[library], network.state_dict(), network, model)
    own = [(one, tuple(value.shape)) for one, value in found.items() if not one.endswith("num_batches_tracked")]
    assert own == theirs
    counts = {
        one for one, _ in STATES[name] if one.endswith("num_batches_tracked") and not one.startswith("AuxLogits.")
    }
    assert counts == {one for one in found if one.endswith("num_batches_tracked")}


def same(name: str, **factors: float) -> scalenet.Architecture:
    """Return a scaled network that pads as TensorFlow does."""
    scaled = scalenet.scale(name, **factors)
    return scalenet.Architecture(scaled.name, scaled.model.changed(padding="same"))


MADE: dict[str, dict[str, scalenet.Architecture]] = {
    "torchvision": {
        "resnet18": scalenet.scale("resnet18", depth=1.5),
        "resnext50_32x4d": scalenet.load("resnext50_32x4d"),
        "efficientnet_b0": scalenet.scale("efficientnet_b0", width=1.1, depth=1.2),
        "efficientnet_v2_b0": scalenet.scale("efficientnet_v2_b0", width=0.5),
        "mobilenet_v2": scalenet.scale("mobilenet_v2", width=1.4),
        "mobilenet_v3_small": scalenet.scale("mobilenet_v3_small", width=1.2),
        "mnasnet_b1": scalenet.load("mnasnet_b1"),
        "regnet_y_400mf": scalenet.scale("regnet_y_400mf", width=1.2, depth=1.3),
        "convnext_atto": scalenet.scale("convnext_atto", depth=1.5),
        "densenet121": scalenet.scale("densenet121", width=0.5, depth=0.5),
        "shufflenet_v2_x1_0": scalenet.scale("shufflenet_v2_x1_0", width=1.3),
        "squeezenet1_0": scalenet.load("squeezenet1_0"),
    },
    "timm": {
        "resnet18": scalenet.scale("resnet18", depth=1.5),
        "resnet50d": scalenet.scale("resnet50d", width=0.5),
        "efficientnet_b0": same("efficientnet_b0", width=0.75),
        "efficientnet_lite0": scalenet.scale("efficientnet_lite0", width=1.1),
        "efficientnet_v2_b0": scalenet.scale("efficientnet_v2_b0", width=0.5),
        "mobilenet_v1": scalenet.scale("mobilenet_v1", width=0.5),
        "mobilenet_v3_small": scalenet.load("mobilenet_v3_small"),
        "mnasnet_a1": scalenet.scale("mnasnet_a1", width=1.3),
        "regnet_y_400mf": scalenet.load("regnet_y_400mf"),
        "convnext_atto": scalenet.load("convnext_atto"),
        "convnext": scalenet.scale("convnext_atto", width=1.2),
        "repvgg_a0": scalenet.load("repvgg_a0"),
    },
    "huggingface": {
        "resnet18": scalenet.scale("resnet18", width=0.5, depth=1.5),
        "resnet50": scalenet.scale("resnet50", width=0.5),
        "efficientnet_b0": same("efficientnet_b0", width=0.5, depth=1.2),
        "mobilenet_v1": scalenet.scale("mobilenet_v1", width=0.5),
        "mobilenet_v2": scalenet.load("mobilenet_v2"),
        "regnet_x_400mf": scalenet.scale("regnet_x_400mf", width=1.2),
        "convnext_atto": scalenet.scale("convnext_atto", depth=1.5),
    },
}
CASES = [(library, name) for library, found in MADE.items() for name in found]


@pytest.mark.parametrize(("library", "name"), CASES)
def test_what_is_written_computes_as_ours_there(tmp_path: Path, library: str, name: str) -> None:
    neighbour(PACKAGES[library])
    found = scalenet.export_weights(trained(MADE[library][name].at(64)), tmp_path / "out", to=library, say=None)
    assert found.difference is not None
    assert found.difference < 1e-9


@pytest.mark.parametrize(("library", "name"), CASES)
def test_a_call_or_config_makes_each(library: str, name: str) -> None:
    model = MADE[library][name].model
    found = candidate.expressed(model, CANDIDATES[library](model), library)  # type: ignore[index, arg-type]
    assert scalenet.cost(found.made.with_classes(3)).params == scalenet.cost(model.with_classes(3)).params
    assert found.call.count("(") == found.call.count(")")


NOT: list[tuple[str, scalenet.Architecture, str]] = [
    ("torchvision", scalenet.scale("resnet50", width=1.2), "because stem.width is 80 here and 64 there"),
    ("timm", scalenet.scale("resnet50", width=1.2), "because stem.width is 80 here and 64 there"),
    ("timm", scalenet.scale("regnet_y_400mf", width=1.2), "because stem.width is 40 here and 32 there"),
    ("timm", scalenet.load("squeezenet1_0"), "because it has no network of fire blocks"),
    ("torchvision", same("efficientnet_b0"), "because padding is same here and left out there"),
    ("huggingface", scalenet.load("efficientnet_b0"), "because padding is left out here and same there"),
    ("huggingface", scalenet.scale("mobilenet_v2", depth=1.5), "because stages[0].depth is 2 here and 1 there"),
    ("huggingface", scalenet.load("seresnet50"), "because stages[0].se is 0.0625 here and left out there"),
]


@pytest.mark.parametrize(("library", "architecture", "said"), NOT)
def test_what_a_library_cannot_express_is_said(library: str, architecture: scalenet.Architecture, said: str) -> None:
    model = architecture.model
    with pytest.raises(scalenet.ScalenetError) as caught:
        candidate.expressed(model, CANDIDATES[library](model), library)  # type: ignore[index, arg-type]
    assert caught.value.message.endswith(f"cannot express this, {said}")
    assert caught.value.hint == "`--to torch` writes any network"


def written(folder: Path, network: nn.Module, model: Any) -> Path:
    """Return a file of weights of a small network."""
    whole = trained(scalenet.Architecture("tiny_resnet", model))
    write_weights(folder / "model.safetensors", dict(network.state_dict()), whole.about)
    return folder / "model.safetensors"


def test_a_folder_of_hugging_face_comes_back_the_same(tmp_path: Path) -> None:
    network, model = loaded(tiny(tmp_path, TINY.replace("resolution: 32", "resolution: 28")))
    said: list[str] = []
    file = written(tmp_path, network, model)
    found = scalenet.export_weights(file, tmp_path / "hub", to="huggingface", say=said.append)
    assert set(found.files) == {"config.json", "model.safetensors", "preprocessor_config.json"}
    config = json.loads((tmp_path / "hub" / "config.json").read_text())
    assert (config["hidden_sizes"], config["depths"], config["id2label"]["0"]) == ([16, 32], [2, 1], CLASSES[0])
    back = scalenet.import_weights(tmp_path / "hub", tmp_path / "back", say=None)
    batch, expected = images(network, 28)
    assert torch.equal(back.module()(batch), expected)
    assert back.preprocessing.changed(source="") == read_trained(file).about.preprocessing.changed(source="")
    assert read_trained(back.folder).about.plan.classes == CLASSES
    assert said  # that it was compared, or why it was not


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_published_network_comes_back_the_same(tmp_path: Path, library: str) -> None:
    own = trained(scalenet.load("mobilenet_v3_small").at(64))
    found = scalenet.export_weights(own, tmp_path / "out", to=library, say=None)
    text = (tmp_path / "out" / "network.py").read_text()
    compile(text, "network.py", "exec")
    options: dict[str, Any] = {"library": library, "say": None}
    if library == "torchvision":
        assert 'get_model("mobilenet_v3_small", weights=None, num_classes=3)' in text
        options["name"] = "mobilenet_v3_small.IMAGENET1K_V1"
    else:
        assert (
            'timm.create_model(\n        "mobilenetv3_small_100"' in text or 'timm.create_model("mobilenetv3_' in text
        )
        assert "config.json" in found.files
        options |= {"name": "mobilenetv3_small_100.lamb_in1k"}
    file = "weights.pth" if library == "torchvision" else "model.safetensors"
    back = scalenet.import_weights(tmp_path / "out" / file, tmp_path / "back", **options)
    theirs, ours = back.module().state_dict(), own.module().state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    record = json.loads((tmp_path / "out" / "preprocessing.json").read_text())
    assert (record["size"], record["resize"]) == (64, 74)
    beside = back.preprocessing.data()
    assert all(beside[name] == record[name] for name in ("size", "resize", "interpolation", "mean", "std", "classes"))
    assert read_trained(back.folder).about.plan.classes == own.about.plan.classes
    (tmp_path / "out" / "preprocessing.json").write_text('{"size": 3}')  # another program's
    alone = scalenet.import_weights(tmp_path / "out" / file, tmp_path / "alone", **options)
    assert alone.preprocessing.size == 224


def test_the_command_says_why_not_and_writes_nothing(tmp_path: Path) -> None:
    network, model = loaded(tiny(tmp_path))
    file = written(tmp_path, network, model)
    done = CliRunner().invoke(app, ["weights", "export", str(file), "--to", "torchvision", "-o", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "torchvision cannot express this, because stem.width is 8 here and 64 there" in done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert not (tmp_path / "out").exists()
