"""`scalenet scale` with budgets, as a user types them."""

from __future__ import annotations

import json

import pytest
import yaml

from scalenet.arch.config import load_config
from scalenet.checks.verification import verify


@pytest.fixture
def report(scalenet):
    """Run `scalenet scale … --json` and return what it says."""

    def run(*words):
        result = scalenet("scale", *words, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    return run


@pytest.mark.parametrize(
    ("words", "metric", "asked"),
    [
        (("--flops", "4G"), "flops", 4_000_000_000),
        (("--flops", "8x"), "flops", 8 * 4_089_184_256),
        (("--exact", "--phi", "3"), "flops", 8 * 4_089_184_256),
        (("--params", "20M"), "params", 20_000_000),
        (("--activations", "6.5M"), "activations", 6_500_000),
        (("--memory", "200MB"), "memory", 200_000_000),
        (("--memory", "2GiB", "--training", "--batch", "16"), "memory", 2**31),
        (("--flops", "1G", "--rule", "dwr"), "flops", 1_000_000_000),
        (("--flops", "1G", "--sizes", "tight", "--per-stage"), "flops", 1_000_000_000),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_budget_is_hit_within_a_percent(report, words, metric, asked):
    budget = report("--base", "resnet50", *words)["budget"]
    assert (budget["metric"], budget["asked"], budget["met"]) == (metric, asked, True)
    assert 0.99 * asked <= budget["achieved"] <= asked * (1 if metric == "memory" else 1.01)


def test_what_binds_first_is_hit_and_the_others_are_ceilings(report):
    budget = report("--base", "resnet50", "--flops", "8G", "--params", "20M", "--memory", "500MB")["budget"]
    assert budget["metric"] == "params"
    assert {metric: row["limit"] for metric, row in budget["ceilings"].items()} == {"flops": 8e9, "memory": 5e8}
    assert all(row["achieved"] <= row["limit"] for row in budget["ceilings"].values())


def test_a_family_grows_from_budget_to_budget(scalenet, tmp_path):
    result = scalenet("scale", "--base", "mobilenet_v2", "--flops", "100M,200M,400M", "-o", tmp_path / "family")
    assert result.exit_code == 0
    configs = [load_config(path) for path in sorted((tmp_path / "family").iterdir())]
    assert [config.name for config in configs] == [f"mobilenet_v2_flops{size}M" for size in (100, 200, 400)]
    assert [config.cost.flops / 1e8 for config in configs] == pytest.approx([1, 2, 4], rel=0.01)
    header, *rows = result.stdout.splitlines()
    assert header.startswith("name,asked,nominal,achieved,flops,params")
    first, *growth = [row.rsplit(",", 1)[1] for row in rows]
    assert first == ""
    assert list(map(float, growth)) == pytest.approx([2, 2], rel=0.02)


def test_the_recorded_command_writes_the_same_file(scalenet, tmp_path):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    words = ("--base", "resnet50", "--input-size", "192x256", "--classes", "10", "--flops", "2G", "--params", "30M")
    assert scalenet("scale", *words, "--sizes", "32", "-o", first).exit_code == 0
    config = load_config(first)
    assert verify(config) == []
    program, *again = config.provenance.command.split()
    assert program == "scalenet"
    assert scalenet(*again, "-o", second).exit_code == 0
    assert first.read_text() == second.read_text()


@pytest.mark.parametrize("figure", ["value: 2000000000", "achieved: ", "distance: "])
def test_verify_sees_a_changed_budget(scalenet, tmp_path, figure):
    path = tmp_path / "net.yaml"
    scalenet("scale", "--base", "resnet18", "--flops", "2G", "-o", path)
    text = path.read_text()
    assert figure in text
    path.write_text(text.replace(figure, f"{figure[:-1]}1" if figure[-1] == "0" else f"{figure}1"))
    assert scalenet("verify", path).exit_code == 1


def test_a_budget_that_nothing_meets_shows_the_nearest_and_exits_with_1(scalenet, tmp_path):
    path = tmp_path / "least.yaml"
    result = scalenet("scale", "--flops", "1M", "--params", "1k", "-o", path, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["budget"]["met"] is False
    assert "every stage has one block; every width is at its least; 32 px is the smallest size" in result.stderr
    assert yaml.safe_load(path.read_text())["scaling"]["solution"]["met"] is False


def test_tiny_hits_its_phi(report):
    found = report("--rule", "tiny", "--phi", "-2")
    assert found["applied"]["flops_ratio"] == pytest.approx(0.25, rel=0.01)
    assert found["rule"]["ray"] == {"kind": "tiny"}


def test_latency_is_met_by_measuring(scalenet):
    result = scalenet("scale", "--base", "small_resnet", "--flops", "2x", "--latency", "10s", "--json")
    found = json.loads(result.stdout)
    assert found["budget"]["met"]
    assert 0 < found["latency"]["measured"] <= found["latency"]["asked"] == 10
    assert "small_resnet_flops" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--flops", "4Q"), "'4Q' is not an amount"),
        (("--flops", "0"), "'0' is not an amount"),
        (("--flops", "4G", "--phi", "3"), "flops and phi exclude each other"),
        (("--flops", "4G", "--preset", "efficientnet_b3"), "preset and flops exclude each other"),
        (("--flops", "4G", "--depth", "2"), "depth and flops exclude each other"),
        (("--exact", "--flops", "4G"), "exact goes with phi"),
        (("--flops", "1G,2G", "--params", "3M,4M"), "flops and params: only one may have several values"),
        (("--flops", "1G", "--sizes", "even"), "sizes 'even' are not known"),
        (("--phi", "3", "--sizes", "32", "--per-stage"), "per_stage and sizes without a budget"),
        (("--latency", "20"), "'20' is not a time"),
        (("--memory", "2 apples"), "'2 apples' is not a number of bytes"),
        (("--rule", "tiny", "--phi", "1"), "the tiny rule only shrinks"),
        (("--rule", "resolution", "--params", "2x"), "params do not change along this ray"),
        (("--flops", "9000000T"), "are more than φ = 16 of this ray costs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_makes_no_sense_is_one_line(scalenet, words, message):
    result = scalenet("scale", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
