"""The library's own calls: names, paths, configs, architectures and models alike."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import commands
import numpy as np
import pytest
import torch
from commands import SCALENET
from scalenet_cli.main import app
from typer.testing import CliRunner

import scalenet
from scalenet.arch.config import dumps
from scalenet.arch.convention import matrix_flops
from scalenet.arch.errors import ScalenetError, UnknownNameError
from scalenet.scaling.scaler import find_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RULE = scalenet.CompoundRule(alpha=1.2, beta=1.1, gamma=1.15, phi=3)

CALLS: dict[str, Callable[[Any], Any]] = {
    "load": lambda network: scalenet.load(network).model,
    "cost": scalenet.cost,
    "cost of many": lambda network: scalenet.cost(network, width=[0.5, 2], rounding="fine").flops.tolist(),
    "exponents": lambda network: [exponent.local for exponent in scalenet.exponents(network)],
    "growth": lambda network: scalenet.growth(network).measured,
    "verify": scalenet.verify,
    "explain": lambda network: scalenet.explain(network, network).parts,
    "diff": lambda network: scalenet.diff(network, "resnet18").stages,
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
    words = ["scale", "--base", base, "--phi", "3", "-o", "command.yaml"]
    commands.run([*SCALENET, *words], cwd=tmp_path, check=True)
    scaled = scalenet.scale_by(base, RULE)
    scalenet.save(scaled, tmp_path / "library.yaml")
    assert (tmp_path / "library.yaml").read_bytes() == (tmp_path / "command.yaml").read_bytes()
    assert scaled.model.regularization.dropout == dropout


LIKE_COMMANDS: list[tuple[str, dict[str, Any]]] = [
    ("--phi 3", {"phi": 3}),
    ("--phi 2 --exact", {"phi": 2, "exact": True}),
    ("--alpha 1.3 --beta 1 --gamma 1.1", {"alpha": 1.3, "beta": 1, "gamma": 1.1}),
    ("--rule dwr --phi 2", {"rule": "dwr", "phi": 2}),
    ("--shares 0.2,0.5,0.3", {"shares": (0.2, 0.5, 0.3)}),
    ("--depth 1.4 --width 1.2", {"depth": 1.4, "width": 1.2}),
    ("--flops 2x --params 40M", {"flops": "2x", "params": 40_000_000}),
    ("--flops 8G --sizes 32 --tolerance 0.05", {"flops": 8_000_000_000, "sizes": 32, "tolerance": 0.05}),
    ("--memory 300MiB --batch 2", {"memory": "300MiB", "batch": 2}),
    ("--flops 1.5x --rounding nearest", {"flops": "1.5x", "rounding": "nearest"}),
]


@pytest.mark.parametrize(("words", "options"), LIKE_COMMANDS)
def test_what_scale_writes_scale_by_gives(words: str, options: dict[str, Any]) -> None:
    done = CliRunner().invoke(app, ["scale", "--base", "resnet50", *words.split(), "-o", "-"])
    assert done.exit_code == 0, done.stderr
    assert dumps(scalenet.scale_by("resnet50", say=None, **options)) == done.stdout


def test_a_family_is_several_networks() -> None:
    found = scalenet.family("resnet18", phi=range(1, 4))
    assert [config.name for config in found] == [f"resnet18_phi{phi}" for phi in (1, 2, 3)]
    assert found[1] == scalenet.scale_by("resnet18", phi=2)
    assert len(scalenet.family("resnet18", flops=["1x", "2G"])) == 2
    with pytest.raises(ScalenetError, match=r"2 networks are asked for .*family"):
        scalenet.scale_by("resnet18", phi=[1, 2])
    assert scalenet.scale_by("resnet18", phi=1, name="mine").name == "mine"


def test_numbers_of_numpy_are_numbers() -> None:
    costs = scalenet.cost("small_resnet", width=np.array([1.0, 1.5]))
    assert scalenet.family("small_resnet", phi=np.arange(1, 3)) == scalenet.family("small_resnet", phi=[1, 2])
    plain = [int(one) for one in costs.flops]
    assert scalenet.family("small_resnet", flops=costs.flops) == scalenet.family("small_resnet", flops=plain)
    assert scalenet.scale_by("small_resnet", phi=np.float32(1.5)) == scalenet.scale_by("small_resnet", phi=1.5)


def test_coefficients_are_a_file_a_mapping_or_an_answer(tmp_path: Path) -> None:
    numbers = {"alpha": 1.3, "beta": 1.05, "gamma": 1.1}
    lines = [f"{name}: {value}" for name, value in numbers.items()]
    (tmp_path / "found.yaml").write_text("\n".join(["schema: scalenet-coefficients/1", *lines]))
    wanted = scalenet.scale_by("resnet18", phi=2, **numbers)  # type: ignore[arg-type]
    for given in (tmp_path / "found.yaml", str(tmp_path / "found.yaml"), numbers, SimpleNamespace(**numbers)):
        assert scalenet.scale_by("resnet18", coefficients=given, phi=2) == wanted
    for wrong in ({"alpha": 1}, 3):
        with pytest.raises(ScalenetError, match="no coefficients"):
            scalenet.scale_by("resnet18", coefficients=wrong)


def test_a_budget_that_is_not_met_is_told() -> None:
    lines: list[str] = []
    scalenet.scale_by("resnet18", flops=3_000_000_001, tolerance=0, sizes=32, say=lines.append)
    assert "no network meets the budget" in lines[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"phy": 3}, "did you mean 'phi'"),
        ({"rule": "wdr"}, "unknown rule 'wdr'"),
        ({"phi": "x"}, "phi 'x' is not a number"),
        ({"phi": 101}, "too large"),
        ({"phi": 1, "depth": 2}, "depth and phi exclude each other"),
        ({"flops": "4Q"}, "'4Q' is not an amount"),
        ({"flops": -1}, "-1 is not an amount"),
        ({"flops": None, "latency": "1"}, "is not a time"),
        ({"latency": -2}, "latency -2 is not a time"),
        ({"shares": (1, 2)}, "not three numbers"),
        ({"shares": (1, 2, 3)}, "add up to 6"),
        ({"alpha": "x"}, "alpha: expected a valid number"),
        ({"sizes": 8}, "sizes without a budget"),
        ({"phi": 1, "tolerance": 0.3}, "tolerance without a budget"),
        ({"flops": "2x", "batch": 8}, "batch without a limit of memory or latency"),
        ({"flops": "2x", "training": True}, "training without a limit of memory"),
        ({"memory": "2x", "device": "cuda"}, "device without a limit of latency"),
        ({"phi": []}, "an empty list of values"),
        ({"preset": "efficientnet_b77"}, "did you mean"),
        ({"coefficients": "none.yaml"}, "No such file"),
        ({"flops": "2x", "sizes": "x"}, "sizes"),
        ({"flops": "2x", "tolerance": 3}, "tolerance"),
        ({"flops": "2x", "batch": 0}, "batch"),
    ],
)
def test_a_scaling_that_is_asked_wrongly_is_one_line(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ScalenetError, match=said) as caught:
        scalenet.scale_by("resnet18", **options)
    assert "\n" not in str(caught.value)


def test_a_rule_of_ones_own_takes_no_options() -> None:
    with pytest.raises(ScalenetError, match="a rule and phi exclude each other"):
        scalenet.scale_by("resnet18", RULE, phi=3)


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


@pytest.mark.parametrize("rounding", [None, "fine"])
@pytest.mark.parametrize("name", ["efficientnet_b0", "resnet50", "efficientnet_lite0"])
def test_arrays_of_multipliers_cost_what_each_network_does(name: str, rounding: str | None) -> None:
    random = np.random.default_rng(1)
    depth, width, resolution = random.uniform(0.4, 2.2, (3, 12))
    found = scalenet.cost(name, depth=depth, width=width, resolution=resolution, rounding=rounding)
    assert found.flops.dtype == np.int64
    for number, (d, w, r) in enumerate(zip(depth, width, resolution, strict=True)):
        one = scalenet.cost(name, depth=d, width=w, resolution=r, rounding=rounding)
        assert one == scalenet.cost(scalenet.scale(name, depth=d, width=w, resolution=r, rounding=rounding))
        assert (found.flops[number], found.params[number]) == (one.flops, one.params)
        assert found.activations[number] == one.activations
        assert {key: values[number] for key, values in found.flops_by_operator.items()} == one.flops_by_operator


def test_arrays_are_broadcast_against_each_other() -> None:
    depth, width = np.array([1.0, 2.0]), np.array([0.5, 1.0, 1.5])
    found = scalenet.cost("resnet18", depth=depth[:, None], width=width)
    assert found.flops.shape == found.params.shape == (2, 3)
    assert found.flops[1, 2] == scalenet.cost("resnet18", depth=2, width=1.5).flops
    frame = found.frame()
    assert list(frame.columns) == ["depth", "width", "resolution", "flops", "params", "activations"]
    assert frame.flops.tolist() == found.flops.ravel().tolist()
    assert frame.width.tolist() == [0.5, 1.0, 1.5] * 2


@pytest.mark.parametrize(
    ("factors", "said"),
    [
        ({"depth": [1, 2], "width": [1, 2, 3]}, r"shapes do not fit: depth \(2,\), width \(3,\)"),
        ({"depth": ["x"]}, "depth: list is no array of numbers"),
        ({"width": [1.0, 0.0]}, "out of range: width 0"),
        ({"resolution": [float("nan")]}, "out of range: resolution nan"),
        ({"depth": [1e6], "width": [1e6]}, r"2\*\*53"),
    ],
)
def test_multipliers_that_are_none_are_refused(factors: dict[str, Any], said: str) -> None:
    with pytest.raises(ScalenetError, match=said):
        scalenet.cost("resnet18", **factors)


@pytest.mark.parametrize("name", ["efficientnet_b0", "resnet50", "mobilenet_v1"])
def test_the_table_of_layers_has_the_names_and_counts_of_the_module(name: str) -> None:
    network = scalenet.load(name).at(33)
    counts, module = scalenet.cost(network), scalenet.build(network)
    frame = counts.frame("layer").set_index("layer")
    measured = scalenet.measure(module, torch.zeros(1, 3, 33, 33))
    for layer, row in frame.iterrows():
        own = module.get_submodule(str(layer))
        assert row.params == sum(values.numel() for values in own.parameters())
        assert row.flops == matrix_flops(measured.flops_by_module[str(layer)])
    names = [key.rpartition(".")[0] for key, _ in module.named_parameters()]
    assert list(dict.fromkeys(names)) == [layer for layer, row in frame.iterrows() if row.params]
    for by in ("stage", "layer"):
        sums = counts.frame(by)[["flops", "params", "activations"]].sum()
        assert tuple(sums) == (counts.flops, counts.params, counts.activations)
    assert dict(counts.frame("operator").itertuples(index=False)) == counts.flops_by_operator


def test_a_table_that_there_is_not_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'layer'"):
        scalenet.cost("resnet18").frame("layers")  # type: ignore[arg-type]
    with pytest.raises(ScalenetError, match="no table by candidate of one network"):
        scalenet.cost("resnet18").frame("candidate")
    with pytest.raises(ScalenetError, match="no table by stage of many candidates"):
        scalenet.cost("resnet18", width=[1.0]).frame("stage")


def test_baselines_are_listed_with_what_they_cost() -> None:
    found = {one.name: one for one in scalenet.baselines()}
    assert found["resnet18"].flops == scalenet.cost("resnet18").flops
    assert found["efficientnet_b3"].kind == "preset"
    assert [one.name for one in scalenet.baselines("ResNet1*")] == ["resnet101", "resnet152", "resnet18"]
    assert not [one for one in scalenet.baselines(presets=False) if one.kind == "preset"]
    with pytest.raises(ScalenetError, match="no baseline or preset matches 'zzz'"):
        scalenet.baselines("zzz")


def test_check_lock_and_verify_are_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalenet.checks.children.subprocess", commands.CHILDREN)
    (tmp_path / "pyproject.toml").write_text('[tool.scalenet]\ntargets = ["small.yaml"]\n')
    network = scalenet.load("small_resnet")
    scalenet.save(network, tmp_path / "small.yaml")
    assert scalenet.check(folder=tmp_path, fast=True).code == 1
    locked = scalenet.lock(folder=tmp_path)
    assert (locked.targets, locked.code, locked.path) == (("small.yaml",), 0, tmp_path / "scalenet.lock.json")
    assert scalenet.check(folder=tmp_path, fast=True).code == 0
    scalenet.save(scalenet.scale(network, width=2), tmp_path / "small.yaml")
    report = scalenet.check(folder=tmp_path, fast=True)
    assert report.failed
    assert "accept with: scalenet lock -C" in str(report)
    assert scalenet.lock(network, folder=tmp_path).targets == ("small.yaml", "small_resnet")
    assert scalenet.check(network, folder=tmp_path, fast=True).code == 0
    with pytest.raises(ScalenetError, match="no such folder"):
        scalenet.check(folder=tmp_path / "none")
