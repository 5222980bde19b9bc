"""The formula equals fvcore to the last integer, operator by operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from networks import HEAVY, SMALL

import scalenet
from scalenet.arch import registry
from scalenet.arch.config import loads
from scalenet.costs.formula import smallest_size
from scalenet.scaling.rounding import SETS

if TYPE_CHECKING:
    from scalenet.arch.spec import Model


def assert_equal_to_fvcore(model: Model, **build: int) -> None:
    formula = scalenet.cost(model)
    counted = scalenet.measure(scalenet.build(model, **build), torch.zeros(1, model.channels, *model.size))
    assert formula.flops_by_operator == {name: flops for name, flops in counted.flops_by_operator.items() if flops}
    assert formula.flops == counted.flops
    assert formula.params == counted.params
    assert formula.activations == counted.activations


def at(model: Model, height: int, width: int) -> Model:
    return model.model_copy(update={"resolution": (height, width)})


@pytest.mark.parametrize("name", registry.names())
def test_every_baseline_on_an_odd_and_oblong_image(name: str) -> None:
    assert_equal_to_fvcore(at(scalenet.load(name).model, 97, 131))


@pytest.mark.parametrize("name", ["mobilenet_v1", "resnet18"])
def test_a_large_odd_image(name: str) -> None:
    assert_equal_to_fvcore(at(scalenet.load(name).model, 511, 513))


@pytest.mark.parametrize(
    ("name", "size"), [*(("resnet18", size) for size in (1, 2, 3, 31, 32, 33)), ("efficientnet_b0", 1)]
)
def test_images_so_small_that_the_maps_shrink_to_one_pixel(name: str, size: int) -> None:
    assert_equal_to_fvcore(at(scalenet.load(name).model, size, size))


@pytest.mark.parametrize("name", ["efficientnet_b2", "efficientnet_lite2", "tinynet_c"])
def test_a_preset_of_each_kind(name: str) -> None:
    """Their figures are all published: see `test_published_costs`."""
    assert_equal_to_fvcore(at(scalenet.load(name).model, 33, 33))


@pytest.mark.parametrize("name", SMALL)
def test_every_kind_of_network_deeper_and_wider(name: str) -> None:
    assert_scaled(name, depth=1.3, width=0.35 if name in HEAVY else 1.2, size=(48, 64), rounding="efficientnet")


@settings(max_examples=12)
@given(
    name=st.sampled_from([name for name in SMALL if name not in HEAVY]),
    depth=st.floats(0.3, 1.6),
    width=st.floats(0.2, 2),
    size=st.tuples(st.integers(16, 70), st.integers(16, 70)),
    rounding=st.sampled_from(sorted(SETS)),
)
@example(name="vgg16_bn", depth=0.3, width=0.05, size=(65, 17), rounding="fine")
@example(name="vit_small", depth=0.3, width=0.2, size=(65, 17), rounding="fine")
def test_any_scaled_network(name: str, depth: float, width: float, size: tuple[int, int], rounding: str) -> None:
    assert_scaled(name, depth, width, size, rounding)


def assert_scaled(name: str, depth: float, width: float, size: tuple[int, int], rounding: str) -> None:
    scaled = scalenet.scale(scalenet.load(name), depth=depth, width=width, rounding=rounding)
    least = smallest_size(scaled.model)
    assert_equal_to_fvcore(at(scaled.model, *(max(least, side) for side in size)))


STAGES = {
    "grouped bottleneck": "{block: bottleneck, depth: 2, width: 16, stride: 2, kernel: 5, expansion: 2, groups: 4}",
    "wide mbconv": "{block: mbconv, depth: 3, width: 24, stride: 2, kernel: 7, expand: 2.5, se: 0.29}",
    "narrowing mbconv": "{block: mbconv, depth: 2, width: 8, expand: 0.5, se: 1}",
    "strided basic": "{block: basic, depth: 2, width: 16, stride: 3, kernel: 1}",
    "squeezed bottleneck": "{block: bottleneck, depth: 2, width: 8, stride: 3, se: 0.1, downsample: avgpool}",
    "regnet": "{block: regnet, depth: 3, width: 24, stride: 2, kernel: 5, group_width: 6, se: 0.3}",
    "fused": "{block: fused_mbconv, depth: 2, width: 12}\n"
    "  - {block: fused_mbconv, depth: 2, width: 12, expand: 1, stride: 2}",
    "options by block": "{block: mbconv, depth: 3, width: 12, kernel: [3, 5, 5], expand: [1, 3.7, 6], "
    "se: [0, 0.2, 0.2], multiple_of: 8, activation: [relu, silu, gelu]}",
    "mixed": "{block: separable, depth: 1, width: 10}\n  - {block: basic, depth: 2, width: 10, stride: 2}",
}


HEADS = {"mean": "{kind: conv, width: 20, classes: 7}", "adaptive": "{kind: mlp, width: 9, expand: 1.3, classes: 7}"}


@pytest.mark.parametrize("pool", HEADS)
@pytest.mark.parametrize("stages", STAGES.values(), ids=STAGES)
def test_options_that_no_baseline_uses(stages: str, pool: str) -> None:
    model = loads(f"""
schema: scalenet/1
name: odd
model:
  resolution: [29, 40]
  channels: 4
  activation: hardswish
  norm: {{}}
  squeeze_excite: {{pool: {pool}, gate: hardsigmoid}}
  stem: {{width: 12, kernel: 5, stride: 1, pool: {{kernel: 5, stride: 3}}}}
  stages:
  - {stages}
  head: {HEADS[pool]}
""").model
    assert_equal_to_fvcore(model)
