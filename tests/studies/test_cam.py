"""Class activation maps: held against the logits they add up to, and against images that are masks of themselves."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from commands import SCALENET, run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

import scalenet
from scalenet.arch.config import Config
from scalenet.arch.factory import Factory
from scalenet.studies.activation import Mapper, ModuleMapper
from scalenet.studies.pictures import Embedded, photographs
from scalenet.training.checkpoint import About, Imported, write_weights
from scalenet.training.data import ImageSet, embedded_splits
from scalenet.training.embedded import render, render_masks

if TYPE_CHECKING:
    from pathlib import Path

LINEAR = ["small_resnet", "efficientnet_b0", "mobilenet_v2", "densenet121", "squeezenet1_0", "repvgg_a0"]
"""Heads in which nothing but a linear layer follows the pooling, or nothing at all."""

OTHERS = ["convnext_atto", "mobilenet_v3_small"]


def used(name: str) -> tuple[nn.Module, scalenet.Architecture]:
    """Return a small network with statistics that are not fresh."""
    architecture = scalenet.scale(name, width=0.25).at(64)
    network = scalenet.build(architecture, classes=7)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d) and layer.running_mean is not None:
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)  # type: ignore[operator]
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.weight)
            torch.nn.init.normal_(layer.bias)
    return network.eval().double(), architecture


@pytest.mark.parametrize("name", LINEAR)
def test_the_mean_of_a_map_and_the_bias_are_the_logit(name: str) -> None:
    network, architecture = used(name)
    images = torch.randn(2, 3, 64, 64).double()
    mapper = Mapper(network, architecture.model)  # type: ignore[arg-type]
    features, logits = mapper(images)
    with torch.no_grad():
        assert torch.equal(logits, network(images))
    for chosen in (torch.tensor([0, 6]), logits.argmax(dim=1)):
        maps = mapper.maps(features, chosen)
        assert maps.shape == (2, *features.shape[2:])
        expected = logits.gather(1, chosen[:, None])[:, 0]
        assert torch.allclose(maps.mean(dim=(1, 2)) + mapper.bias(chosen), expected, rtol=1e-9, atol=1e-9)
        mapper.exact = False
        assert torch.allclose(mapper.maps(features, chosen), maps)  # by gradient: the same where both can be had
        mapper.exact = True


@pytest.mark.parametrize("name", OTHERS)
def test_elsewhere_maps_follow_the_gradient(name: str) -> None:
    network, architecture = used(name)
    mapper = Mapper(network, architecture.model)  # type: ignore[arg-type]
    features, logits = mapper(torch.randn(2, 3, 64, 64).double())
    chosen = logits.argmax(dim=1)
    assert not mapper.exact
    assert mapper.bias(chosen).isnan().all()
    maps = mapper.maps(features, chosen)
    # A place whose channels grow by a small share moves the logit by that share of its value.
    step = 1e-6
    moved = features.clone()
    moved[:, :, 0, 1] *= 1 + step
    slope = (mapper._rest(moved) - logits).gather(1, chosen[:, None])[:, 0] / step
    assert torch.allclose(slope, maps[:, 0, 1] / maps[0].numel(), rtol=1e-3, atol=1e-6)


FACTORY = Factory(callable="some:network", width=1.0, depth=1.0, resolution=64)


@pytest.mark.parametrize("name", [LINEAR[0], LINEAR[2], *OTHERS])
def test_of_a_module_without_a_description_the_maps_are_the_same(name: str) -> None:
    network, architecture = used(name)
    images = torch.randn(2, 3, 64, 64).double()
    described, looked = Mapper(network, architecture.model), ModuleMapper(network, FACTORY)  # type: ignore[arg-type]
    (features, logits), (found, same) = described(images), looked(images)
    assert torch.equal(logits, same)
    for chosen in (torch.tensor([0, 6]), logits.argmax(dim=1)):
        assert torch.allclose(looked.maps(found, chosen), described.maps(features, chosen), rtol=1e-6, atol=1e-9)
    assert looked.bias(chosen).isnan().all()


class Aside(nn.Module):
    """Changes a map in place, gives it with its channels last, and has a map on which nothing depends."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.unused, self.last = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 2, 1), nn.Linear(5, 7)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        maps = self.body(images).relu_()
        self.unused(maps)
        logits: torch.Tensor = self.last(maps.permute(0, 2, 3, 1)).mean(dim=(1, 2))
        return logits


def test_the_last_map_of_a_module_is_one_that_logits_depend_on() -> None:
    images = torch.randn(2, 3, 8, 8)
    network = Aside()
    mapper = ModuleMapper(network, FACTORY.at(8))
    features, logits = mapper(images)
    assert "'body'" in mapper.how
    weight, chosen = network.last.weight, torch.tensor([1, 4])
    expected = torch.einsum("nc,nchw->nhw", weight[chosen], network.body(images).relu())
    assert torch.allclose(mapper.maps(features, chosen), expected, atol=1e-6)
    assert torch.allclose(logits, network(images))
    flat = nn.Sequential(nn.Flatten(), nn.Linear(192, 7))
    with pytest.raises(scalenet.ScalenetError, match="some:network: no module in it gives a map of several places"):
        ModuleMapper(flat, FACTORY.at(8))


def test_masks_of_the_embedded_task_cover_the_bright_striped_object() -> None:
    images, _ = render(64, size=48, seed=5)
    masks = render_masks(64, size=48, seed=5).astype(float) / 255
    assert np.array_equal(render_masks(20, size=48, seed=5), np.rint(255 * masks[:20]).astype(np.uint8))
    bright = images.mean(axis=1)
    inside = (bright * masks).sum(axis=(1, 2)) / masks.sum(axis=(1, 2))
    outside = (bright * (1 - masks)).sum(axis=(1, 2)) / (1 - masks).sum(axis=(1, 2))
    assert (inside > outside + 30).all()
    assert ((masks.mean(axis=(1, 2)) > 0.05) & (masks.mean(axis=(1, 2)) < 0.4)).all()


@given(
    wide=st.integers(20, 70),
    high=st.integers(20, 70),
    size=st.tuples(st.integers(8, 40), st.integers(8, 40)),
    crop=st.sampled_from([1.0, 0.875, 0.5]),
    turned=st.sampled_from([1, 3, 6, 8]),
    data=st.data(),
)
def test_boxes_are_cut_and_turned_as_their_image_is(
    tmp_path_factory: pytest.TempPathFactory,
    wide: int,
    high: int,
    size: tuple[int, int],
    crop: float,
    turned: int,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("boxes")
    left, top = data.draw(st.integers(0, wide // 2)), data.draw(st.integers(0, high // 2))
    upright = np.zeros((high, wide), np.uint8)
    upright[top : top + 12, left : left + 12] = 255
    stored = {1: upright, 3: np.rot90(upright, 2), 6: np.rot90(upright), 8: np.rot90(upright, -1)}[turned]
    exif = Image.Exif()
    exif[0x0112] = turned
    Image.fromarray(np.ascontiguousarray(stored)).save(folder / "a.png", exif=exif)
    box = (left, top, min(wide, left + 12), min(high, top + 12))
    (folder / "objects.csv").write_text(f"image,left,top,right,bottom\na.png,{','.join(map(str, box))}\n")
    found = photographs([], folder / "objects.csv")
    first = slice(0, 1)
    masks = found.masks(first, size, crop)
    assert masks is not None
    assert torch.equal(masks, found.read(first, size, crop, "bilinear")[:, 0].float() / 255)


def trained(folder: Path, width: float = 0.5) -> Path:
    """Write weights of a small network that knows cats and dogs."""
    architecture = scalenet.scale("small_resnet", width=width).at(32)
    config = Config(schema="scalenet/1", name=architecture.name, model=architecture.model.with_classes(2))
    network = scalenet.build(config)
    plan = Imported(schema="scalenet-import/1", config=config, classes=("cat", "dog"), source="a test", file="-")
    about = About(schema="scalenet-weights/1", plan=plan, mean=(128.0,) * 3, deviation=(64.0,) * 3)
    write_weights(folder / "model.safetensors", network.state_dict(), about)
    return folder


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """Return a folder with two models, two images in folders of their classes, and tables of objects."""
    for name, width in (("narrow", 0.5), ("wide", 1.0)):
        (tmp_path / name).mkdir()
        trained(tmp_path / name, width)
    draws = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.fromarray(draws.integers(0, 255, (40, 60, 3), np.uint8)).save(tmp_path / name / "1.jpg")
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 20:40] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    (tmp_path / "boxes.csv").write_text(
        "image,left,top,right,bottom,class\ncat/1.jpg,20,10,30,30,cat\ncat/1.jpg,30,10,40,30,cat\ndog/1.jpg,0,0,60,40,dog\n"
    )
    (tmp_path / "masks.csv").write_text("image,mask\ncat/1.jpg,mask.png\n")
    return tmp_path


def test_two_models_side_by_side(animals: Path) -> None:
    done = run(
        [*SCALENET, "cam", "narrow", "wide", "--objects", "boxes.csv", "--class", "true", "-o", "out", "--json"],
        cwd=animals,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [row["images"] for row in found["models"]] == [2, 2]
    assert [row["class"] for row in found["images"]] == ["cat", "dog"] * 2
    names = ["cam.csv", "cam.pdf", "cam.png", "cam.svg", "maps.npz"]
    assert sorted(file.name for file in (animals / "out").iterdir()) == names
    with (animals / "out" / "cam.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["predicted"] for row in rows] == [row["predicted"] for row in found["images"]]
    kept = np.load(animals / "out" / "maps.npz")
    for model in ("0", "1"):
        means = kept[f"{model}_maps"].mean(axis=(1, 2)) + kept[f"{model}_bias"]
        chosen = kept[f"{model}_logits"][np.arange(2), kept[f"{model}_chosen"]]
        assert np.allclose(means, chosen, atol=1e-5)
    again = run([*SCALENET, "cam", "narrow", "cat/1.jpg", "-o", "out"], cwd=animals)
    assert again.returncode == 2
    assert "has maps already" in again.stderr


def test_the_whole_image_has_the_whole_map_and_a_mask_is_its_box(animals: Path) -> None:
    say = list[str]()
    boxes = scalenet.cam([animals / "wide"], objects=animals / "boxes.csv", of="cat", say=say.append).frame()
    masks = scalenet.cam([animals / "wide"], objects=animals / "masks.csv", of="cat", say=say.append).frame()
    assert boxes.on_object[1] == pytest.approx(1)
    assert boxes.object_area[1] == pytest.approx(1)
    assert masks.on_object[0] == pytest.approx(boxes.on_object[0])
    assert masks.object_area[0] == pytest.approx(20 * 20 / 40**2, abs=0.02)
    assert not say


def test_the_same_maps_are_the_same_bytes(animals: Path) -> None:
    image = (animals / "cat" / "1.jpg").rename(animals / "猫 [$1$].jpg")
    found = [scalenet.cam([animals / "wide", animals / "narrow"], [image]) for _ in range(2)]
    for number, one in enumerate(found):
        one.save(animals / str(number))
    for file in (animals / "0").iterdir():
        assert file.read_bytes() == (animals / "1" / file.name).read_bytes(), file.name


def test_the_interval_is_students(animals: Path) -> None:
    from scipy.stats import ttest_1samp, ttest_rel

    draws = np.random.default_rng(0)
    for name in "abcd":
        Image.fromarray(draws.integers(0, 255, (32, 32, 3), np.uint8)).save(animals / f"{name}.png")
    lines = [f"{name}.png,4,4,20,20" for name in "abcd"]
    (animals / "four.csv").write_text("\n".join(["image,left,top,right,bottom", *lines]))
    found = scalenet.cam([animals / "narrow", animals / "wide"], objects=animals / "four.csv", of="dog")
    first, second = found.summary()
    shares = [one.on_object.astype(float) for one in found.models]
    low, high = ttest_1samp(shares[0], 0).confidence_interval(0.95)
    assert (first["on_object"] - first["interval"], first["on_object"] + first["interval"]) == pytest.approx(
        (low, high)
    )
    low, high = ttest_rel(shares[1], shares[0]).confidence_interval(0.95)
    gain, half = second["gain"], second["gain_interval"]
    assert (gain - half, gain + half) == pytest.approx((low, high))


WRONG: list[tuple[list[str], str]] = [
    (["narrow"], "not trained on the embedded images"),
    (["cat/1.jpg"], "no model is given"),
    (["narrow", "nowhere.jpg"], "nowhere.jpg: no such image"),
    (["nowhere", "cat/1.jpg"], "nowhere"),
    (["narrow", "cat/1.jpg", "--class", "dgo"], "did you mean 'dog'?"),
    (["narrow", "boxes.csv"], "boxes.csv"),
    (["narrow", "cat/1.jpg", "--images", "3"], "--images are embedded ones"),
    (["narrow", "cat/1.jpg", "--rows", "0"], "--rows"),
    (["narrow", "broken.png"], "broken.png: not an image that can be read"),
    (["narrow", "broken.png", "--class", "true"], "its class is not known"),
    (["narrow", "dog/1.jpg", "--objects", "masks.csv"], "masks.csv does not say where its object is"),
    (["narrow", "--objects", "outside.csv"], "its object lies outside its 60 × 40 px"),
    (["narrow", "--objects", "empty.csv"], "line 2 is an empty box"),
    (["narrow", "--objects", "letters.csv"], "line 2 has neither a mask nor four numbers"),
    (["narrow", "--objects", "columns.csv"], "column 'x0' is not known"),
    (["narrow", "--objects", "none.csv"], "names no image"),
    (["narrow", "--objects", "size.csv"], "its image 60 × 40"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_what_is_asked_wrongly_is_one_line(
    animals: Path, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    from scalenet_cli.main import main

    (animals / "broken.png").write_bytes(b"no image")
    head = "image,left,top,right,bottom\n"
    (animals / "outside.csv").write_text(f"{head}cat/1.jpg,200,0,210,9\n")
    (animals / "empty.csv").write_text(f"{head}cat/1.jpg,9,0,9,9\n")
    (animals / "letters.csv").write_text(f"{head}cat/1.jpg,9,0,nine,9\n")
    (animals / "columns.csv").write_text("image,x0,y0,x1,y1\ncat/1.jpg,9,0,9,9\n")
    (animals / "none.csv").write_text(head)
    Image.new("L", (8, 8), 255).save(animals / "small.png")
    (animals / "size.csv").write_text("image,mask\ncat/1.jpg,small.png\n")
    monkeypatch.chdir(animals)
    monkeypatch.setattr("sys.argv", ["scalenet", "cam", *arguments, "-o", "out"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    shown = capfd.readouterr().err
    assert said in shown
    assert "Traceback" not in shown
    assert not (animals / "out").exists()


def test_embedded_images_are_those_held_out() -> None:
    held_out = embedded_splits(train=1, validation=20).validation
    assert isinstance(held_out, ImageSet)
    pictures = Embedded(20)
    assert torch.equal(pictures.read(slice(4, 20), (48, 48), 1.0, "bilinear"), held_out.images[4:20])
    masks = pictures.masks(slice(4, 20), (30, 24), 0.875)
    assert masks.shape == (16, 30, 24)
    assert 0 < float(masks.mean()) < 0.5
