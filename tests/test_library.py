"""The library's own calls: names, paths, configs, architectures and models alike."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch

import scalenet
from scalenet.arch.errors import ScalenetError, UnknownNameError
from scalenet.scaling.scaler import find_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RULE = scalenet.CompoundRule(alpha=1.2, beta=1.1, gamma=1.15, phi=3)

CALLS: dict[str, Callable[[Any], Any]] = {
    "load": lambda network: scalenet.load(network).model,
    "cost": scalenet.cost,
    "memory": lambda network: scalenet.memory(network, batch=2, training=True),
    "largest_batch": lambda network: scalenet.largest_batch(network, 2**30),
    "scale": lambda network: scalenet.scale(network, width=0.5, rounding="fine").model,
    "scale_by": lambda network: scalenet.scale_by(network, RULE, rounding="fine").model,
    "build": lambda network: {name: value.shape for name, value in scalenet.build(network).state_dict().items()},
    "latency": lambda network: len(scalenet.latency(network, runs=1, warmup=1).seconds),
    "measure": lambda network: scalenet.measure(network).flops_by_operator,
}


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    config = find_config("small_resnet")
    path = tmp_path_factory.mktemp("library") / "small.yaml"
    scalenet.save(config, path)
    return ["small_resnet", "small-resnet", path, str(path), config, config.architecture(), config.model]


@pytest.mark.parametrize("call", CALLS)
def test_a_network_is_taken_in_every_form(call: str, forms: list[Any]) -> None:
    first, *others = map(CALLS[call], forms)
    assert all(other == first for other in others)


@pytest.mark.parametrize("call", CALLS)
def test_a_preset_is_taken_and_what_is_no_network_is_refused(call: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'resnet18'"):
        CALLS[call]("resnet19")
    with pytest.raises(ScalenetError, match="no such file"):
        CALLS[call](tmp_path / "none.yaml")
    for wrong in (None, 3, {"resnet18": 1}):
        with pytest.raises(ScalenetError, match=r"no network: .*give a name, a path, a config"):
            CALLS[call](wrong)


def test_a_preset_costs_what_it_does_by_hand() -> None:
    assert scalenet.cost("efficientnet-b3").flops == scalenet.cost(scalenet.load("efficientnet_b3")).flops


@pytest.mark.parametrize(
    ("base", "dropout"), [("efficientnet_b0", 0.3286), ("mobilenet_v2", 0.3286), ("resnet50", 0.0)]
)
def test_scale_by_gives_the_bytes_that_the_command_writes(base: str, dropout: float, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scalenet_cli", "scale", "--base", base, "--phi", "3", "-o", "command.yaml"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    scaled = scalenet.scale_by(base, RULE)
    scalenet.save(scaled, tmp_path / "library.yaml")
    assert (tmp_path / "library.yaml").read_bytes() == (tmp_path / "command.yaml").read_bytes()
    assert scaled.model.regularization.dropout == dropout


def test_a_model_is_saved_as_a_network(tmp_path: Path) -> None:
    grey = scalenet.load("resnet18").with_channels(1).with_classes(10).at(64)
    scalenet.save(grey.model, tmp_path / "grey.yaml")
    assert scalenet.load(tmp_path / "grey.yaml").model == grey.model
    assert scalenet.load(tmp_path / "grey.yaml").name == "network"


def test_a_module_is_measured_for_an_input_only() -> None:
    assert scalenet.measure(torch.nn.Linear(3, 4), torch.zeros(1, 3)).flops == 12
    with pytest.raises(ScalenetError, match="for an input"):
        scalenet.measure(torch.nn.Linear(3, 4))
    assert scalenet.measure("small_resnet", torch.zeros(1, 3, 24, 24)).flops == (
        scalenet.cost(scalenet.load("small_resnet").at(24)).flops
    )
