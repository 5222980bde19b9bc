"""Names of tensors: the same at every width, and those of version 0.1 still load."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SMALL
from safetensors.torch import load_file

import scalenet
from scalenet.model.names import names_of_today
from scalenet.training.checkpoint import read_trained

BEFORE = Path(__file__).parents[1] / "golden" / "written_before" / "tiny.safetensors"
"""Weights that version 0.1 trained: mbconv and bottleneck blocks, with and without shortcuts."""

IMAGE = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)
LOGITS = [0.110933, -0.8659, 0.398791, 0.34227, 0.461588, 0.356568, -0.129028, 0.365918]
"""The first ones that version 0.1 gave for that image with those weights."""


@cache
def names(base: str, **factors: float) -> list[str]:
    with torch.device("meta"):
        return list(scalenet.build(scalenet.scale(base, **factors)).state_dict())


@pytest.mark.parametrize("base", SMALL)
@given(width=st.floats(0.05, 3), resolution=st.floats(0.5, 2))
@settings(max_examples=4)
def test_names_do_not_depend_on_widths(base: str, width: float, resolution: float) -> None:
    assert names(base, width=width, resolution=resolution) == names(base)


def test_a_deeper_network_has_the_same_names_and_more() -> None:
    assert set(names("efficientnet_b0", depth=1.6)) > set(names("efficientnet_b0", width=0.25))
    assert "stages.0.0.main.depthwise.conv.weight" in names("efficientnet_b0")


def test_weights_of_0_1_give_the_logits_that_they_gave() -> None:
    module = read_trained(BEFORE).module().eval()
    assert module(IMAGE)[0, :8].tolist() == pytest.approx(LOGITS, abs=1e-5)


def test_a_training_starts_from_weights_of_0_1() -> None:
    trained = read_trained(BEFORE)
    network = scalenet.build(trained.about.plan.config)
    trained.start(network, trained.about.plan.classes)
    assert network.eval()(IMAGE)[0, :8].tolist() == pytest.approx(LOGITS, abs=1e-5)


def test_a_network_within_another_takes_names_of_0_1() -> None:
    trained = read_trained(BEFORE)
    network = torch.nn.Sequential(scalenet.build(trained.about.plan.config))
    network.load_state_dict({f"0.{name}": value for name, value in load_file(BEFORE).items()})
    assert network.eval()(IMAGE)[0, :8].tolist() == pytest.approx(LOGITS, abs=1e-5)


def test_names_within_a_checkpoint_become_those_of_today() -> None:
    network = scalenet.build("mobilenet_v2")
    today = {
        f"{start}{name}{end}": value
        for name, value in network.state_dict().items()
        for start, end in (("weights/", ""), ("average/module.", ""), ("optimizer/", "/square_avg"))
    }
    strides = r"(?<=stages\.[0-6]\.0\.)main\."  # in MobileNetV2 the first block of no stage has a shortcut
    before = {re.sub(strides, "", name): value for name, value in today.items()}
    assert before.keys() != today.keys()
    assert list(names_of_today(before, network)) == list(today)
    assert list(names_of_today(today, network)) == list(today)
    assert names_of_today({"random/0/cpu": 1, "average/n_averaged": 2}, network) == {
        "random/0/cpu": 1,
        "average/n_averaged": 2,
    }


def test_blocks_without_a_main_path_keep_their_names() -> None:
    network = scalenet.build("mobilenet_v1")
    assert list(names_of_today(network.state_dict(), network)) == list(network.state_dict())


def test_a_name_that_is_missing_is_still_missed() -> None:
    weights = load_file(BEFORE)
    weights.pop("stages.1.0.expand.conv.weight")
    with pytest.raises(RuntimeError, match=r"Missing key.*stages\.1\.0\.main\.expand\.conv\.weight"):
        scalenet.build(read_trained(BEFORE).about.plan.config).load_state_dict(weights)
