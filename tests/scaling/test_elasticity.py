"""The powers with which a network's costs really grow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from networks import PADDED

import scalenet
from scalenet.arch import registry
from scalenet.scaling.elasticity import Exponent, exponents, growth

if TYPE_CHECKING:
    from scalenet.arch.spec import Model

B0 = scalenet.load("efficientnet_b0")


def exponent(name: str, axis: str, cost: str = "flops") -> Exponent:
    return next(one for one in exponents(scalenet.load(name)) if (one.axis, one.cost) == (axis, cost))


def test_doubling_the_width_of_b0_multiplies_its_flops_by_3_76_and_not_4() -> None:
    width = exponent("efficientnet_b0", "width")
    assert width.nominal == 2
    assert width.doubled == scalenet.cost(scalenet.scale(B0, width=2)).flops / scalenet.cost(B0).flops
    assert round(width.doubled, 2) == 3.76
    assert round(width.local, 2) == 1.88


@pytest.mark.parametrize("name", [name for name in registry.names() if name != "vit_small"])
def test_parameters_do_not_grow_with_resolution(name: str) -> None:
    resolution = exponent(name, "resolution", "params")
    assert (resolution.nominal, resolution.doubled, resolution.halved) == (0, 1, 1)
    assert resolution.local == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in PADDED if name != "shufflenet_v2_x1_0"])
@pytest.mark.parametrize("cost", ["flops", "activations"])
def test_maps_grow_with_the_square_of_resolution_but_for_the_head(name: str, cost: str) -> None:
    model = scalenet.load(name).model
    once = 0 if cost == "activations" else without_a_map(model) / scalenet.cost(model).flops
    assert exponent(name, "resolution", cost).local == pytest.approx(2 * (1 - once), abs=0.01)


def without_a_map(model: Model) -> float:
    """Return the FLOPs that no resolution changes: of linear layers, and of gates' 1×1 convolutions of one pixel."""
    one, four = (scalenet.cost(model.at(size)).flops for size in (32, 64))
    return (4 * one - four) / 3


def test_the_local_exponent_is_that_of_small_steps() -> None:
    thin, wide = (scalenet.cost(scalenet.scale(scalenet.load("resnet50"), width=width)) for width in (0.875, 1.125))
    chord = math.log(wide.flops / thin.flops) / math.log(1.125 / 0.875)
    assert exponent("resnet50", "width").local == pytest.approx(chord, abs=1e-3)


def test_fixed_dimensions_of_the_rounding_set_do_not_grow() -> None:
    assert exponent("efficientnet_lite0", "depth").local < exponent("mobilenet_v2", "depth").local
    assert exponent("efficientnet_lite0", "width").local < exponent("mobilenet_v2", "width").local


def test_one_step_of_phi_costs_2_57_times_b0() -> None:
    step = growth(B0)
    assert step.nominal == pytest.approx(1.2 * 1.1**2 * 1.15**2)
    assert step.measured == pytest.approx(1.905, abs=1e-3)
    assert step.achieved == pytest.approx(2.573, abs=1e-3)
