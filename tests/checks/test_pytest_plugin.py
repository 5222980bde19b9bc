"""The pytest plugin, in a pytest of its own, and the assertions behind it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from scalenet.arch.errors import ScalenetError
from scalenet.checks import assertions
from scalenet.checks import lock as lock_file
from scalenet.checks.assertions import assert_cost, assert_cost_unchanged
from scalenet.checks.inputs import Input
from scalenet.checks.lock import Lock
from scalenet.checks.measuring import module_cost

NET, IMAGE = nn.Conv2d(3, 8, 3), torch.zeros(1, 3, 6, 6)
FLOPS = 16 * 8 * 27


@pytest.mark.parametrize("limit", ["<= 4k", f"<= {FLOPS}", f"< {FLOPS + 1}", f">={FLOPS}", "> 3k", f"=={FLOPS}", FLOPS])
def test_a_limit_that_holds_is_silent(limit: str | int) -> None:
    assert_cost(NET, IMAGE, flops=limit, params="< 1k", activations=128)


@pytest.mark.parametrize("limit", ["<= 3k", f"< {FLOPS}", f"> {FLOPS}", ">= 4k", FLOPS + 1])
def test_a_limit_that_does_not_hold_is_said_with_the_count(limit: str | int) -> None:
    with pytest.raises(AssertionError, match="flops 3,456, not "):
        assert_cost(NET, IMAGE, flops=limit)


@pytest.mark.parametrize(
    ("limits", "said"), [({}, "nothing to assert"), ({"flops": "a lot"}, "write a count"), ({"params": "=> 3"}, "3")]
)
def test_a_limit_that_makes_no_sense_is_refused(limits: dict[str, str], said: str) -> None:
    with pytest.raises(ScalenetError, match=said):
        assert_cost(NET, IMAGE, **limits)


class Distances(nn.Module):
    """Does what no counter has a rule for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cdist(x, x)


def test_a_count_that_cannot_be_trusted_is_no_pass() -> None:
    with pytest.raises(ScalenetError, match=r"aten::_cdist_forward in module '1' has no rule"):
        assert_cost(nn.Sequential(nn.Linear(3, 4), Distances()), torch.zeros(5, 3), flops="<= 1G")


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "scalenet.lock.json"
    path.write_text(lock_file.dumps(Lock(targets={"nets:make": module_cost(NET, [Input((1, 3, 6, 6))])})))
    return path


def test_a_module_is_compared_with_the_lock(lock: Path) -> None:
    assert_cost_unchanged(nn.Conv2d(3, 8, 3), lock=lock)
    with pytest.raises(AssertionError, match=r"nets:make: FLOPs 3.46 k → 3.89 k .*\n.*scalenet lock"):
        assert_cost_unchanged(nn.Conv2d(3, 9, 3), lock=lock, target="nets:make")


def test_a_target_that_the_lock_has_not_is_named(lock: Path) -> None:
    with pytest.raises(ScalenetError, match="did you mean 'nets:make'"):
        assert_cost_unchanged(NET, lock=lock, target="nets:mak")
    with pytest.raises(ScalenetError, match=r"gone.json: missing \(`scalenet lock` makes it\)"):
        assert_cost_unchanged(NET, lock=lock.with_name("gone.json"))


def test_pytest_finds_the_fixtures_by_itself_and_loads_no_torch_for_others(lock: Path) -> None:
    (lock.parent / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (lock.parent / "test_nets.py").write_text("""
import sys

def test_nothing_heavy_is_loaded():
    assert not {"torch", "fvcore", "numpy", "pydantic"} & set(sys.modules)

def test_it_may_cost_that_much(assert_cost):
    import torch
    assert_cost(torch.nn.Conv2d(3, 8, 3), torch.zeros(1, 3, 6, 6), flops="<= 4k")

def test_it_may_not(assert_cost):
    import torch
    assert_cost(torch.nn.Conv2d(3, 8, 3), torch.zeros(1, 3, 6, 6), flops="<= 3k")

def test_it_is_as_locked(assert_cost_unchanged):
    import torch
    assert_cost_unchanged(torch.nn.Conv2d(3, 8, 3), lock="scalenet.lock.json")

def test_it_is_not(assert_cost_unchanged):
    import torch
    assert_cost_unchanged(torch.nn.Conv2d(3, 9, 3))

def test_it_fails(assert_cost):
    import torch
    class Fails(torch.nn.Module):
        def forward(self, x):
            raise RuntimeError("its own")
    assert_cost(Fails(), torch.zeros(1), flops=1)

def test_it_is_no_input(assert_cost):
    import torch
    assert_cost(torch.nn.ReLU(), "text", flops=1)
""")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "."]
    done = subprocess.run(command, cwd=lock.parent, capture_output=True, text=True, check=False)
    assert "4 failed, 3 passed" in done.stdout, done.stdout
    assert "AssertionError: flops 3,456, not <= 3,000" in done.stdout
    assert "AssertionError: nets:make: FLOPs 3.46 k → 3.89 k (+12.5 %)" in done.stdout
    assert "RuntimeError: its own" in done.stdout
    assert "an input is str, not a tensor" in done.stdout
    ours = str(Path(assertions.__file__).parents[1])
    assert [line for line in done.stdout.splitlines() if ours in line] == []
