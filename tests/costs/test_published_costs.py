"""Costs as published, and as others computed them from the published coefficients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import scalenet

GOLDEN = Path(__file__).parents[1] / "golden"


def golden(name: str) -> list[dict[str, Any]]:
    rows = yaml.safe_load((GOLDEN / f"{name}.yaml").read_text(encoding="utf-8"))
    assert rows
    return list(rows)


def label(row: dict[str, Any]) -> str:
    name = row.get("name") or row.get("base") or ""
    return f"{name} {' '.join(f'{key}={row[key]}' for key in ('depth', 'width', 'resolution', 'pixels') if key in row)}"


@pytest.mark.parametrize("row", golden("official_models"), ids=label)
def test_the_official_models(row: dict[str, Any]) -> None:
    cost = scalenet.cost(scalenet.load(row["name"]))
    assert cost.params == row["params"]
    assert cost.flops == row["macs"]
    assert cost.flops + cost.flops_by_operator["batch_norm"] == row["macs_plus_bn"]
    assert cost.activations == row["conv_acts"] + 1000


@pytest.mark.parametrize("row", golden("lite"), ids=label)
def test_the_lite_models(row: dict[str, Any]) -> None:
    cost = scalenet.cost(scalenet.load(row["name"]))
    assert round(cost.flops / 1e6, 1) == row["mmacs"]
    assert round(cost.params / 1e6, 1) == row["mparams"]


@pytest.mark.parametrize("row", golden("tinynet"), ids=label)
def test_the_tinynets(row: dict[str, Any]) -> None:
    cost = scalenet.cost(scalenet.load(row["name"]))
    assert round(cost.flops / 1e6, 1) == row["mmacs"]
    assert round(cost.params / 1e6, 2) == row["mparams"]


@pytest.mark.parametrize("row", golden("published"), ids=label)
def test_the_baselines(row: dict[str, Any]) -> None:
    cost = scalenet.cost(scalenet.load(row["name"]))
    assert cost.params == row["params"]
    assert round(cost.flops / 1e9, 3) == row["gflops"]


@pytest.mark.parametrize("row", golden("timm"), ids=label)
def test_the_networks_that_timm_has(row: dict[str, Any]) -> None:
    cost = scalenet.cost(scalenet.load(row["name"]))
    assert (cost.params, cost.flops) == (row["params"], row["macs"])


@pytest.mark.parametrize("row", golden("scaled_networks"), ids=label)
def test_the_scaled_networks_of_the_paper(row: dict[str, Any]) -> None:
    scaled = scalenet.scale(
        scalenet.load(row["base"]),
        depth=row["depth"],
        width=row["width"],
        resolution=row["pixels"] / 224,
        rounding=row.get("rounding"),
    )
    cost = scalenet.cost(scaled)
    assert scaled.model.size == (row["pixels"], row["pixels"])
    assert [stage.depth for stage in scaled.model.stages] == row["blocks"]
    assert cost.params == row["params"]
    assert cost.flops == row["macs"]
    assert cost.flops + cost.flops_by_operator["batch_norm"] == row["macs_plus_bn"]


@pytest.mark.parametrize("row", golden("figure3"), ids=label)
def test_the_networks_of_figure_3(row: dict[str, Any]) -> None:
    factors = {key: row[key] for key in ("depth", "width", "resolution") if key in row}
    scaled = scalenet.scale(scalenet.load("efficientnet_b0"), **factors)
    cost = scalenet.cost(scaled)
    assert scaled.model.resolution == row.get("pixels", 224)
    assert cost.flops == row["macs"]
    assert cost.params == row["params"]


def test_the_parts_of_b0_are_the_paper_s_table_1() -> None:
    parts = {part.name: part.cost.flops for part in scalenet.cost(scalenet.load("efficientnet_b0")).parts}
    assert parts == {
        "stem": 10_838_016,
        "stages.0": 10_035_712,
        "stages.1": 54_945_216,
        "stages.2": 37_939_584,
        "stages.3": 43_555_200,
        "stages.4": 86_102_400,
        "stages.5": 91_528_224,
        "stages.6": 29_520_000,
        "head": 20_070_400 + 1_280_000,
    }
