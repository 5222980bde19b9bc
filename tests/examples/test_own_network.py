"""The example's networks, which are not scalenet's, are scaled to what is asked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from neighbours import neighbour

import scalenet

FOLDER = Path(__file__).parents[2] / "examples" / "own_network"


@pytest.fixture(autouse=True)
def _here(monkeypatch):
    monkeypatch.chdir(FOLDER)
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_a_network_of_plain_pytorch_is_scaled_to_a_budget():
    config = scalenet.scale_by(scalenet.load("plain:mixer").at(32), flops="20M", tolerance=0.02, say=None)
    assert config.scaling.solution.met
    assert abs(config.cost.flops / 20e6 - 1) <= 0.02


def test_a_network_of_timm_is_what_it_is_there():
    """RegNetY-400MF by timm's own name has the same parameters."""
    named = neighbour("timm").create_model("regnety_004")
    config = scalenet.scale_by("with_timm:regnet", flops="800M", say=None)
    assert scalenet.cost("with_timm:regnet").params == sum(one.numel() for one in named.parameters())
    assert config.scaling.solution.met
