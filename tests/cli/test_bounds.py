"""What is too large is one plain line at once, and what is large but can be answered is answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from noisy_images import write_images

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result

NINES, ENDLESS = "9" * 300, "9" * 5000

NETWORK = """schema: scalenet/1
name: net
model:
  resolution: {resolution}
  activation: relu
  norm: {{kind: batchnorm}}
  stem: {{kind: conv, width: 8}}
  stages:
{stages}
  head: {{kind: linear, classes: 10}}
"""


def network(folder: Path, *, depth: object = 1, width: object = 8, resolution: object = 64, stages: int = 1) -> Path:
    text = "\n".join([f"  - {{block: basic, depth: {depth}, width: {width}}}"] * stages)
    (folder / "net.yaml").write_text(NETWORK.format(resolution=resolution, stages=text))
    return folder / "net.yaml"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cost", "resnet18", "--batch", NINES], "--batch: 1e+300 is more than a billion"),
        (["cost", "resnet18", "--moments", "1000000001"], "--moments: 1e+09 is more than a billion"),
        (["grid-search", "--epochs", NINES, "--dry-run"], "--epochs: 1e+300 is more than a billion"),
        (["scale", "--classes", NINES], "--classes: 1e+300 is more than a billion"),
        (["scale", "--depth", "inf"], "--depth: inf is no number"),
        (["scale", "--alpha", "inf"], "--alpha: inf is no number"),
        (["scale", "--alpha", ENDLESS], "--alpha: inf is no number"),
        (["cost", "resnet18", "--resolution", NINES], "is not a size"),
        (["cost", "resnet18", "--resolution", "1000000001"], "less than or equal to 1000000000"),
        (["scale", "--flops", NINES], "is not an amount"),
        (["scale", "--flops", f"{NINES}x"], "is not an amount"),
        (["scale", "--memory", f"{NINES}GiB"], "is not a number of bytes"),
        (["scale", "--latency", f"{NINES}s"], "is not a time"),
        (["scale", "--sizes", NINES, "--flops", "2x"], "are not known"),
        (["scale", "--phi", "2000", "--exact"], "is too large to scale by"),
        (["scale", "--phi", "nan", "--exact"], "is not a number or a range"),
        (["scale", "--phi", ENDLESS], "is too large to scale by"),
        (["scale", "--phi", "1", "--shares", "1e17,-1e17,1"], "depth: expected less than or equal to 100"),
        (["scale", "--input-size", "1000000000", "--flops", "2x"], "more networks than can be looked at"),
        (["cost", f"{NINES}.yaml"], "File name too long"),
    ],
)
def test_a_number_that_is_too_large_is_one_line(scalenet: Callable[..., Result], words: list[str], said: str) -> None:
    result = scalenet(*words)
    assert result.exit_code == 2
    assert said in result.stderr.splitlines()[0]
    assert len(result.stderr.splitlines()) <= 2


def test_a_huge_input_is_counted_and_shown_in_whole_pixels(scalenet: Callable[..., Result]) -> None:
    result = scalenet("show", "resnet18", "--resolution", "1000000000", "--json")
    assert [stage["resolution"] for stage in json.loads(result.stdout)["stages"]][:2] == ["1000000000", "250000000"]
    assert "2298000," in scalenet("show", "resnet18", "--resolution", "2298000").stdout


def test_the_suffixes_of_counts_are_the_same_everywhere(scalenet: Callable[..., Result]) -> None:
    by_letter = [
        json.loads(scalenet("scale", "--flops", text, "--json").stdout)["budget"] for text in ("2B", "2G", "2 G")
    ]
    assert by_letter[0]["asked"] == 2 * 10**9
    assert by_letter[0] == by_letter[1] == by_letter[2]


def test_a_million_blocks_are_counted_and_not_built(scalenet: Callable[..., Result], tmp_path: Path) -> None:
    file = network(tmp_path, depth=10**6)
    assert json.loads(scalenet("cost", file, "--json").stdout)["params"] > 10**9
    for words in (["verify", file], ["cost", file, "--counter", "fvcore"], ["latency", file]):
        result = scalenet(*words)
        assert result.exit_code == 2
        assert "layers is too large to be built" in result.stderr + result.stdout


def test_weights_that_fit_into_no_memory_are_not_built(scalenet: Callable[..., Result], tmp_path: Path) -> None:
    result = scalenet("latency", network(tmp_path, width=10**9))
    assert result.exit_code == 2
    assert "do not fit into" in result.stderr


@pytest.mark.parametrize("words", [["--phi", "1"], ["--flops", "2x"]])
def test_a_network_at_the_bound_is_scaled_to_one_line(
    scalenet: Callable[..., Result], tmp_path: Path, words: list[str]
) -> None:
    result = scalenet("scale", "--base", network(tmp_path, depth=10**9), *words)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) <= 2


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"depth": 10**9 + 1}, "depth: expected less than or equal to 1000000000"),
        ({"width": NINES}, "a number has at most 100 digits"),
        ({"resolution": "[64, 1000000001]"}, "less than or equal to 1000000000"),
        ({"stages": 4097}, "at most 4096 items"),
    ],
)
def test_a_config_beyond_the_bounds_is_one_line(
    scalenet: Callable[..., Result], tmp_path: Path, values: dict[str, object], said: str
) -> None:
    result = scalenet("cost", network(tmp_path, **values))  # type: ignore[arg-type]
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) <= 2


def test_a_long_list_in_an_unknown_key_is_one_line(scalenet: Callable[..., Result], tmp_path: Path) -> None:
    file = network(tmp_path)
    file.write_text(file.read_text() + "nonsense: [" + "1, " * 300_000 + "1]\n")
    result = scalenet("cost", file)
    assert (result.exit_code, "nonsense: unknown key" in result.stderr) == (2, True)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_file_of_another_encoding_is_one_line(scalenet: Callable[..., Result], tmp_path: Path, encoding: str) -> None:
    (tmp_path / "net.yaml").write_bytes("schema: scalenet/1 # größe".encode(encoding))
    for words in (["cost", tmp_path / "net.yaml"], ["scale", "--coefficients", tmp_path / "net.yaml", "--phi", "1"]):
        result = scalenet(*words)
        assert (result.exit_code, "not UTF-8 text" in result.stderr) == (2, True)


@pytest.mark.parametrize("size", ["100000000", "1000000000"])
def test_memory_that_pytorch_is_refused_is_one_line(scalenet: Callable[..., Result], tmp_path: Path, size: str) -> None:
    write_images(tmp_path / "images", {"dark": 90, "light": 160}, 4, size=8)
    words = ("--data", str(tmp_path / "images"), "--recipe", "small_images", "--epochs", "1", "--workers", "0")
    result = scalenet("train", network(tmp_path), *words, "--resolution", size, "-o", str(tmp_path / "run"))
    assert result.exit_code == 3
    assert result.stderr.splitlines()[-2].startswith("scalenet: not enough memory: ")
