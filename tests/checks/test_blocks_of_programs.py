"""Networks of blocks that only this program knows are measured here, as others are in processes of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from networks import one_stage

import scalenet
from scalenet.arch import blocks
from scalenet.arch.families.resnet import basic
from scalenet.arch.layers import Layer  # noqa: TC001 - annotations of blocks are read
from scalenet.arch.slots import Slot  # noqa: TC001 - annotations of blocks are read
from scalenet.checks import child

if TYPE_CHECKING:
    from pathlib import Path

NET = one_stage("{block: here_alone, depth: 2, width: 64}")

PROJECT = """[tool.scalenet]
targets = ["net.yaml", "resnet18"]
[[tool.scalenet.gates]]
target = "net.yaml"
metric = "latency"
max = "{limit}"
tolerance = {{percent = 10}}
"""


def here_alone(slot: Slot) -> Layer:
    """A block that no other process knows."""
    return basic(slot)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(blocks, "_registered", {})
    scalenet.register_block(here_alone)
    (tmp_path / "net.yaml").write_text(NET)
    (tmp_path / "pyproject.toml").write_text(PROJECT.format(limit="100s"))
    return tmp_path


def test_they_are_locked_and_checked_beside_others(project: Path) -> None:
    assert not scalenet.lock(folder=project).report.problems
    report = scalenet.check(folder=project)
    assert (report.code, report.problems) == (0, ())
    assert {result.name: result.status for result in report.results} == {
        "net.yaml": "unchanged",
        "resnet18": "unchanged",
    }


def test_their_latency_is_held_to_its_limit(project: Path) -> None:
    scalenet.lock(folder=project)
    (project / "pyproject.toml").write_text(PROJECT.format(limit="1us"))
    assert scalenet.check(folder=project).code == 1


def test_what_goes_wrong_is_a_problem_and_ctrl_c_is_not(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no witness")

    monkeypatch.setattr(child, "described_cost", fails)
    (problem,) = scalenet.lock("net.yaml", folder=project).report.problems
    assert problem.message == "RuntimeError: no witness"

    def interrupts(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(child, "described_cost", interrupts)
    with pytest.raises(KeyboardInterrupt):
        scalenet.lock("net.yaml", folder=project)
