"""Any module at another width and depth: layers of other sizes, siblings more or fewer times."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

import scalenet as library
from scalenet.arch.errors import ScalenetError
from scalenet.scaling.scaler import from_factory

pytest.importorskip("torch_pruning")

CODE = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm = nn.BatchNorm2d(channels)
        self.point = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.full((channels, 1, 1), 0.5))

    def forward(self, maps):
        return maps + self.gamma * self.point(self.norm(self.conv(maps)))

class Joined(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.one, self.two = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 16, 1), nn.Conv2d(8, 8, 3, padding=1)
        self.after = nn.Conv2d(24, 5, 1)

    def forward(self, images):
        maps = self.stem(images)
        return self.after(torch.cat([self.one(maps), self.two(maps)], 1)).mean((2, 3))

def joined(): return Joined()

def net(classes=10):
    blocks = nn.Sequential(Block(24), Block(24), Block(24))
    return nn.Sequential(nn.Conv2d(3, 24, 3, 2, 1), blocks, nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                         nn.Linear(96, classes))

class Splits(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.left, self.head = nn.Conv2d(3, 16, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(16, 5, 1)
        self.wide = nn.Sequential(nn.Conv2d(8, 32, 1), nn.Conv2d(32, 8, 1))

    def forward(self, images):
        one, two = torch.split(self.stem(images), [8, 8], 1)
        return self.head(torch.cat([self.left(one), self.wide(two)], 1)).mean((2, 3))

def splits(resolution=16): return Splits()
whole = net()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("rewriting")
    (place / "anynets.py").write_text(CODE)
    return place


@pytest.fixture
def scaled(folder, monkeypatch):
    """Return a rewritten module of a callable, for images of 32 px."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(name, **factors):
        base = from_factory(f"anynets:{name}", rewrite=True).at(32)
        return library.scale_by(base, **factors, say=None)

    return run


def test_channels_that_belong_together_change_together(scaled):
    """In shortcuts, depthwise convolutions, parameters, flattened maps and concatenations."""
    module = library.build(scaled("net", width=2.0))
    assert module[0].out_channels == 48
    assert (module[1][0].conv.groups, module[1][0].gamma.shape[0]) == (48, 48)
    assert (module[4].in_features, module[4].out_features) == (192, 10)
    assert module(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_channels_side_by_side_change_by_their_own(scaled):
    module = library.build(scaled("joined", width=2.0))
    assert (module.one.out_channels, module.two.out_channels) == (32, 16)
    assert (module.after.in_channels, module.after.out_channels) == (48, 5)


def test_equal_siblings_are_repeated_with_values_of_their_own(scaled):
    module = library.build(scaled("net", depth=2.0))
    assert [name for name, _ in module[1].named_children()] == [str(number) for number in range(6)]
    assert not torch.equal(module[1][4].point.weight, module[1][5].point.weight)
    assert len(library.build(scaled("net", depth=0.4))[1]) == 1


@pytest.mark.parametrize("name", ["net", "whole"])
def test_a_budget_is_met_and_the_file_verifies(scaled, name):
    config = scaled(name, flops="3x", tolerance=0.05)
    assert config.scaling.solution.met
    assert config.factory.rewrite
    assert " --rewrite " in config.provenance.command
    assert library.verify(config) == []
    assert library.verify(library.scale_by(config, phi=0.5)) == []


def test_a_module_that_is_given_stays_as_it_is(scaled):
    scaled("whole", width=2.0)
    assert sys.modules["anynets"].whole[0].out_channels == 24


def test_what_cannot_change_is_left_and_counted(scaled):
    from scalenet.model.factories import knobs_of

    network = from_factory("anynets:splits", rewrite=True).network
    assert str(knobs_of(network)).startswith("width: 3 of 4 groups of channels")
    module = library.build(scaled("splits", width=2.0))
    assert (module.stem.out_channels, module.wide[0].out_channels) == (16, 64)


def test_a_module_without_siblings_has_no_depth(scaled):
    with pytest.raises(ScalenetError, match="ignores depth"):
        scaled("splits", depth=2.0)


def test_only_a_module_is_rewritten(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(ScalenetError, match="cannot be made"):
        from_factory("anynets:torch.zeros", rewrite=True)
    with pytest.raises(ScalenetError, match="gives int"):
        from_factory("anynets:torch.initial_seed", rewrite=True)
    assert isinstance(sys.modules["anynets"].whole, nn.Module)
