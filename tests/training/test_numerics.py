"""The order of maps in memory: by a rule, unless the recipe says which; and it changes no more than the last digits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from scalenet import build, load
from scalenet.training.loop import Training
from scalenet.training.numerics import memory_format
from scalenet.training.recipe import change, load_recipe
from scalenet.training.runs import Reading, read_images

if TYPE_CHECKING:
    from pathlib import Path

LAST, DEFAULT = torch.channels_last, torch.contiguous_format


@pytest.mark.parametrize(
    ("name", "size", "changes", "expected"),
    [
        ("resnet18", 64, {}, DEFAULT),
        ("resnet18", 224, {}, LAST),
        ("resnet18", 64, {"precision": "bfloat16"}, LAST),
        ("resnet18", 64, {"channels_last": True}, LAST),
        ("mobilenet_v2", 32, {}, LAST),
        ("mobilenet_v2", 32, {"channels_last": False}, DEFAULT),
    ],
)
def test_many_channels_on_few_pixels_are_in_the_default_order(
    name: str, size: int, changes: dict[str, Any], expected: torch.memory_format
) -> None:
    architecture = load(name).at(size)
    recipe = change(load_recipe("small_images"), changes.items())
    assert memory_format(recipe, architecture.model, build(architecture)) == expected


@pytest.mark.parametrize(("capability", "expected"), [("AVX2", LAST), ("AVX512", DEFAULT)])
def test_what_crashes_in_channels_last_is_in_the_default_order(
    capability: str, expected: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first shortcut of `small_resnet` has 12 channels: more than 8 numbers a register, fewer than 16."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    network = load("small_resnet")
    recipe = change(load_recipe("search"), [("channels_last", True)])
    for one in (load_recipe("search"), recipe):
        assert memory_format(one, network.model, build(network)) == expected


def test_the_order_changes_no_more_than_the_last_digits(tiny: Path) -> None:
    recipe = change(load_recipe("small_images"), [("epochs", 2), ("batch_size", 20)])
    splits = read_images(tiny / "images", recipe=recipe, resolution=(8, 8), reading=Reading(seed=0))
    losses = []
    for layout in (LAST, DEFAULT):
        torch.manual_seed(0)
        network = build(load(tiny / "net.yaml"), classes=2)
        training = Training(network, splits, recipe=recipe, resolution=(8, 8), seed=0, layout=layout)
        losses.append([record["loss"] for record in training.run().curve])
        assert network.stem.conv.weight.is_contiguous(memory_format=layout)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
