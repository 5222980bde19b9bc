"""Baselines and blocks that a program registers while it runs, as in a notebook's cells."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import commands
import pytest

import scalenet
from scalenet.arch import blocks, registry
from scalenet.arch.config import dumps
from scalenet.arch.errors import ScalenetError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(blocks, "_registered", {})


def forms(folder: Path) -> list[object]:
    network = scalenet.load("small_resnet").at(40)
    config = scalenet.scale_by(network, scalenet.MultipliersRule(depth=1, width=2, resolution=1), name="mine")
    scalenet.save(config, folder / "mine.yaml")
    return [config, config.architecture(), folder / "mine.yaml", dumps(config), config.model]


@pytest.mark.parametrize("number", range(5))
def test_a_network_of_any_form_is_registered(number: int, tmp_path: Path) -> None:
    network = forms(tmp_path)[number]
    config = scalenet.register_baseline(network, name="my-net")  # type: ignore[arg-type]
    assert config.name == "my_net"
    assert scalenet.load("my-net").model == config.model
    assert scalenet.cost("my_net") == scalenet.cost(config)
    assert "my_net" in [one.name for one in scalenet.baselines("my*")]
    assert scalenet.register_baseline(network, name="my-net") == config  # type: ignore[arg-type]


def test_a_name_that_is_taken_is_refused() -> None:
    scalenet.register_baseline("resnet18", name="mine")
    with pytest.raises(ScalenetError, match=r"'mine' is another network already .*replace=True"):
        scalenet.register_baseline("resnet34", name="mine")
    scalenet.register_baseline("resnet34", name="mine", replace=True)
    assert scalenet.cost("mine") == scalenet.cost("resnet34")
    for name in ("resnet18", "efficientnet-b3"):
        with pytest.raises(ScalenetError, match="is registered already"):
            scalenet.register_baseline("resnet34", name=name, replace=True)
    with pytest.raises(ScalenetError, match="taken for a file"):
        scalenet.register_baseline("resnet34", name="mine.yaml")
    with pytest.raises(ScalenetError, match="file name"):
        scalenet.register_baseline("resnet34", name="a/b")
    with pytest.raises(ScalenetError, match="YAML text:2: nme: unknown key"):
        scalenet.register_baseline("schema: scalenet/1\nnme: x\nmodel: {}\n")


def test_files_from_it_verify_where_it_is_not_registered(tmp_path: Path) -> None:
    scalenet.register_baseline(scalenet.load("small_resnet").at(40), name="mine")
    rule = scalenet.CompoundRule(alpha=1.2, beta=1.1, gamma=1.15, phi=1)
    scalenet.save(scalenet.scale_by("mine", rule), tmp_path / "scaled.yaml")
    command = [sys.executable, "-c", "import scalenet; print(scalenet.verify('scaled.yaml'))"]
    assert commands.run(command, cwd=tmp_path, check=True).stdout == "[]\n"


CELL = """
from scalenet.arch.slots import Slot, shortcut
from scalenet.arch.layers import Sequence

def plain(slot: Slot, *, kernel: int = {kernel}):
    return Sequence((("conv", slot.style.conv(slot.in_channels, slot.width, kernel=kernel, stride=slot.stride)),))

scalenet.register_block(plain)
network = scalenet.load("small_resnet")
stages = [{{"block": "plain", "depth": 1, "width": 8, "stride": 2}}]
model = network.model.changed(stages=tuple(stages))
"""


def test_a_cell_that_is_run_again_replaces_its_block() -> None:
    notebook = {"scalenet": scalenet, "__name__": "__main__"}
    counts = []
    for kernel in (3, 3, 5):
        exec(CELL.format(kernel=kernel), notebook)
        counts.append(scalenet.cost(notebook["model"]).params)  # type: ignore[arg-type]
    assert counts[0] == counts[1] < counts[2]
    assert scalenet.verify(notebook["model"]) == []  # type: ignore[arg-type]


def test_what_is_no_block_is_refused() -> None:
    for wrong in (3, "plain", lambda slot: slot):
        with pytest.raises(ScalenetError, match="no block"):
            scalenet.register_block(wrong)  # type: ignore[arg-type]
    with pytest.raises(ScalenetError, match="'mbconv' is registered already"):
        scalenet.register_block(lambda slot: slot, name="mbconv")
