"""Names and files that stand for architectures."""

from __future__ import annotations

from pathlib import Path

import pytest

import scalenet
from scalenet.arch import registry
from scalenet.arch.errors import ScalenetError, UnknownNameError, nearest
from scalenet.scaling.scaler import find_config

PROMISED = {
    "efficientnet_b0",
    "mobilenet_v1",
    "mobilenet_v2",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
}


def test_the_promised_baselines_are_registered_in_order_of_name() -> None:
    names = list(registry.names())
    assert set(names) >= PROMISED
    assert names == sorted(names)


@pytest.mark.parametrize("name", registry.names())
def test_every_baseline_says_what_it_is_and_how_it_rounds(name: str) -> None:
    baseline = registry.registered(name).baseline
    assert baseline is not None
    assert baseline.title
    assert baseline.source
    assert scalenet.scale(scalenet.load(name), depth=1.3).rounding == baseline.rounding


def test_a_hyphen_is_as_good_as_an_underscore() -> None:
    assert scalenet.load("efficientnet-b0") == scalenet.load("efficientnet_b0")
    assert scalenet.load("efficientnet-b3") == scalenet.load("efficientnet_b3")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnet5", "resnet50"),
        ("mobilenetv2", "mobilenet_v2"),
        ("eficientnet_b0", "efficientnet_b0"),
        ("efficientnt_b3", "efficientnet_b3"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        scalenet.load(name)
    assert caught.value.message == f"unknown baseline {name!r}"
    assert near in str(caught.value.hint)
    assert isinstance(caught.value, ValueError)


def test_a_name_like_no_other_leads_to_the_list() -> None:
    with pytest.raises(UnknownNameError, match="`scalenet baselines` lists them"):
        scalenet.load("zzzzzz")


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_as_good_as_a_name(kind: type, tmp_path: Path) -> None:
    scalenet.save(scalenet.load("resnet18"), tmp_path / "mine.yaml")
    assert scalenet.load(kind(tmp_path / "mine.yaml")).model == scalenet.load("resnet18").model


def test_a_file_in_the_working_folder_is_found_by_its_suffix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scalenet.save(scalenet.load("resnet18"), "resnet50.yaml")
    assert scalenet.load("resnet50.yaml").model == scalenet.load("resnet18").model


@pytest.mark.parametrize("path", ["nope.yaml", "folder/nope", "nope.yml"])
def test_a_path_that_leads_nowhere_is_named(path: str) -> None:
    with pytest.raises(ScalenetError, match=f"^{path}: no such file"):
        scalenet.load(path)


def test_a_config_made_by_scaling_keeps_the_rounding_set_of_its_base(tmp_path: Path) -> None:
    scalenet.save(find_config("efficientnet_lite2"), tmp_path / "scaled.yaml")
    assert scalenet.load(tmp_path / "scaled.yaml") == scalenet.load("efficientnet_lite2")
    assert scalenet.load("efficientnet_lite2").rounding == "lite"


def test_nearest_has_nothing_to_say_where_nothing_is_near() -> None:
    assert nearest("zzz", ["alpha", "beta"]) is None
    assert nearest("alpa", ["alpha", "beta"]) == "did you mean 'alpha'?"
