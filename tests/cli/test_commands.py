"""The commands that need no training, as a user types them."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import commands
import jsonschema
import pytest
import yaml

from scalenet import __version__
from scalenet.arch import registry
from scalenet.arch.config import load_config
from scalenet.checks import verification
from scalenet.scaling.presets import presets


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_cost_of_b0_in_json(scalenet):
    result = scalenet("cost", "efficientnet_b0", "--json")
    data = json.loads(result.stdout)
    assert (data["flops"], data["params"]) == (385814752, 5288548)
    assert sum(stage["flops"] for stage in data["stages"]) == data["flops"]


def test_preset_b7_in_json(scalenet):
    result = scalenet("scale", "--base", "efficientnet_b0", "--preset", "efficientnet_b7", "--json")
    assert json.loads(result.stdout)["params"] == 66347960


def test_both_counters_agree_stage_by_stage(scalenet):
    formula, fvcore = (
        rows(scalenet("cost", "mobilenet-v2", "--by", "stage", "--resolution", "33x65", "--counter", counter).stdout)
        for counter in ("formula", "fvcore")
    )
    assert [(row["stage"], row["flops"], row["params"]) for row in fvcore] == [
        (row["stage"], row["flops"], row["params"]) for row in formula
    ]


def test_what_fvcore_does_not_count_goes_to_stderr(scalenet):
    result = scalenet("cost", "mobilenet_v1", "--counter", "fvcore", "--resolution", "32")
    assert "hardtanh" in result.stderr
    assert "hardtanh" not in result.stdout


def test_cost_by_operator(scalenet):
    found = {
        row["operator"]: int(row["flops"]) for row in rows(scalenet("cost", "resnet50", "--by", "operator").stdout)
    }
    assert found["conv"] + found["linear"] == 4089184256


def test_cost_of_several_has_a_row_each_and_modules_are_measured(scalenet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("from torch import nn\n\n\ndef net():\n    return nn.Conv2d(3, 8, 3)\n")
    result = scalenet("cost", "resnet18", "mine:net", "--input", "1x3x10x12", "--json")
    assert [row["flops"] for row in json.loads(result.stdout)["networks"]] == [1814073344, 8 * 27 * 8 * 10]
    assert json.loads(result.stdout)["convention"].endswith("batch 1; of modules for the whole --input 1x3x10x12")
    missing = scalenet("cost", "mine:net")
    assert (missing.exit_code, "to count one module, give its --input" in missing.stderr) == (2, True)
    assert scalenet("cost", "mine:net", "--input", "1x4x10x12").exit_code == 3
    assert scalenet("cost", "resnet18", "--input", "1x3x10x12").exit_code == 2
    assert scalenet("cost", "resnet18", "resnet34", "--by", "stage").exit_code == 2
    for of_nothing in (["--moments", "1"], ["--input", "1x3x10x12"]):
        assert scalenet("cost", "resnet18", "resnet34", *of_nothing).exit_code == 2
    for command in ("cost", "latency"):
        assert scalenet(command, "mine:net", "--input", "1x3x10x12", "--resolution", "32").exit_code == 2
    timed = scalenet("latency", "small_resnet", "mine:net", "--input", "1x3x10x12", "--runs", "2", "--json")
    assert [row["name"] for row in json.loads(timed.stdout)["networks"]] == ["small_resnet", "mine:net"]
    assert scalenet("latency", "mine:net").exit_code == 2
    assert scalenet("latency", "mine:net", "--input", "1x3x10x12", "--batch", "2").exit_code == 2


def test_show_reads_like_the_papers_table_1(scalenet):
    table = rows(scalenet("show", "efficientnet_b0").stdout)
    assert [int(row["resolution"]) for row in table] == [224, 112, 112, 56, 28, 14, 14, 7, 7]
    assert [int(row["channels"]) for row in table] == [32, 16, 24, 40, 80, 112, 192, 320, 1280]
    assert [int(row["layers"]) for row in table] == [1, 1, 2, 2, 3, 3, 4, 1, 1]


def test_the_paper_s_comparators_are_listed_with_costs_and_drawn(scalenet, tmp_path):
    printed = rows(scalenet("baselines", "--costs").stdout)
    assert printed[1] | {"name": "resnet50", "published_params": "26000000", "params": "25557032"} == printed[1]
    scalenet("baselines", "--costs", "--plot", str(tmp_path / "figure.pdf"))
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")


def test_the_page_s_table_of_baselines_is_what_the_command_writes(scalenet):
    page = (Path(__file__).parents[2] / "docs" / "architectures.md").read_text(encoding="utf-8")
    assert scalenet("baselines", "--no-presets", "--format", "markdown").stdout.strip() in page


def test_baselines_lists_all_and_finds_by_pattern(scalenet):
    assert {row["name"] for row in rows(scalenet("baselines").stdout)} == {*registry.names(), *presets()}
    names = {row["name"] for row in rows(scalenet("baselines", "resnet*", "--no-presets").stdout)}
    assert names == {"resnet18", "resnet34", "resnet50", "resnet50d", "resnet101", "resnet152"}


def test_scale_writes_a_config_that_verifies_until_a_number_changes(scalenet, tmp_path):
    path = tmp_path / "r.yaml"
    assert scalenet("scale", "--phi", "-2", "--base", "resnet50", "-o", path).exit_code == 0
    assert scalenet("verify", path).exit_code == 0
    path.write_text(path.read_text().replace("resolution: 169", "resolution: 168"))
    result = scalenet("verify", path)
    assert result.exit_code == 1
    assert "model.resolution: 168 in the file, 169 scaled again" in result.stdout


def test_a_file_of_another_version_verifies_while_its_network_is_the_same(scalenet, tmp_path):
    path = tmp_path / "r.yaml"
    assert scalenet("scale", "--phi", "-2", "--base", "resnet50", "-o", path).exit_code == 0
    ours, theirs = (f"scalenet: {version}, command: scalenet" for version in (__version__, "0.0.9"))
    path.write_text(path.read_text().replace(f"{ours} scale", f"{theirs} make"))
    result = scalenet("verify", path)
    assert (result.exit_code, result.stdout) == (0, f"{path}: ok\n")
    assert result.stderr == f"{path}: scalenet 0.0.9 wrote it, this is {__version__}\n"
    (found,) = json.loads(scalenet("verify", path, "--json").stdout)
    assert (found["ok"], found["remarks"]) == (True, [f"scalenet 0.0.9 wrote it, this is {__version__}"])
    path.write_text(path.read_text().replace("resolution: 169", "resolution: 168"))
    assert scalenet("verify", path).exit_code == 1


def test_what_wrote_a_file_of_this_version_is_compared(scalenet, tmp_path):
    path = tmp_path / "r.yaml"
    scalenet("scale", "--phi", "-2", "--base", "resnet50", "-o", path)
    path.write_text(path.read_text().replace("command: scalenet scale", "command: scalenet make"))
    result = scalenet("verify", path)
    assert result.exit_code == 1
    assert "provenance.command: scalenet make" in result.stdout


def test_scale_writes_the_same_bytes_twice_and_keeps_what_exists(scalenet, tmp_path):
    path = tmp_path / "r.yaml"
    scalenet("scale", "--phi", "1", "-o", path)
    before = path.read_bytes()
    refused = scalenet("scale", "--phi", "2", "-o", path)
    assert refused.exit_code == 2
    assert "exists already" in refused.stderr
    assert path.read_bytes() == before
    assert scalenet("scale", "--phi", "1", "-o", path, "--force").exit_code == 0
    assert path.read_bytes() == before


def test_the_recorded_command_writes_the_file_again(scalenet, tmp_path):
    for number, words in enumerate(
        (["--phi", "1.5"], ["--rule", "dwr", "--phi", "2"], ["--shares", "0.2,0.3,0.5"], ["--depth", "1.4"])
    ):
        first, second = tmp_path / f"{number}a.yaml", tmp_path / f"{number}b.yaml"
        scalenet("scale", "--base", "mobilenet_v1", *words, "-o", first)
        command = load_config(first).provenance.command.split()
        assert scalenet(*command[1:], "-o", second).exit_code == 0
        assert first.read_bytes() == second.read_bytes()


def test_a_family_is_a_folder_of_configs_and_a_table(scalenet, tmp_path):
    result = scalenet("scale", "--base", "mobilenet_v2", "--phi", "1..3", "-o", tmp_path / "family")
    assert [row["asked"] for row in rows(result.stdout)] == ["2.0", "4.0", "8.0"]
    files = sorted((tmp_path / "family").iterdir())
    assert [file.name for file in files] == [f"mobilenet_v2_phi{phi}.yaml" for phi in (1, 2, 3)]
    assert scalenet("verify", *files).exit_code == 0


def test_a_dash_writes_yaml_to_stdout(scalenet):
    result = scalenet("scale", "--phi", "0.5", "-o", "-")
    assert yaml.safe_load(result.stdout)["name"] == "efficientnet_b0_phi0.5"
    both = scalenet("scale", "--phi", "0.5", "-o", "-", "--json")
    assert (both.exit_code, both.stdout) == (2, "")


def test_scaling_says_why_it_missed(scalenet):
    data = json.loads(scalenet("scale", "--base", "efficientnet_b0", "--phi", "1", "--json").stdout)
    product = 1.0
    for step in data["deviations"]:
        product *= step["factor"]
    assert data["asked"]["flops_ratio"] * product == pytest.approx(data["applied"]["flops_ratio"], rel=1e-5)
    assert data["applied"]["flops_ratio"] == pytest.approx(2.573, abs=1e-3)


def test_coefficients_come_from_a_file(scalenet, tmp_path):
    path = tmp_path / "coefficients.yaml"
    path.write_text("schema: scalenet-coefficients/1\nalpha: 1.3\nbeta: 1.05\ngamma: 1.2\n")
    rule = json.loads(scalenet("scale", "--coefficients", path, "--phi", "2", "--json").stdout)["rule"]
    assert rule == {"kind": "compound", "alpha": 1.3, "beta": 1.05, "gamma": 1.2, "phi": 2.0}


def test_a_file_is_as_good_as_a_name(scalenet, tmp_path):
    path = tmp_path / "mine.yaml"
    text = scalenet("scale", "--depth", "1", "--base", "resnet18", "-o", "-").stdout
    path.write_text(text[: text.index("scaling:")])
    assert scalenet("cost", path).exit_code == 0
    assert scalenet("scale", "--base", path, "--phi", "1", "-o", tmp_path / "scaled.yaml").exit_code == 0
    assert scalenet("verify", tmp_path / "scaled.yaml").exit_code == 0


def test_the_schema_takes_the_baselines_and_refuses_what_loading_refuses(scalenet):
    schema = json.loads(scalenet("schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for file in map(registry.file, registry.names()):
        validator.validate(yaml.safe_load(file.read_text().replace("1.0e-05", "0.00001")))
    broken = yaml.safe_load(registry.file("resnet18").read_text())
    broken["model"]["stages"][0]["kernell"] = 3
    assert not validator.is_valid(broken)


def test_spaces_are_listed_and_printed_to_be_copied(scalenet, tmp_path):
    assert {row["name"] for row in rows(scalenet("spaces").stdout)} == {"mnasnet", "small_images"}
    text = scalenet("spaces", "small_images").stdout
    (tmp_path / "mine.yaml").write_text(text)
    assert scalenet("spaces", tmp_path / "mine.yaml").stdout == text


def test_grids_are_listed_and_printed_to_be_copied(scalenet, tmp_path):
    assert {row["name"] for row in rows(scalenet("grids").stdout)} >= {"paper", "shares", "small"}
    text = scalenet("grids", "paper").stdout
    (tmp_path / "mine.yaml").write_text(text)
    assert scalenet("grids", tmp_path / "mine.yaml").stdout == text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cost", "resnet51"], "did you mean 'resnet50'"),
        (["cost", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["cost", "resnet50", "--resolution", "0"], "is not a size"),
        (["show", "resnet50", "--resolution", "12x"], "is not a size"),
        (["baselines", "--plot", "figure.svg"], "--plot draws the paper's comparators"),
        (["baselines", "--costs", "resnet50"], "--costs lists all of the paper's comparators"),
        (["baselines", "--costs", "--plot", "figure.gif"], "no figure as 'gif'"),
        (["baselines", "alexnet"], "no baseline or preset matches 'alexnet'"),
        (["scale", "--phi", "one"], "is not a number or a range"),
        (["scale", "--phi", "5000"], "too large"),
        (["scale", "--phi", "1", "--depth", "2"], "depth and phi exclude each other"),
        (["scale", "--preset", "efficientnet_b3", "--alpha", "3"], "preset and alpha exclude each other"),
        (["scale", "--coefficients", "x.yaml", "--beta", "1"], "coefficients and beta exclude each other"),
        (["scale", "--phi", "1,1.0", "-o", "family"], "write each value once"),
        (["scale", "--phi", "1", "-o", "one.json"], "configs are YAML"),
        (["scale", "--phi", "1...3"], "is not a number or a range"),
        (["scale", "--phi", "0..1.5"], "is not a number or a range"),
        (["scale", "--preset", "efficientnet_b9"], "did you mean 'efficientnet_b"),
        (["scale", "--base", "resnet50", "--preset", "efficientnet_b1"], "belongs to efficientnet_b0"),
        (["scale", "--preset", "efficientnet_b1", "--input-size", "100"], "is of efficientnet_b0 as it is published"),
        (["scale", "--rounding", "nearst"], "did you mean 'nearest'"),
        (["scale", "--shares", "1,1,1"], "not to 1"),
        (["scale", "--shares", "1,1"], "not three numbers"),
        (["scale", "--alpha", "0"], "alpha: expected greater than 0"),
        (["scale", "--width", "0"], "width: expected greater than 0"),
        (["scale", "--coefficients", "none.yaml"], "none.yaml: No such file"),
        (["scale", "--rule", "cubic"], "cubic"),
        (["grids", "papers"], "did you mean 'paper'"),
        (["verify", "none.yaml"], "none.yaml: no such file"),
        (["frobnicate"], "No such command"),
    ],
)
def test_what_is_asked_wrongly_is_one_plain_line_and_code_2(scalenet, words, said):
    result = scalenet(*words)
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output


def test_broken_yaml_is_named_by_file_line_and_key(scalenet, tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text(registry.file("resnet18").read_text().replace("activation:", "activtion:"))
    result = scalenet("cost", path)
    assert result.exit_code == 2
    assert "broken.yaml:7: model.activtion: unknown key" in result.stderr
    assert "did you mean 'activation'" in result.stderr


def test_help_loads_nothing_heavy():
    heavy = "{'torch', 'numpy', 'pandas', 'matplotlib', 'fvcore', 'scipy', 'pydantic', 'PIL'}"
    code = (
        "import sys; sys.argv = ['scalenet', '--help']\n"
        "from scalenet_cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr.strip() == "[]"
    assert "grid-search" in result.stdout


@pytest.mark.parametrize("words", [["baselines"], ["scale", "--phi", "1"], ["cost", "resnet50"], ["schema"]])
def test_commands_that_run_no_network_load_no_torch(words):
    code = (
        f"import sys; sys.argv = ['scalenet', *{words}]\n"
        "from scalenet_cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'pandas', 'fvcore'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


@pytest.mark.parametrize("words", ["schema", "--help", "scale --help"])
def test_a_closed_pipe_is_no_error(words):
    shell = f"{sys.executable} -m scalenet_cli {words} | head -c 0"
    result = subprocess.run(["bash", "-c", f"set -o pipefail; {shell}"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


TABLES = [
    ["baselines"],
    ["show", "efficientnet_b0"],
    ["show", "resnet152"],
    ["cost", "efficientnet_b7", "--by", "stage"],
    ["cost", "efficientnet_b7", "--fit", "8GiB", "--training", "--moments", "2"],
    ["latency", "efficientnet_lite0", "small_resnet", "--resolution", "32", "--runs", "1"],
    ["scale", "--base", "resnet50", "--phi", "7"],
    ["scale", "--base", "efficientnet_b0", "--phi", "1..7"],
    ["grid-search", "--dry-run"],
]


@pytest.mark.parametrize("words", TABLES, ids=" ".join)
def test_tables_fit_a_terminal_of_80_columns(words):
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm", "NO_COLOR": "1"}
    code, shown = commands.run_on_terminal([*commands.SCALENET, *words], env=environment)
    assert code == 0
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_verify_says_no_to_numbers_that_cannot_be(scalenet, tmp_path):
    path = tmp_path / "r.yaml"
    scalenet("scale", "--phi", "-2", "--base", "resnet50", "-o", path)
    text = path.read_text()
    for old, new in (
        ("resolution: 169", "resolution: 400000"),
        ("classes: 1000", "classes: 1000000000000"),
        ("kernel: 3, expansion", "kernel: 4, expansion"),
        ("dropout: 0.0", "dropout: 1.5"),
    ):
        assert old in text
        path.write_text(text.replace(old, new, 1))
        result = scalenet("verify", path)
        assert result.exit_code == 1, (new, result.output)
        assert len(result.stdout.splitlines()) >= 1


ONE_PIXEL = """\
schema: scalenet/1
name: one_pixel
baseline: {rounding: fine}
model:
  resolution: 8
  channels: 3
  activation: relu
  norm: {kind: groupnorm, groups: 1, eps: 1.0e-05}
  stem: {kind: conv, width: 1, kernel: 3, stride: 2}
  stages:
  - {block: basic, depth: 1, width: 1, stride: 4, kernel: 3}
  head: {kind: linear, classes: 16}
  regularization: {dropout: 0.0, drop_path: 0.0}
  initialization: resnet
"""


def test_verify_tells_of_each_file_whatever_is_wrong_with_others(scalenet, tmp_path, monkeypatch):
    def measured(model):
        if model.size == (24, 24):
            raise ValueError("Expected more than 1 value")
        return measure(model)

    measure = verification.measured
    monkeypatch.setattr(verification, "measured", measured)
    refused, broken = tmp_path / "one_pixel.yaml", tmp_path / "broken.yaml"
    refused.write_text(ONE_PIXEL)
    broken.write_text(ONE_PIXEL.replace("resolution: 8", "resolution: 24"))
    assert "group normalisation takes more than one value a group" in scalenet("cost", refused).stderr
    result = scalenet("verify", refused, broken, "x" * 300 + ".yaml", "small_resnet", "--json")
    misfit, built, named, good = json.loads(result.stdout)
    assert result.exit_code == 2
    assert "stages[0] (basic)" in misfit["differences"][0]
    assert "model: cannot be built and measured: ValueError: Expected more than 1 value" in built["differences"][0]
    assert "File name too long" in named["error"]
    assert good["ok"]


def test_a_file_in_the_place_of_a_folder_is_asked_wrongly(scalenet, tmp_path):
    (tmp_path / "file.yaml").write_text("kept")
    for words in (["scale", "--phi", "1..2"], ["grid-search"]):
        result = scalenet(*words, "-o", tmp_path / "file.yaml")
        assert (result.exit_code, "is a file" in result.stderr) == (2, True), result.stderr
    assert scalenet("scale", "-o", tmp_path / "file.yaml" / "x.yaml").exit_code == 2
    assert (tmp_path / "file.yaml").read_text() == "kept"


def test_other_classes_are_in_the_recorded_command(scalenet, tmp_path):
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    scalenet("scale", "--base", "resnet18", "--phi", "1", "--classes", "10", "-o", first)
    command = load_config(first).provenance.command.split()
    assert scalenet(*command[1:], "-o", second).exit_code == 0
    assert first.read_bytes() == second.read_bytes()


def test_coefficients_of_another_baseline_are_told(scalenet, tmp_path):
    evidence = "base: other, base_digest: x, data: d, data_digest: x, grid: g, rounding: fine, candidates: 1, seeds: 1"
    evidence = f"{{{evidence}, accuracy: 0.5, interval: 0.1, margin: 0.1, note: n}}"
    path = tmp_path / "c.yaml"
    path.write_text(f"schema: scalenet-coefficients/1\nalpha: 1.3\nbeta: 1.0\ngamma: 1.2\nevidence: {evidence}\n")
    told = scalenet("scale", "--coefficients", path, "--phi", "1..3").stderr
    assert told.count("found for other, not for efficientnet_b0") == 1


def test_a_pipe_hears_of_asked_and_achieved_on_stderr(scalenet):
    result = scalenet("scale", "--base", "efficientnet_b0", "--phi", "1")
    assert "asked 2×, nominal 1.92×, achieved 2.573×" in result.stderr
