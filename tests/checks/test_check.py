"""`scalenet check`: drift in either direction, limits, what moved, the base in git, exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import commands
import pytest
from commands import SCALENET
from hypothesis import given
from hypothesis import strategies as st

import scalenet
from scalenet.arch import registry
from scalenet.arch.config import dumps
from scalenet.checks.comparison import Change, is_drift
from scalenet.checks.lock import StageCost, TargetCost
from scalenet.checks.project import Gate, Increase
from scalenet.scaling.presets import presets

if TYPE_CHECKING:
    from conftest import Folder

B0, R18 = "nets/efficientnet_b0.yaml", "nets/resnet18.yaml"


def gates(folder: Folder, *texts: str) -> None:
    folder.write("pyproject.toml", '[tool.scalenet]\ntargets = ["nets/*.yaml"]\ngates = [' + ", ".join(texts) + "]\n")


def lines(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


def test_what_is_as_locked_passes_and_is_one_count(locked: Folder) -> None:
    result = locked.check()
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "2 targets unchanged",
        "passed: 2 targets checked against scalenet.lock.json",
    ]


def test_a_change_is_one_line_then_the_field_then_the_command(locked: Folder) -> None:
    text = (locked.path / B0).read_text()
    places = [match.start() for match in re.finditer("kernel: 5", text)]
    locked.write(B0, text[: places[1]] + "kernel: 3" + text[places[1] + 9 :])
    result = locked.check()
    assert result.exit_code == 1
    said = result.stdout.splitlines()
    assert re.fullmatch(
        r"nets/efficientnet_b0.yaml: FLOPs 386 M → \S+ M \(−.* %\), params .* → .*: stages.4 conv −\S+ M(, .*)?",
        said[0],
    )
    assert said[1:] == [
        "  stages[4].kernel 5 → 3",
        "1 target unchanged",
        "failed: 1 not as locked",
        "accept with: scalenet lock",
    ]


@pytest.mark.parametrize("classes", [999, 1001])
def test_the_smallest_change_in_either_direction_is_drift(locked: Folder, classes: int) -> None:
    locked.edit(R18, "classes: 1000", f"classes: {classes}")
    result = locked.check()
    assert result.exit_code == 1
    assert f"head.classes 1000 → {classes}" in result.stdout


def test_accepting_is_writing_the_lock(locked: Folder) -> None:
    locked.edit(R18, "classes: 1000", "classes: 10")
    written = locked.run("lock")
    assert (written.exit_code, written.stderr) == (0, "wrote scalenet.lock.json: 2 targets\n")
    assert "head linear −507 k" in written.stdout
    assert locked.check().exit_code == 0
    before = (locked.path / "scalenet.lock.json").read_bytes()
    assert locked.run("lock").stdout == "2 targets unchanged\n"
    assert (locked.path / "scalenet.lock.json").read_bytes() == before


def test_check_writes_nothing(locked: Folder) -> None:
    locked.edit(R18, "classes: 1000", "classes: 10")
    before = locked.git("status", "--short")
    locked.check()
    assert locked.git("status", "--short") == before


def test_another_pooling_is_named_a_change_of_convention(locked: Folder) -> None:
    locked.edit(B0, "pool: mean", "pool: adaptive")
    result = locked.check()
    assert result.exit_code == 1
    (line,) = lines(result.stdout, B0)
    assert "a change of convention alone, no less and no more work: fvcore's total +0.58 %" in line
    assert "  squeeze_excite.pool mean → adaptive" in result.stdout


def test_a_missing_lock_fails_with_the_command_that_makes_it(folder: Folder) -> None:
    result = folder.check()
    assert result.exit_code == 1
    assert "scalenet.lock.json: missing (`scalenet lock` makes it)" in result.stdout
    assert result.stdout.splitlines()[-1] == "accept with: scalenet lock"


def test_a_target_that_has_no_cost_is_not_to_be_accepted(folder: Folder) -> None:
    assert "accept with" not in folder.check("resnt50").stdout
    assert "accept with" not in folder.check("resnet50", "resnt50").stdout
    folder.edit(R18, "activation:", "activtion:")
    assert "accept with" not in folder.check().stdout
    assert "accept with: scalenet lock resnet50" in folder.check("resnet50").stdout


def test_new_and_gone_targets_fail_and_are_named(locked: Folder) -> None:
    (locked.path / R18).unlink()
    locked.write("nets/other.yaml", dumps(scalenet.load("mobilenet_v2")))
    result = locked.check()
    assert result.exit_code == 1
    assert "nets/other.yaml: new: FLOPs 301 M, params 3.50 M, activations 6.68 M" in result.stdout
    assert f"{R18}: gone: no target any more" in result.stdout


def test_a_broken_config_is_one_line_and_the_others_are_checked(locked: Folder) -> None:
    locked.edit(R18, "activation:", "activtion:")
    result = locked.check()
    assert result.exit_code == 2
    assert f"{R18}:6: model.activtion: unknown key (did you mean 'activation'?)" in result.stdout
    assert "1 target unchanged" in result.stdout
    assert "no target any more" not in result.stdout


def test_a_tolerance_lets_a_metric_move_that_far_and_no_further(locked: Folder) -> None:
    gates(
        locked,
        '{tolerance = {percent = 5}}',
        '{metric = "params", tolerance = {absolute = "600k"}}',
        '{metric = "activations", tolerance = {percent = 0.1}}',
    )  # fmt: skip
    locked.edit(R18, "classes: 1000", "classes: 10")
    assert locked.check().exit_code == 0
    gates(locked, "{tolerance = {percent = 5}}")
    assert locked.check().exit_code == 1


def swapped_in_the_lock(folder: Folder, *counts: str) -> None:
    """Let two stages of ResNet-18 have each other's counts in the lock file: its totals stay as they are."""
    data = json.loads((folder.path / "scalenet.lock.json").read_text())
    stages = [data["targets"][R18]["stages"][stage] for stage in ("stages.0", "stages.1")]
    for count in counts:
        one, other = (stage if count in stage else stage["operators"] for stage in stages)
        one[count], other[count] = other[count], one[count]
    folder.write("scalenet.lock.json", json.dumps(data))


NOISY = '{metric = "latency", max = "10s", tolerance = {percent = 50}}'
LOOSE = {metric: f'{{metric = "{metric}", tolerance = {{percent = 50}}}}' for metric in ("flops", "params", "memory")}


@pytest.mark.parametrize(
    ("counts", "gate", "code"),
    [
        (["conv"], NOISY, 1),
        (["conv"], LOOSE["memory"], 1),
        (["conv"], LOOSE["params"], 1),
        (["conv"], LOOSE["flops"], 0),
        (["conv", "params"], LOOSE["flops"], 1),
        (["activations"], NOISY, 1),
        (["params"], LOOSE["flops"], 1),
        (["params"], LOOSE["params"], 0),
    ],
)
def test_a_tolerance_loosens_the_stages_of_its_own_count_alone(
    locked: Folder, counts: list[str], gate: str, code: int
) -> None:
    gates(locked, gate)
    assert locked.check().exit_code == 0
    swapped_in_the_lock(locked, *counts)
    assert locked.check().exit_code == code


def test_no_tolerance_loosens_the_input_and_what_is_accepted(locked: Folder) -> None:
    gates(locked, NOISY, *LOOSE.values(), '{metric = "activations", tolerance = {percent = 50}}')
    text = (locked.path / "scalenet.lock.json").read_text()
    for asked in ('"input": ["1x3x112x448"]', '"accepted": ["mean"],\n  "input": ["1x3x224x224"]'):
        locked.write("scalenet.lock.json", text.replace('"input": ["1x3x224x224"]', asked))
        said = locked.check()
        assert (said.exit_code, "failed: 2 not as locked" in said.stdout) == (1, True)


def test_a_linear_layer_as_a_convolution_is_a_change_of_convention(locked: Folder) -> None:
    locked.edit("scalenet.lock.json", '"linear": 512000', '"conv": 512000')
    (line,) = lines(locked.check().stdout, R18)
    assert "a change of convention alone, no less and no more work" in line


@pytest.mark.parametrize("counts", [["conv"], ["conv", "params", "activations"]])
def test_work_that_went_to_another_stage_is_no_change_of_convention(locked: Folder, counts: list[str]) -> None:
    swapped_in_the_lock(locked, *counts)
    said, data = locked.check().stdout, json.loads(locked.check("--json").stdout)
    assert lines(said, R18) == [f"{R18}: totals as before: stages.0 conv +51.4 M, stages.1 conv −51.4 M"]
    assert [target["only_convention"] for target in data["targets"]] == [False, False]


def test_of_several_tolerances_the_strictest_holds(locked: Folder) -> None:
    locked.edit(R18, "classes: 1000", "classes: 1500")
    others = [LOOSE["flops"], '{metric = "activations", tolerance = {percent = 1}}']
    strict, loose = '{target = "nets/*", metric = "params", tolerance = {percent = 0.5}}', LOOSE["params"]
    for params, code in (([loose], 0), ([strict, loose], 1), ([loose, strict], 1)):
        gates(locked, *params, *others)
        assert locked.check().exit_code == code


def test_limits_are_printed_with_value_limit_and_headroom(locked: Folder) -> None:
    gates(
        locked,
        '{target = "*resnet18*", max = "2G"}',
        '{target = "*b0*", metric = "params", max = 5288548}',
        '{target = "*b0*", stage = "stages.[45]", max = "90M"}',
        '{target = "*b0*", metric = "activations", max = "6.7M"}',
    )
    result = locked.check()
    assert result.exit_code == 1
    assert lines(result.stdout, "ok") + lines(result.stdout, "OVER") == [
        f"ok  {B0}: params 5,288,548, max 5,288,548, headroom 0",
        f"ok  {B0} stages.4: FLOPs 86.1 M, max 90.0 M, headroom 3.90 M",
        f"ok  {R18}: FLOPs 1.81 G, max 2.00 G, headroom 186 M",
        f"OVER  {B0} stages.5: FLOPs 91.5 M, max 90.0 M, 1.53 M too many",
        f"OVER  {B0}: activations 6.75 M, max 6.70 M, 48.0 k too many",
    ]
    assert "accept with" not in result.stdout


@given(st.integers(0, 10**12), st.floats(0, 100), st.integers(0, 10**9))
def test_an_increase_is_the_smaller_of_share_and_number(base: int, percent: float, absolute: int) -> None:
    both = Increase(percent=percent, absolute=absolute).above(base)
    assert both == min(Increase(percent=percent).above(base), Increase(absolute=absolute).above(base))


def test_the_base_is_the_lock_at_the_merge_base(locked: Folder) -> None:
    gates(locked, '{max_increase = {percent = 2, absolute = "1M"}}')
    locked.commit()
    locked.git("checkout", "-q", "-b", "change")
    locked.edit(R18, "classes: 1000", "classes: 1400")
    locked.lock()
    locked.commit()
    locked.git("checkout", "-q", "main")
    locked.edit(B0, "classes: 1000", "classes: 2000")
    locked.lock()
    locked.commit()
    locked.git("checkout", "-q", "change")
    result = locked.check("--base", "main")
    assert result.exit_code == 0
    assert re.search(rf"{R18}: FLOPs .* head linear \+205 k \(accepted in the lock file\)", result.stdout)
    assert f"ok  {R18}: FLOPs 1.81 G, max_increase to 1.82 G, headroom 795 k" in result.stdout
    assert re.search(r"passed: 2 targets checked against scalenet.lock.json, base main \([0-9a-f]{7}\)", result.stdout)
    locked.edit(R18, "classes: 1400", "classes: 4000")
    locked.lock()
    assert locked.check("--base", "main").exit_code == 1
    assert locked.check().exit_code == 0


def test_a_base_without_a_lock_is_no_failure(locked: Folder) -> None:
    locked.git("rm", "-q", "--cached", "scalenet.lock.json")
    locked.git("commit", "-qm", "Drop")
    locked.git("checkout", "-q", "-b", "change")
    locked.commit()
    assert locked.check("--base", "main").exit_code == 0


def test_a_base_that_git_does_not_know_is_one_line(locked: Folder) -> None:
    for base in ("nowhere", "--upload-pack=x"):
        result = locked.check(f"--base={base}")
        assert result.exit_code == 2
        assert f"--base {base}: git knows no such commit" in result.stderr
        assert "fetch-depth: 0" in result.stderr


def test_one_target_is_checked_alone(locked: Folder) -> None:
    locked.edit(R18, "classes: 1000", "classes: 10")
    assert locked.check("*b0*").exit_code == 0
    result = locked.check(R18)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == f"accept with: scalenet lock {R18}"
    assert locked.run("lock", R18).exit_code == 0
    assert locked.check().exit_code == 0


def test_a_name_that_is_not_listed_is_a_target_by_itself(locked: Folder) -> None:
    result = locked.check("mobilenet-v2")
    assert result.exit_code == 1
    assert "mobilenet_v2: new: FLOPs 301 M" in result.stdout


def test_a_file_is_called_by_its_very_name_before_a_pattern(folder: Folder) -> None:
    (folder.path / R18).rename(folder.path / "nets/net[1].yaml")
    (folder.path / B0).rename(folder.path / "nets/net1.yaml")
    assert "nets/net[1].yaml: new" in folder.run("lock", "nets/net[1].yaml").stdout
    gates(folder, '{target = "nets/net[1].yaml", max = "9G"}')
    named = folder.check("nets/net[1].yaml")
    assert (named.exit_code, named.stdout.splitlines()[0]) == (0, "1 target unchanged")
    assert len(lines(named.stdout, "ok  nets/net[1].yaml")) == 1
    assert len(lines(folder.check("nets/net[12].yaml").stdout, "nets/net1.yaml: new")) == 1
    folder.write("pyproject.toml", '[tool.scalenet]\ntargets = ["nets/net1.yaml"]\n')
    assert folder.check("nets/net[1].yaml").stdout.splitlines()[0] == "1 target unchanged"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("target = []", r"\[tool.scalenet\]: target: unknown key"),
        ("targets = [1]", r"\[tool.scalenet\]: targets\[0\]"),
        ('targets = ["resnt50"]', "resnt50: no baseline, preset or file .*'resnet50'"),
        ('targets = ["no/*.yaml"]', "no/.*yaml: no such file"),
        ('targets = [{module = "nets", input = "1x3"}]', "nets: not a callable"),
        ('targets = [{module = "nets:make", input = "1,3"}]', "input '1,3' is not a shape"),
        ('targets = [{module = "nets:make", input = "1x3:int46"}]', "did you mean 'int64'"),
        (
            'targets = [{module = "a:b", input = "1x3"}, {module = "a:b", input = "2x3"}]',
            "a:b: two targets have this name",
        ),
        ('targets = ["resnet18"]\ngates = [{max = "many"}]', r"gates\[0\].max: write a count as 400M"),
        ('targets = ["resnet18"]\ngates = [{}]', "give max, max_increase or tolerance"),
        ('targets = ["resnet18"]\ngates = [{max_increase = {}}]', "give percent, absolute or both"),
        ('targets = ["resnet18"]\ngates = [{stage = "x", tolerance = {percent = 1}}]', "for whole targets"),
        ('targets = ["resnet18"]\ngates = [{target = "vgg*", max = 1}]', "no target is called 'vgg.*'"),
        ('targets = ["resnet18"]\ngates = [{stage = "stages.9", max = 1}]', "no stage is called 'stages.9'"),
        ('targets = ["resnet18"]\ngates = [{metric = "latency", max = "9ms"}]', "latency has noise"),
        (
            'targets = ["resnet18"]\ngates = [{metric = "latency", max = "9", tolerance = {percent = 1}}]',
            "write a time",
        ),
        ('targets = ["resnet18"]\ngates = [{metric = "memory", max = "9 iB"}]', "write bytes as 500MB"),
        ('targets = ["resnet18"]\ngates = [{metric = "memory", stage = "head", max = 9}]', "of whole targets"),
        ('targets = [{module = "nets:make", input = {a = true}}]', "is not a shape"),
        ('targets = [{module = "nets:make", input = [["a=1x3"]]}]', "a list takes no names"),
        ('targets = [{module = "nets:make", input = ["a=1x3", "a=1x4"]}]', "'a' stands twice"),
        ("targets = ", "not TOML"),
        ("", "no targets"),
    ],
)
def test_settings_that_make_no_sense_are_named(locked: Folder, settings: str, said: str) -> None:
    locked.write("pyproject.toml", f"[tool.scalenet]\n{settings}\n")
    result = locked.check()
    assert result.exit_code == 2, result.output
    assert re.search(said, result.output), result.output
    assert "Traceback" not in result.output


def test_a_project_is_found_from_a_folder_inside(locked: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(locked.path / "nets")
    assert locked.check().exit_code == 0
    assert locked.check("./resnet18.yaml").stdout.splitlines()[0] == "1 target unchanged"


def test_fast_loads_no_torch_and_leaves_modules_out(locked: Folder) -> None:
    locked.write("pyproject.toml", '[tool.scalenet]\ntargets = ["nets/*.yaml", {module = "no:where", input = "1x3"}]\n')
    code = (
        "import sys; sys.argv = ['scalenet', 'check', '--fast']\n"
        "from scalenet_cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'pandas', 'fvcore'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=locked.path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "1 module left out by --fast" in done.stdout


def cost(**operators: int) -> TargetCost:
    stages = {"stem": StageCost(params=1, activations=1, operators=operators)}
    return TargetCost(input=("1x3",), flops=operators["conv"], params=1, activations=1, stages=stages, uncounted=())


operators = st.fixed_dictionaries({name: st.integers(0, 9) for name in ("conv", "batch_norm", "adaptive_avg_pool2d")})


@given(operators, operators)
def test_a_change_is_told_exactly_where_counts_differ(before: dict[str, int], after: dict[str, int]) -> None:
    change = Change(cost(**before), cost(**after))
    assert bool(change) == (before != after)
    assert {move.operator: move.delta for move in change.moves} == {
        name: after[name] - before[name] for name in before if before[name] != after[name]
    }
    others = {name for name in ("conv", "batch_norm") if before[name] != after[name]}
    assert change.only_convention == (before != after and not others)


@pytest.mark.parametrize("words", [["--fast"], ["efficientnet_b0", "mobilenet_v[12]", "resnet18"]])
def test_the_project_holds_its_own_lock(words: list[str]) -> None:
    done = commands.run([*SCALENET, "check", "--json", *words], cwd=Path(__file__).parents[2])
    report = json.loads(done.stdout)
    assert (report["code"], report["problems"], done.stderr) == (0, [], "")
    assert {target["status"] for target in report["targets"]} == {"unchanged"}
    assert len(report["targets"]) == (len({*registry.names(), *presets()}) if "--fast" in words else 4)


@pytest.mark.parametrize(("after", "drifted"), [(90, False), (110, False), (89, True), (111, True)])
def test_a_change_of_just_the_tolerance_is_no_drift(after: int, drifted: bool) -> None:
    gates = [Gate(tolerance=Increase(absolute=10))]
    assert is_drift("net", Change(_cost(100), _cost(after)), gates) is drifted


def _cost(flops: int) -> TargetCost:
    return TargetCost(input=("1x3",), flops=flops, params=1, activations=1, stages={}, uncounted=())
