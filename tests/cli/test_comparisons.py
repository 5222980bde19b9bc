"""`explain`, `diff` and `exponents`, as a user types them."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from scalenet_cli.output import Format, emit

COMMANDS = [
    ("explain", "efficientnet_b2"),
    ("explain", "resnet101", "--base", "resnet50"),
    ("diff", "efficientnet_b0", "resnet50"),
    ("exponents", "--base", "mobilenet-v2"),
]


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def cells(line):
    return re.split(r"(?<!\\)\|", line.strip())[1:-1]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_markdown_is_tables_of_equal_rows(scalenet, words):
    result = scalenet(*words, "--format", "markdown")
    assert result.exit_code == 0, result.stderr
    tables = re.findall(r"(?:^\|.*\|\n)+", result.stdout, flags=re.MULTILINE)
    assert len(tables) == len(re.findall(r"^\*\*.*\*\*\n\n\|", result.stdout, flags=re.MULTILINE)) >= 2
    for table in tables:
        lines = table.splitlines()
        assert {len(cells(line)) for line in lines} == {len(cells(lines[0]))}
        assert all(re.fullmatch(r" (:--|--:) ", cell) for cell in cells(lines[1]))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_json_is_the_same_by_either_option(scalenet, words):
    assert scalenet(*words, "--json").stdout == scalenet(*words, "--format", "json").stdout
    assert (
        json.loads(scalenet(*words, "--json").stdout)["convention"]
        == "multiply-adds of conv, linear and matmul, batch 1"
    )


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_table_fits_80_columns(scalenet, words):
    result = scalenet(*words, "--format", "table")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "…" not in result.stdout


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_pipe_gets_one_table_of_csv_and_the_rest_is_told(scalenet, words):
    result = scalenet(*words)
    assert rows(result.stdout)
    assert None not in {key for row in rows(result.stdout) for key in row}
    assert result.stdout == scalenet(*words, "--format", "csv").stdout
    assert result.stderr


def test_two_formats_at_once_are_refused(scalenet):
    result = scalenet("explain", "efficientnet_b2", "--json", "--format", "csv")
    assert result.exit_code == 2
    assert "exclude each other" in result.stderr


def test_a_bar_in_a_cell_is_escaped_in_markdown(capsys):
    emit([{"name": "a|b", "flops": 1}], form=Format.markdown)
    assert capsys.readouterr().out == "| name | flops |\n| :-- | --: |\n| a\\|b | 1 |\n\n"


def test_explain_says_which_cause_adds_what_to_each_stage(scalenet):
    data = json.loads(scalenet("explain", "efficientnet_b7", "--json").stdout)
    assert data["axes"][-1]["phi"] == pytest.approx(6.61, abs=0.005)
    for stage in data["stages"]:
        assert stage["asked"] + sum(stage["added"].values()) == pytest.approx(stage["achieved"])
    gap = sum(one["flops"] for one in data["deviations"])
    assert gap == pytest.approx(data["achieved_flops"] - data["asked_flops"])
    assert [one["cause"] for one in data["deviations"]] == list(data["stages"][0]["added"])


def test_a_family_tells_the_cliffs_of_its_members_by_name(scalenet, tmp_path):
    written = scalenet("scale", "--base", "efficientnet_b0", "--phi", "1,2", "-o", tmp_path)
    said = "efficientnet_b0_phi1: 258 px costs 15 % more than 256 px for 0.8 % more pixels per side"
    assert [line for line in written.stderr.splitlines() if "px costs" in line] == [said]
    small = scalenet("scale", "--base", "efficientnet_b0", "--input-size", "33", "--depth", "1")
    assert "33 px costs 123 % more than 32 px" in small.stderr


def test_explain_reads_the_file_that_scale_writes_and_tells_its_cliff(scalenet, tmp_path):
    written = scalenet("scale", "--phi", "1", "-o", tmp_path / "one.yaml")
    cliff = "258 px costs 15 % more than 256 px for 0.8 % more pixels per side"
    assert cliff in written.stderr
    result = scalenet("explain", tmp_path / "one.yaml")
    assert cliff in result.stderr
    assert "φ 1.363" in result.stderr
    assert cliff in scalenet("explain", tmp_path / "one.yaml", "--format", "markdown").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["efficientnet_b0"], "was not scaled\n  explain a file of `scalenet scale -o` or a preset, or compare with"),
        (["resnet50", "--base", "efficientnet_b0"], "resnet50 has 4 stages, and efficientnet_b0 has 7"),
        (["efficientnet_b00"], "did you mean 'efficientnet_b0'"),
        (["nothing.yaml"], "no such file"),
    ],
)
def test_explain_says_what_it_cannot_explain(scalenet, words, message):
    result = scalenet("explain", *words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_diff_names_the_fields_that_differ(scalenet):
    data = json.loads(scalenet("diff", "efficientnet_b0", "mobilenet-v2", "--json").stdout)
    assert {"path": "stages[4].kernel", "before": 5, "after": 3} in data["differences"]
    assert data["costs"][0] == {
        "cost": "flops",
        "before": 385814752,
        "after": 300774272,
        "ratio": 300774272 / 385814752,
    }
    assert data["paired_by"] == "position"


def test_diff_pairs_other_stages_by_stride(scalenet):
    data = json.loads(scalenet("diff", "efficientnet_b0", "resnet50", "--json").stdout)
    assert data["paired_by"] == "stride"
    assert [(pair["before"] or {}).get("stage") for pair in data["stages"]] == [
        "stem",
        *(f"stages.{number}" for number in range(7)),
        "head",
    ]
    assert [pair["after"]["stage"] for pair in data["stages"] if pair["after"]] == [
        "stem",
        *(f"stages.{number}" for number in range(4)),
        "head",
    ]


def test_diff_of_one_network_with_itself_says_so(scalenet):
    result = scalenet("diff", "resnet50", "resnet50", "--format", "table")
    assert result.exit_code == 0
    assert "the descriptions are the same" in result.stderr
    assert json.loads(scalenet("diff", "resnet50", "resnet50", "--json").stdout)["differences"] == []


def test_exponents_of_b0(scalenet):
    data = json.loads(scalenet("exponents", "--base", "efficientnet_b0", "--json").stdout)
    width = next(row for row in data["exponents"] if (row["axis"], row["cost"]) == ("width", "flops"))
    assert round(width["doubled"], 2) == 3.76
    assert round(data["growth"]["achieved"], 3) == 2.573
    assert scalenet("exponents", "--json").stdout == scalenet("exponents", "--base", "efficientnet_b0", "--json").stdout
