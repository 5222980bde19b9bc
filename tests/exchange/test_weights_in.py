"""Weights of other libraries become folders that `evaluate` and `train --init` take, or one plain line."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from elsewhere import CLASSES, TINY, drawn, hub_folder, images, loaded, named, tiny
from noisy_images import write_images
from PIL import Image
from safetensors.torch import save_file
from scalenet_cli.main import app
from torch import nn
from torch.nn import functional
from typer.testing import CliRunner

import scalenet
from scalenet.arch.errors import ScalenetError
from scalenet.exchange import recognising
from scalenet.exchange.expected import COLOURS
from scalenet.exchange.known import imagenet_classes, published
from scalenet.training.checkpoint import read_trained

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

MEAN, STD = COLOURS["imagenet"]
QUIET: dict[str, Any] = {"mean": MEAN, "std": STD, "say": None}

WRITTEN: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "plain": lambda tensors: tensors,
    "state_dict": lambda tensors: {"epoch": 3, "state_dict": tensors, "arch": "resnet"},
    "averaged": lambda tensors: {"model": {name: value * 0 for name, value in tensors.items()}, "model_ema": tensors},
    "parallel": lambda tensors: {f"module.{name}": value for name, value in tensors.items()},
    "compiled": lambda tensors: {"model": {f"_orig_mod.module.{name}": value for name, value in tensors.items()}},
    "without counts": lambda tensors: {name: value for name, value in tensors.items() if "num_batches" not in name},
    "in another order": lambda tensors: dict(sorted(tensors.items(), reverse=True)),
    "with a head for training": lambda tensors: tensors | {"aux1.fc.weight": torch.ones(3, 3)},
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tiny(tmp_path)


@pytest.mark.parametrize("how", WRITTEN)
def test_a_file_is_read_whatever_stands_around_its_tensors(tmp_path: Path, config: Path, how: str) -> None:
    network, model = loaded(config)
    torch.save(WRITTEN[how](named(network, model, "torchvision")), tmp_path / "weights.pth")
    found = scalenet.import_weights(tmp_path / "weights.pth", tmp_path / "run", name=str(config), **QUIET)
    batch, expected = images(network)
    assert torch.equal(found.module()(batch), expected)
    assert found.left_out == (("aux1",) if "head" in how else ())
    assert (found.library, found.classes, found.params) == ("torchvision", 3, scalenet.cost(config).params)


def test_safetensors_half_precision_and_old_files_are_read(tmp_path: Path, config: Path) -> None:
    network, model = loaded(config)
    tensors = named(network, model, "huggingface")
    halves = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    save_file(halves, tmp_path / "half.safetensors")
    torch.save(tensors, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    batch, expected = images(network)
    for file, tolerance in (("half.safetensors", 1e-2), ("old.pth", 0)):
        found = scalenet.import_weights(
            tmp_path / file, tmp_path / "run", library="huggingface", name=str(config), force=True, **QUIET
        )
        logits = found.module()(batch)
        assert logits.dtype == torch.float32
        torch.testing.assert_close(logits, expected, rtol=tolerance, atol=tolerance * float(expected.std()))


def without(name: str) -> Callable[[dict[str, Tensor]], Any]:
    return lambda tensors: {one: value for one, value in tensors.items() if one != name}


WRONG: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str]] = {
    "missing": (
        without("layer1.0.bn2.bias"),
        "no tensor layer1.0.bn2.bias, which is stages.0.0.main.conv2.norm.bias (4) of torchvision's tiny_resnet",
    ),
    "more": (lambda tensors: tensors | {"cls_token": torch.ones(1, 1, 8)}, "cls_token (1×1×8) has no place in"),
    "shape": (
        lambda tensors: tensors | {"layer2.0.conv1.weight": torch.ones(8, 16, 3, 3)},
        "layer2.0.conv1.weight is 8×16×3×3, and stages.1.0.main.conv1.conv.weight of torchvision's tiny_resnet is 8",
    ),
    "integers": (
        lambda tensors: tensors | {"fc.weight": torch.ones(3, 32, dtype=torch.int8)},
        "fc.weight is of int8",
    ),
    "infinite": (lambda tensors: tensors | {"fc.bias": torch.full((3,), torch.inf)}, "are not finite"),
    "one class": (
        lambda tensors: tensors | {"fc.weight": torch.ones(1, 32), "fc.bias": torch.ones(1)},
        "weights of one class",
    ),
    "more classes than biases": (
        lambda tensors: tensors | {"fc.weight": torch.ones(4, 32)},
        "fc.bias is 3 for 4 classes",
    ),
    "without values": (lambda tensors: tensors | {"fc.bias": torch.ones(3, device="meta")}, "fc.bias is of no values"),
    "a module": (lambda _: nn.Linear(1, 1), "holds more than tensors, which could run any code"),
    "a list": (lambda tensors: list(tensors.values()), "holds a list, no tensors by name"),
    "nothing": (lambda _: {"epoch": 3}, "holds no tensors"),
}


@pytest.mark.parametrize("how", WRONG)
def test_what_is_not_the_networks_is_refused_in_one_line(tmp_path: Path, config: Path, how: str) -> None:
    change, said = WRONG[how]
    network, model = loaded(config)
    torch.save(change(named(network, model, "torchvision")), tmp_path / "weights.pth")
    words = ["weights", "import", str(tmp_path / "weights.pth"), "--as", str(config), "-o", str(tmp_path / "run")]
    done = CliRunner().invoke(app, [*words, "--mean", "0,0,0", "--std", "1,1,1"])
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "half-written, damaged"), (b"PK\x03\x04cut", "damaged, or no file"), (b"\x89HDF\r\n", "as Keras writes")],
)
def test_files_of_no_weights_are_called_what_they_are(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(scalenet.ScalenetError, match=said):
        scalenet.import_weights(tmp_path / "file", tmp_path / "run", say=None)
    with pytest.raises(scalenet.ScalenetError, match="/dev/null: no file"):
        scalenet.import_weights("/dev/null", tmp_path / "run", say=None)
    with pytest.raises(scalenet.ScalenetError, match=r"none of model\.safetensors, "):
        scalenet.import_weights(tmp_path, tmp_path / "run", say=None)


@pytest.fixture(scope="module")
def of_timm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return weights whose tensors two networks of timm have."""
    file = tmp_path_factory.mktemp("timm") / "weights.pth"
    network, model = drawn(scalenet.build("mobilenet_v3_small")), scalenet.load("mobilenet_v3_small").model
    torch.save(named(network, model, "timm"), file)
    return file


def test_where_tensors_cannot_tell_the_user_is_asked(of_timm: Path, tmp_path: Path) -> None:
    def asked(**options: Any) -> str:
        with pytest.raises(scalenet.ScalenetError) as caught:
            scalenet.import_weights(of_timm, tmp_path / "run", say=None, **options)
        assert not (tmp_path / "run").exists()
        return str(caught.value)

    both = "tensors that timm/mobilenetv3_small_100 or timm/tf_mobilenetv3_small_100 have, which compute different"
    assert both in asked()
    assert "known: auto, torchvision, timm, huggingface" in asked(library="keras")
    assert "did you mean 'mobilenetv3_small_100'" in asked(name="mobilenetv3_small_10")
    assert "did you mean 'lamb_in1k'" in asked(name="mobilenetv3_small_100.lamb_in2k")
    assert "no tensor conv1.weight, which is stem.conv.weight" in asked(name="resnet18", library="torchvision")
    assert "interpolation 'nearest'" in asked(name="mobilenetv3_small_100", interpolation="nearest")
    assert "crop 2 is no share" in asked(name="mobilenetv3_small_100", crop=2.0)
    assert "std: 0 is none" in asked(name="mobilenetv3_small_100", std=(0, 1, 1))
    assert "2 names of classes for 1000" in asked(name="mobilenetv3_small_100", classes=("a", "b"))


def test_colours_that_libraries_disagree_on_are_asked_for(tmp_path: Path) -> None:
    network, model = drawn(scalenet.build("resnet34", classes=2)), scalenet.load("resnet34").model
    torch.save(named(network, model, "timm"), tmp_path / "mine.pth")
    with pytest.raises(
        scalenet.ScalenetError, match="which images torchvision resnet34 expects is not known"
    ) as caught:
        scalenet.import_weights(tmp_path / "mine.pth", tmp_path / "run", say=None)
    assert "torchvision/resnet34.IMAGENET1K_V1 or timm/resnet34.ra4_e3600_r224_in1k" in str(caught.value)
    found = scalenet.import_weights(tmp_path / "mine.pth", tmp_path / "run", library="torchvision", say=None)
    assert (found.preprocessing.mean, found.doubts) == (MEAN, ())


def test_a_name_gives_eps_padding_and_images(of_timm: Path, tmp_path: Path) -> None:
    plain = scalenet.import_weights(
        of_timm, tmp_path / "plain", library="timm", name="mobilenetv3_small_100.lamb_in1k", say=None
    )
    ported = scalenet.import_weights(
        of_timm, tmp_path / "ported", name="timm/tf-mobilenetv3-small-100.in1k", size=192, say=None
    )
    models = [scalenet.load(found.folder / "config.yaml").model for found in (plain, ported)]
    assert [(model.norm.eps, model.padding, model.resolution) for model in models] == [
        (1e-5, None, 224),
        (1e-3, "same", 192),
    ]
    assert (plain.preprocessing.interpolation, plain.preprocessing.mean) == ("bicubic", MEAN)
    assert (ported.preprocessing.interpolation, ported.preprocessing.mean) == ("bilinear", (0.5, 0.5, 0.5))
    assert ported.preprocessing.resize == round(192 / 0.875)
    assert json.loads((plain.folder / "preprocessing.json").read_text())["resize"] == 256
    assert read_trained(plain.folder).about.plan.classes == imagenet_classes()
    batch, _ = images(plain.module(), 64)
    assert not torch.allclose(plain.module()(batch), ported.module()(batch))


def test_published_files_are_known_by_their_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, model = drawn(scalenet.build("squeezenet1_0")), scalenet.load("squeezenet1_0").model
    torch.save(named(network, model, "torchvision"), tmp_path / "renamed.bin")
    digest = hashlib.sha256((tmp_path / "renamed.bin").read_bytes()).hexdigest()
    (row,) = (one for one in published() if one.name == "squeezenet1_0")
    second = replace(row, weights="IMAGENET1K_V2", sha256=digest[:8], images=replace(row.images, resize=232))
    monkeypatch.setattr(recognising, "published", lambda: (row, second))
    said: list[str] = []
    found = scalenet.import_weights(tmp_path / "renamed.bin", tmp_path / "run", say=said.append)
    assert found.source == "torchvision squeezenet1_0.IMAGENET1K_V2"
    assert (found.preprocessing.resize, found.doubts) == (232, ())
    assert "the centre of 224 px of images of 232 px" in said[0]
    assert "logits of 8 embedded images are finite, their spread is" in said[1]
    (tmp_path / "other.bin").write_bytes((tmp_path / "renamed.bin").read_bytes() + b"\0")
    monkeypatch.setattr(recognising, "published", lambda: (row, replace(second, sha256="00000000")))
    again = scalenet.import_weights(tmp_path / "renamed.bin", tmp_path / "run", force=True, say=said.append)
    assert again.doubts == (
        "images are prepared as for squeezenet1_0.IMAGENET1K_V1; if these are other weights, name them with --as",
    )


def test_networks_that_are_not_known_here_and_have_the_same_tensors_are_told(tmp_path: Path) -> None:
    network, model = drawn(scalenet.build("resnet18")), scalenet.load("resnet18").model
    torch.save(named(network, model, "timm"), tmp_path / "ours.pth")
    words: dict[str, Any] = {"mean": MEAN, "std": (0.25, 0.25, 0.25), "say": None}
    found = scalenet.import_weights(tmp_path / "ours.pth", tmp_path / "run", **words)
    assert "timm's resnetblur18 has the same tensors, and computes something else" in " ".join(found.doubts)
    (tmp_path / "ours.pth").rename(tmp_path / "resnetblur18-84f4748f.pth")
    with pytest.raises(ScalenetError, match="timm's resnetblur18 computes something else than resnet18") as refused:
        scalenet.import_weights(tmp_path / "resnetblur18-84f4748f.pth", tmp_path / "other", **words)
    assert refused.value.hint == "where it is the latter: --as timm/resnet18"
    named_so = scalenet.import_weights(
        tmp_path / "resnetblur18-84f4748f.pth", tmp_path / "other", name="timm/resnet18", **words
    )
    assert not any("resnetblur18" in doubt for doubt in named_so.doubts)


HUB: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "resnet": (
        {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [16, 32], "depths": [2, 1], "hidden_act": "relu"},
        TINY,
        {},
    ),
    "mobilenet_v1": (
        {"model_type": "mobilenet_v1", "depth_multiplier": 0.125, "min_depth": 8},
        "mobilenet_v1",
        {"padding": "same", "width": lambda width: max(8, width // 8)},
    ),
    "mobilenet_v2": (
        {"model_type": "mobilenet_v2", "depth_multiplier": 0.25, "finegrained_output": False, "tf_padding": False},
        "mobilenet_v2",
        {"padding": None, "width": lambda width: max(8, int(width / 4 + 4) // 8 * 8)},
    ),
}
PROCESSOR = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}, "do_center_crop": True}
PROCESSOR |= {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 3}


def of_the_hub(kind: str, tmp_path: Path) -> tuple[nn.Module, Path]:
    config, base, changes = HUB[kind]
    if kind == "resnet":
        network, model = loaded(tiny(tmp_path, base))
    else:
        own = scalenet.load(base).model
        width = changes["width"]
        model = own.changed(
            padding=changes["padding"],
            stem=own.stem.changed(width=width(own.stem.width)),
            stages=tuple(stage.changed(width=width(stage.width)) for stage in own.stages),
            head=own.head.resized(width(own.head.width)).changed(classes=3),
        )
        network = drawn(scalenet.build(model))
    labels = {"id2label": {str(number): name for number, name in enumerate(("cat", "dog", "owl"))}}
    return network, hub_folder(tmp_path / "hub", config | labels, named(network, model, "huggingface"), PROCESSOR)


@pytest.mark.parametrize("kind", HUB)
def test_a_folder_of_hugging_face_says_what_its_network_is(tmp_path: Path, kind: str) -> None:
    network, folder = of_the_hub(kind, tmp_path)
    alone = scalenet.import_weights(folder, tmp_path / "run", say=None)
    described = scalenet.import_weights(folder, tmp_path / "again", name=alone.folder / "config.yaml", say=None)
    batch, expected = images(network)
    for found in (alone, described):
        assert torch.equal(found.module()(batch), expected)
        record = found.preprocessing
        assert (record.size, record.resize, record.interpolation, record.mean) == (32, 40, "bicubic", (0.5, 0.5, 0.5))
        assert read_trained(found.folder).about.plan.classes == ("cat", "dog", "owl")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"downsample_in_bottleneck": True}, "the first convolution of a block strides"),
        ({"model_type": "swin"}, "model_type 'swin' is no network known here"),
        ({"hidden_sizes": [18, 32]}, "18 is no multiple of 4"),
        ({"depths": [2, -1]}, r"depths\[1\]: expected greater than or equal to 1"),
        ({"depths": [2]}, "2 widths for 1 depths"),
        ({"depths": None}, r"config\.json: depths: expected"),
        ({"hidden_act": "mish"}, "mish"),
        ({"num_channels": 1}, "takes images of 1 colours"),
        ({"hidden_sizes": [16, 64]}, "and stages.1.0.main.conv1.conv.weight of"),
    ],
)
def test_a_config_that_computes_something_else_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    _, folder = of_the_hub("resnet", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(scalenet.ScalenetError, match=said):
        scalenet.import_weights(folder, tmp_path / "run", say=None)


def test_images_of_a_folder_are_asked_for_where_it_does_not_say_them(tmp_path: Path) -> None:
    _, folder = of_the_hub("resnet", tmp_path)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(scalenet.ScalenetError, match="which images huggingface resnet expects is not known"):
        scalenet.import_weights(folder, tmp_path / "run", say=None)
    (folder / "config.json").unlink()
    with pytest.raises(scalenet.ScalenetError, match=r"config\.json says what they compute"):
        scalenet.import_weights(folder, tmp_path / "run", say=None)


def test_a_folder_of_timm_says_which_weights_it_has(tmp_path: Path) -> None:
    network, model = drawn(scalenet.build("mobilenet_v3_small", classes=4)), scalenet.load("mobilenet_v3_small").model
    pretrained = {"tag": "mine", "input_size": [3, 160, 160], "crop_pct": 0.9, "interpolation": "bilinear"}
    pretrained |= {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    config = {"architecture": "tf_mobilenetv3_small_100", "num_classes": 4, "pretrained_cfg": pretrained}
    folder = hub_folder(tmp_path / "hub", config, named(network, model, "timm"), {})
    found = scalenet.import_weights(folder, tmp_path / "run", say=None)
    record = found.preprocessing
    assert (record.size, record.resize, record.mean, record.classes) == (160, 177, (0.1, 0.2, 0.3), 4)
    assert (found.source, found.network) == ("timm tf_mobilenetv3_small_100.mine", "tf_mobilenetv3_small_100")
    assert scalenet.load(found.folder / "config.yaml").model.padding == "same"
    assert read_trained(found.folder).about.plan.classes == ("class_0", "class_1", "class_2", "class_3")
    (folder / "config.json").write_text(json.dumps(config | {"model_args": {"in_chans": 1}}))
    with pytest.raises(scalenet.ScalenetError, match="builds tf_mobilenetv3_small_100 with other arguments"):
        scalenet.import_weights(folder, tmp_path / "other", say=None)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with imported weights of three classes in `run`, and photographs of them in `images`."""
    folder = tmp_path_factory.mktemp("imported")
    network, model = loaded(tiny(folder))
    torch.save(named(network, model, "torchvision"), folder / "weights.pth")
    options: dict[str, Any] = {"size": 32, "crop": 32 / 36, "interpolation": "bicubic", "classes": CLASSES}
    scalenet.import_weights(folder / "weights.pth", folder / "run", name=folder / "tiny.yaml", **options, **QUIET)
    draw = np.random.default_rng(0)
    for name in CLASSES[:2]:
        (folder / "images" / name).mkdir(parents=True)
        for number in range(8):
            pixels = draw.integers(0, 256, (90, 120, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "images" / name / f"{number}.png")
    return folder


def as_the_record_says(file: Path) -> Tensor:
    """Return an image as torchvision's presets make it: the short side, then the centre, then the scale."""
    with Image.open(file) as opened:
        small = opened.resize((48, 36), Image.Resampling.BICUBIC)
    values = torch.from_numpy(np.array(small.crop((8, 2, 40, 34)))).permute(2, 0, 1) / 255
    return (values - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def test_evaluate_makes_images_as_the_record_says(imported: Path) -> None:
    files = sorted((imported / "images").glob("*/*.png"))
    labels = torch.tensor([CLASSES.index(file.parent.name) for file in files])
    with torch.no_grad():
        logits = read_trained(imported / "run").module().eval()(torch.stack([*map(as_the_record_says, files)]))
    found = scalenet.evaluate(imported / "run", imported / "images", workers=0, say=None)
    assert len(found) == 16
    assert found.loss == pytest.approx(float(functional.cross_entropy(logits, labels)), rel=1e-3)
    done = CliRunner().invoke(app, ["evaluate", str(imported / "run")])
    assert (done.exit_code, "give its images with --data" in done.stderr) == (2, True)


def test_a_training_begins_with_imported_weights_and_keeps_their_images(imported: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "images", {"dark": 60, "light": 190}, 12, size=40)
    words = ["train", str(imported / "run" / "config.yaml"), "--init", str(imported / "run"), "--data", "images"]
    with contextlib.chdir(tmp_path):
        done = CliRunner().invoke(app, [*words, "--epochs", "1", "--batch-size", "8", "--workers", "0", "-o", "tuned"])
        assert done.exit_code == 0, done.output
        record = json.loads((tmp_path / "tuned" / "preprocessing.json").read_text())
        assert (record["interpolation"], record["classes"], record["crop"]) == ("bicubic", 2, 0.875)
        assert record["mean"] == pytest.approx(MEAN)
        other = tiny(tmp_path, TINY.replace("{kind: batchnorm}", "{kind: batchnorm, eps: 0.001}"))
        done = CliRunner().invoke(app, ["train", str(other), *words[2:], "-o", "other"])
    assert done.exit_code == 2
    assert "another network: norm.eps is 1e-05, not 0.001" in done.stderr
    assert not (tmp_path / "other").exists()


def test_weights_of_scalenet_need_no_import(imported: Path, tmp_path: Path) -> None:
    with pytest.raises(scalenet.ScalenetError, match="weights that scalenet wrote"):
        scalenet.import_weights(imported / "run", tmp_path / "again", say=None)


def test_nothing_is_written_over(imported: Path) -> None:
    words = ["weights", "import", str(imported / "weights.pth"), "--as", str(imported / "tiny.yaml")]
    words += ["--mean", "0,0,0", "--std", "1,1,1"]
    before = (imported / "run" / "preprocessing.json").read_text()
    done = CliRunner().invoke(app, [*words, "-o", str(imported / "run")])
    assert (done.exit_code, "--force replaces it" in done.stderr) == (2, True)
    (imported / "training").mkdir()
    (imported / "training" / "environment.json").touch()
    done = CliRunner().invoke(app, [*words, "-o", str(imported / "training"), "--force"])
    assert (done.exit_code, "holds a training" in done.stderr) == (2, True)
    assert (imported / "run" / "preprocessing.json").read_text() == before


def test_the_command_says_what_it_took(imported: Path, tmp_path: Path) -> None:
    words = ["weights", "import", str(imported / "weights.pth"), "--as", str(imported / "tiny.yaml"), "--json"]
    done = CliRunner().invoke(app, [*words, "--mean", "0,0,0", "--std", "1,1,1", "-o", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout)
    assert (row["network"], row["classes"], row["preprocessing"]["std"]) == ("tiny_resnet", 3, [1, 1, 1])
    assert row["spread"] > 0
    done = CliRunner().invoke(app, [*words, "--mean", "0,0", "--std", "1,1,1", "-o", str(tmp_path / "other")])
    assert (done.exit_code, "mean: 2 numbers" in done.stderr) == (2, True)
    done = CliRunner().invoke(app, [*words, "--mean", "red", "--std", "1,1,1", "-o", str(tmp_path / "other")])
    assert (done.exit_code, "write 0.485,0.456,0.406" in done.stderr) == (2, True)
