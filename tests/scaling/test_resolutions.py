"""Sizes that fill every feature map, and sizes at which the cost jumps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import PADDED

import scalenet
from scalenet.scaling.resolutions import cliffs, cliffs_below, total_stride

if TYPE_CHECKING:
    from scalenet.arch.spec import Model

B0 = scalenet.load("efficientnet_b0").model
NAMES = st.sampled_from(PADDED)


def rounds_nowhere(model: Model, size: int) -> bool:
    pool = model.stem.pool.stride if getattr(model.stem, "pool", None) else 1
    for stride in (model.stem.stride, pool, *(stage.stride for stage in model.stages)):
        if size % stride:
            return False
        size //= stride
    return True


@given(name=NAMES, size=st.integers(1, 700))
def test_the_total_stride_divides_a_size_where_no_strided_layer_rounds(name: str, size: int) -> None:
    model = scalenet.load(name).model
    assert (size % total_stride(model) == 0) == rounds_nowhere(model, size)


def test_the_total_stride_of_b0_and_resnet50_is_32() -> None:
    assert total_stride(B0) == total_stride(scalenet.load("resnet50").model) == 32


def test_the_cost_of_b0_jumps_one_pixel_above_each_multiple_of_32() -> None:
    found = cliffs(B0, range(224, 300))
    assert [(cliff.size, cliff.below) for cliff in found] == [(225, 224), (257, 256), (289, 288)]
    assert found[1].flops_ratio == scalenet.cost(B0.at(257)).flops / scalenet.cost(B0.at(256)).flops


def test_a_cliff_is_a_sentence() -> None:
    (cliff,) = cliffs_below(B0.at(258))
    assert str(cliff) == "258 px costs 14 % more than 256 px for 0.8 % more pixels per side"
    assert cliff.excess == pytest.approx(0.126, abs=1e-3)


@pytest.mark.parametrize("size", [224, 256, 288, 300, 16, 1, (256, 513), (1, 1)])
def test_there_is_no_cliff_where_near_sizes_save_nothing(size: int | tuple[int, int]) -> None:
    assert [cliff for cliff in cliffs_below(B0.at(size)) if cliff.side != "width"] == []


def test_each_side_of_an_input_that_is_not_square_has_its_own_cliffs() -> None:
    (cliff,) = cliffs_below(B0.at((258, 512)))
    assert (cliff.side, cliff.size, cliff.below) == ("height", 258, 256)
    assert cliff.flops_ratio == scalenet.cost(B0.at((258, 512))).flops / scalenet.cost(B0.at((256, 512))).flops
    assert str(cliff) == "258 px of height costs 7 % more than 256 px for 0.8 % more pixels on that side"
    assert {one.side for one in cliffs(B0.at((224, 320)), range(250, 260))} == {"height", "width"}


def test_a_cliff_of_one_pixel_is_told_where_a_pixel_is_more_than_two_percent() -> None:
    (cliff,) = cliffs_below(B0.at(33))
    assert (cliff.size, cliff.below) == (33, 32)
    assert cliff.flops_ratio == scalenet.cost(B0.at(33)).flops / scalenet.cost(B0.at(32)).flops > 2
    assert cliffs_below(B0.at(32)) == cliffs_below(B0.at(1)) == []


@given(name=NAMES, size=st.integers(1, 500))
def test_a_cliff_saves_more_than_its_pixels_by_two_percent_of_the_size_or_a_pixel(name: str, size: int) -> None:
    model = scalenet.load(name).model.at(size)
    for cliff in cliffs_below(model):
        assert min(size * 0.98, size - 1) <= cliff.below < size
        assert scalenet.cost(model).flops / scalenet.cost(model.at(cliff.below)).flops == cliff.flops_ratio
        assert cliff.excess >= 0.05
