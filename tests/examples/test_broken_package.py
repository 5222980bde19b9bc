"""A third party's package that is broken breaks what it brings, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which the package `half-there` is installed, whose modules are missing."""
    folder = tmp_path / "half_there-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: half-there\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[scalenet.baselines]\nhalf_net = half_there\n[scalenet.blocks]\nhalf_block = half_there.blocks:half\n"
    )
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def run(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scalenet_cli", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [["cost", "efficientnet_b0"], ["scale", "--base", "resnet50", "--phi", "1"]])
def test_the_rest_works(environment: dict[str, str], words: list[str]) -> None:
    assert run(environment, *words).returncode == 0


def test_what_it_brings_is_refused_with_its_name(environment: dict[str, str], tmp_path: Path) -> None:
    result = run(environment, "cost", "half_net")
    assert (result.returncode, "package half-there" in result.stderr) == (2, True), result.stderr
    text = run(environment, "scale", "--base", "resnet18", "--depth", "1", "-o", "-").stdout
    (tmp_path / "net.yaml").write_text(text[: text.index("scaling:")].replace("block: basic", "block: half_block", 1))
    result = run(environment, "cost", str(tmp_path / "net.yaml"))
    assert result.returncode == 2
    assert "package half-there: scalenet.blocks half_block cannot be loaded" in result.stderr
