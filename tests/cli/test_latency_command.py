"""`scalenet latency`, without a look at the clock."""

from __future__ import annotations

import csv
import io
import json
from unittest.mock import MagicMock

import pytest

TINY = ["--resolution", 16, "--runs", 2, "--warmup", 1]


def test_networks_are_compared_with_the_first(scalenet):
    result = scalenet("latency", "small_resnet", "mobilenet-v1", *TINY)
    first, second = csv.DictReader(io.StringIO(result.stdout))
    assert [first["name"], second["name"]] == ["small_resnet", "mobilenet_v1"]
    assert float(first["ratio"]) == 1
    assert float(second["ratio"]) == pytest.approx(float(second["mean"]) / float(first["mean"]))
    assert result.stderr == ""


def test_json_holds_how_it_was_measured(scalenet):
    data = json.loads(
        scalenet("latency", "small_resnet", *TINY, "--dtype", "bfloat16", "--channels-last", "--json").stdout
    )
    (network,) = data.pop("networks")
    assert set(network) == {"name", "mean", "std", "median", "minimum", "ratio"}
    assert data == {
        "device": "cpu",
        "batch": 1,
        "dtype": "bfloat16",
        "threads": 1,
        "runs": 2,
        "warmup": 1,
        "channels_last": True,
        "compiled": False,
    }


@pytest.mark.parametrize(("words", "runs"), [([], 20), (["--runs", "2"], 2)])
def test_the_bar_is_as_long_as_there_are_runs(scalenet, monkeypatch, words, runs):
    bar = MagicMock()
    bar.return_value.__enter__.return_value = bar
    monkeypatch.setattr("scalenet_cli.latency.progress", bar)
    scalenet("latency", "small_resnet", "--resolution", 16, *words)
    assert bar.add_task.call_args.kwargs["total"] == bar.update.call_count == runs


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--device", "nowhere"], "cannot run float32 on nowhere: "),
        (["--dtype", "half"], "unknown dtype 'half'"),
        (["--resolution", "0"], "resolution '0' is not a size"),
    ],
)
def test_what_cannot_be_run_is_one_line(scalenet, words, message):
    result = scalenet("latency", "small_resnet", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
