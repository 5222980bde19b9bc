"""Modules are measured in child processes; what goes wrong with one is one line, and the others are measured."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

import scalenet
from scalenet.checks.inputs import Input, parse_input
from scalenet.checks.measuring import by_formula, module_cost

if TYPE_CHECKING:
    from conftest import Folder

NETS = """
import os, sys, time
import torch
from torch import nn

print("what a module says is no data")

def small():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten())

class Embedded(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.layer = nn.Embedding(10, 4), nn.Linear(4, 2)
    def forward(self, words, more):
        return self.layer(self.table(words) + more)

instance = small()
broken = lambda: 1 / 0
leaves = lambda: sys.exit(0)
dies = lambda: os._exit(7)
sleeps = lambda: time.sleep(600)
a_text = lambda: "text"
attention = lambda: nn.TransformerEncoderLayer(8, 2, batch_first=True)

class Spectrum(nn.Module):
    def forward(self, x):
        return torch.fft.rfft(x).abs()
"""


def project(folder: Folder, *targets: str, limit: float = 60) -> None:
    folder.write("nets.py", NETS)
    folder.write("pyproject.toml", f"[tool.scalenet]\ntime_limit = {limit}\ntargets = [{', '.join(targets)}]\n")


def module(name: str, *inputs: str) -> str:
    return f'{{module = "nets:{name}", input = {json.dumps(inputs or ["1x3x8x8"])}}}'


def test_modules_are_locked_and_checked(folder: Folder) -> None:
    project(folder, module("small"), module("instance", "2x3x9x9"), module("Embedded", "1x5:int64", "5x4"))
    assert folder.run("lock").exit_code == 0
    targets = json.loads((folder.path / "scalenet.lock.json").read_text())["targets"]
    assert targets["nets:small"] == {
        "input": ["1x3x8x8"],
        "flops": 36 * 8 * 27,
        "params": 8 * 28 + 16,
        "activations": 8 * 36,
        "uncounted": [],
        "stages": {
            "0": {"params": 8 * 28, "activations": 8 * 36, "operators": {"conv": 36 * 8 * 27}},
            "1": {"params": 16, "activations": 0, "operators": {"batch_norm": 2 * 8 * 36}},
        },
    }
    assert targets["nets:instance"]["flops"] == 2 * 49 * 8 * 27
    assert targets["nets:Embedded"]["uncounted"] == ["add", "embedding"]
    folder.edit("nets.py", "nn.Conv2d(3, 8, 3)", "nn.Conv2d(3, 8, 1)")
    result = folder.run("check", "nets:small")
    assert result.exit_code == 1
    assert result.stdout.startswith("nets:small: FLOPs 7.78 k → 1.54 k (−80.2 %), params 240 → 48 (−80.0 %)")


def test_what_goes_wrong_is_one_line_and_the_others_are_measured(folder: Folder) -> None:
    names = ("broken", "leaves", "dies", "a_text", "nowhere")
    wrong = [module(name) for name in names]
    project(folder, *wrong, module("Spectrum"), module("attention", "1x3x8"), '"resnet18"', module("small"))
    report = json.loads(folder.run("check", "--json").stdout)
    assert report["code"] == 3
    assert {one["name"].removeprefix("nets:"): one["message"] for one in report["problems"] if one["name"]} == {
        "broken": "cannot be made: ZeroDivisionError: division by zero",
        "leaves": "cannot be made: SystemExit: 0",
        "dies": "its process ended with code 7",
        "a_text": "gives str, not an nn.Module",
        "nowhere": "nets has no 'nowhere'",
        "Spectrum": "aten::_fft_r2c in the module itself has no rule for its multiply-adds "
        '(count it as nothing with accept = ["aten::_fft_r2c"])',
    }
    folder.write("pyproject.toml", f'[tool.scalenet]\ntargets = ["resnet18", {module("small")}]\n')
    assert folder.run("lock").exit_code == 0


def test_a_target_that_takes_too_long_is_ended(folder: Folder) -> None:
    project(folder, module("sleeps"), limit=3)
    report = json.loads(folder.run("check", "--json").stdout)
    assert report["problems"][-1]["message"] == "took more than 3 s (time_limit in [tool.scalenet] allows more)"
    assert report["code"] == 3


def test_ctrl_c_is_one_line_while_a_module_is_measured(folder: Folder) -> None:
    project(folder, module("sleeps"))
    process = subprocess.Popen(
        [sys.executable, "-m", "scalenet_cli", "lock"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "what a module says is no data\n"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.communicate()[1] == "scalenet: interrupted\n"
    assert process.returncode == 130
    assert not (folder.path / "scalenet.lock.json").exists()


def test_a_bad_target_keeps_its_line_and_the_others_are_locked(folder: Folder) -> None:
    project(folder, '"resnet18"', module("small"))
    assert folder.run("lock").exit_code == 0
    before = json.loads((folder.path / "scalenet.lock.json").read_text())["targets"]
    folder.edit("nets.py", "nn.Conv2d(3, 8, 3)", "1 / 0")
    project_file = (folder.path / "pyproject.toml").read_text().replace('"resnet18"', '"resnet34"')
    folder.write("pyproject.toml", project_file)
    result = folder.run("lock")
    assert result.exit_code == 3
    assert "not locked anew: 1 problem" in result.stderr
    after = json.loads((folder.path / "scalenet.lock.json").read_text())["targets"]
    assert sorted(after) == ["nets:small", "resnet34"]
    assert after["nets:small"] == before["nets:small"]


def test_an_accepted_operator_is_locked_and_said_when_it_is_accepted_no_more(folder: Folder) -> None:
    accepting = module("Spectrum").replace("}", ', accept = ["aten::_fft_r2c"]}')
    project(folder, accepting)
    assert folder.run("lock").exit_code == 0
    assert json.loads((folder.path / "scalenet.lock.json").read_text())["targets"]["nets:Spectrum"]["accepted"] == [
        "aten::_fft_r2c"
    ]
    assert folder.run("check").exit_code == 0
    project(folder, module("Spectrum"))
    assert folder.run("check").exit_code == 3
    folder.edit("nets.py", "torch.fft.rfft(x).abs()", "x")
    result = folder.run("check")
    assert result.exit_code == 1
    assert "accept" in result.stdout
    folder.write("pyproject.toml", f"[tool.scalenet]\ntargets = [{accepting}]\n")
    assert "accepts aten::_fft_r2c, where there is nothing to accept" in folder.run("check").stdout


def test_only_listed_targets_run(folder: Folder) -> None:
    folder.lock()
    folder.edit("scalenet.lock.json", "nets/resnet18.yaml", "unlisted:make")
    folder.write("unlisted.py", "import pathlib\npathlib.Path('ran').touch()\n")
    assert "renamed from unlisted:make" in folder.run("check").stdout
    assert not (folder.path / "ran").exists()


def test_a_module_is_named_with_its_input(folder: Folder) -> None:
    folder.write("nets.py", NETS)
    assert folder.run("lock", "nets:small", "--input", "1x3x8x8").exit_code == 0
    assert folder.run("check", "nets:small", "--input", "1x3x8x8").exit_code == 0
    result = folder.run("check", "nets:small", "--input", "1x3x9x9")
    assert result.exit_code == 1
    assert "input 1x3x8x8 → 1x3x9x9" in result.stdout
    assert result.stdout.splitlines()[-1] == "accept with: scalenet lock nets:small --input=1x3x9x9"


@pytest.mark.parametrize("text", ["1x3x224x224", "2", "1x77:int64", "4x4:bool"])
def test_inputs_read_as_they_are_written(text: str) -> None:
    assert str(parse_input(text)) == text


def test_a_networks_stages_are_those_of_its_description() -> None:
    network = scalenet.load("mobilenet_v2")
    figures = by_formula(network.model)
    measured = module_cost(scalenet.build(network), [Input((1, 3, 224, 224))])
    assert (measured.stages, measured.flops) == (figures["stages"], figures["flops"])


def test_what_no_top_module_does_is_itself() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(4, 3))
            self.head = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(x @ self.weight.T)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of loading torch's compiler
        compiled = torch.compile(Own())
    stages = module_cost(compiled, [Input((1, 3))]).stages  # type: ignore[arg-type]
    assert {name: (stage.params, stage.flops) for name, stage in stages.items()} == {
        "(itself)": (12, 12),
        "head": (10, 8),
    }


def test_a_formula_that_differs_from_fvcore_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    from scalenet.checks import measuring, targets, verification

    target = targets.find_targets(["resnet18"], Path())[0][0]
    exact = verification.cost_record
    monkeypatch.setattr(
        verification, "cost_record", lambda model: exact(model).model_copy(update={"params": exact(model).params + 1})
    )
    with pytest.raises(scalenet.ScalenetError, match="formula and fvcore differ: params: 11689513 by formula"):
        measuring.described_cost(target.model, target.inputs)  # type: ignore[arg-type]
