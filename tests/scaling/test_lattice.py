"""The lattice of networks: depths that grow block by block, widths that a rounding set gives, admissible sizes."""

from __future__ import annotations

import math
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import SEARCHED

import scalenet
from scalenet.arch.config import loads
from scalenet.arch.spec import Dimensions, dimensions
from scalenet.scaling.lattice import Lattice
from scalenet.scaling.multiply import scale_dimensions, unrounded
from scalenet.scaling.resolutions import total_stride
from scalenet.scaling.rounding import SETS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalenet.arch.spec import Model
    from scalenet.scaling.rounding import Rounding

NAMES = SEARCHED
B0 = scalenet.load("efficientnet_b0").model
GROUPED = """
schema: scalenet/1
name: grouped
model:
  resolution: 64
  activation: relu
  norm: {kind: batchnorm}
  stem: {kind: conv, width: 32, kernel: 3, stride: 2}
  stages:
  - {block: bottleneck, depth: 2, width: 48, stride: 2, groups: 12}
  - {block: bottleneck, depth: 3, width: 96, stride: 2, groups: 12}
  head: {kind: linear, classes: 10}
"""
WIDTH_STEPS = 1024


def lattice(name: str, rounding: str = "efficientnet", step: int = 1, *, per_stage: bool = False) -> Lattice:
    return Lattice(scalenet.load(name).model, SETS[rounding], step, per_stage=per_stage)


def span(low: float, high: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.full(3, low), np.full(3, high)


def depths(model: Model, rounding: str, low: float = -3, high: float = 4) -> NDArray[np.int64]:
    return Lattice(model, SETS[rounding]).near(*span(low, high))[0].numbers


def widths(model: Model, rounding: Rounding, steps: range) -> list[tuple[int, ...]]:
    """The widths of stem, stages and head at 2^(step / 1024) times the base's."""
    factors = 2.0 ** (np.array(steps) / WIDTH_STEPS)
    numbers = scale_dimensions(model, rounding, depth=1.0, width=factors, resolution=1.0)
    return list(zip(*(np.broadcast_to(column, len(steps)).tolist() for column in numbers.widths), strict=True))


def fixed(name: str, rounding: str) -> NDArray[np.bool_]:
    """Which stages' depths a rounding set does not scale."""
    stages = len(scalenet.load(name).model.stages)
    ends = "end_depths" in SETS[rounding].fixed
    return np.array([ends and number in (0, stages - 1) for number in range(stages)])


@pytest.mark.parametrize("rounding", ["efficientnet", "lite"])
@pytest.mark.parametrize("name", NAMES)
def test_depths_grow_by_one_block_at_a_time(name: str, rounding: str) -> None:
    grown = np.diff(depths(scalenet.load(name).model, rounding), axis=0)
    assert (grown >= 0).all()
    assert (grown.sum(axis=1) == 1).all()


@pytest.mark.parametrize("rounding", ["efficientnet", "lite"])
@pytest.mark.parametrize("name", NAMES)
def test_whole_multiples_of_the_base_are_among_the_depths(name: str, rounding: str) -> None:
    base = np.array(dimensions(scalenet.load(name).model).depths)
    rows = depths(scalenet.load(name).model, rounding).tolist()
    for multiple in range(1, 16):
        assert np.where(fixed(name, rounding), base, base * multiple).tolist() in rows


@given(name=st.sampled_from(NAMES), multiple=st.floats(0.2, 12))
def test_every_multiple_of_the_base_rounded_to_the_nearest_is_among_the_depths(name: str, multiple: float) -> None:
    base = np.array(dimensions(scalenet.load(name).model).depths)
    halves = base * multiple - 0.5
    multiple += 1e-6 if (np.abs(halves - np.round(halves)) < 1e-7).any() else 0  # where two stages tie, see below
    nearest = np.maximum(1, np.floor(base * multiple + 0.5)).astype(int).tolist()
    assert nearest in depths(scalenet.load(name).model, "efficientnet", -4, 4.5).tolist()


def test_where_stages_tie_the_last_gets_its_block_first() -> None:
    rows = depths(B0, "efficientnet", 0, 0.4).tolist()
    assert rows[:5] == [
        [1, 2, 2, 3, 3, 4, 1],
        [1, 2, 2, 3, 3, 5, 1],
        [1, 2, 2, 3, 4, 5, 1],
        [1, 2, 2, 4, 4, 5, 1],
        [1, 2, 3, 4, 4, 5, 1],
    ]


@pytest.mark.parametrize("name", NAMES)
def test_no_stage_has_less_than_one_block(name: str) -> None:
    rows = depths(scalenet.load(name).model, "efficientnet", -16, 0)
    assert rows.min() == 1
    assert rows[0].tolist() == [1] * rows.shape[1]


def test_lite_keeps_the_depth_of_both_ends() -> None:
    rows = depths(scalenet.load("efficientnet_lite0").model, "lite", -6, 6)
    assert (rows[:, [0, -1]] == 1).all()
    assert rows[-1, 1:-1].min() > 50


@pytest.mark.parametrize("rounding", SETS)
@pytest.mark.parametrize("name", NAMES)
def test_widths_are_those_of_the_rounding_set_at_some_multiplier(name: str, rounding: str) -> None:
    model = scalenet.load(name).model
    found = [tuple(row) for row in lattice(name, rounding).near(*span(-1, 2))[1].numbers.tolist()]
    # 12 channels become 16 at any factor near 1 and stay 12 at just 1: the 16 do not stand in their place
    grows = not (name == "small_resnet" and SETS[rounding].guard is not None) and rounding != "vit"
    assert not grows or set(widths(model, SETS[rounding], range(-300, 800))) <= set(found)
    assert set(found) <= set(widths(model, SETS[rounding], range(-1100, 1600)))


@pytest.mark.parametrize("rounding", SETS)
@pytest.mark.parametrize("name", NAMES)
def test_choices_grow_and_none_comes_twice(name: str, rounding: str) -> None:
    for axis in lattice(name, rounding).near(*span(-4, 4)):
        assert (np.diff(axis.numbers, axis=0) >= 0).all()
        assert (np.diff(axis.numbers, axis=0) > 0).any(axis=1).all()
        assert (np.diff(axis.mean) >= -1e-12).all()
        assert (axis.spread >= 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_lite_keeps_stem_and_head_at_every_width(name: str) -> None:
    base = dimensions(scalenet.load(name).model)
    rows = lattice(name, "lite").near(*span(-3, 3))[1].numbers
    assert (rows[:, [0, -1]] == [base.widths[0], base.widths[-1]]).all()


@pytest.mark.parametrize(("name", "rounding"), [("resnet18", "efficientnet"), ("small_resnet", "fine")])
def test_per_stage_adds_widths_that_are_one_step_off_in_one_stage(name: str, rounding: str) -> None:
    step = SETS[rounding].divisor
    within, uniform = (
        {tuple(row) for row in lattice(name, rounding).near(*span(-width, width))[1].numbers.tolist()}
        for width in (1, 4)
    )
    varied = {tuple(row) for row in lattice(name, rounding, per_stage=True).near(*span(-1, 1))[1].numbers.tolist()}
    assert within < varied
    for row in varied - uniform:
        near = [
            (*row[:number], row[number] + change, *row[number + 1 :])
            for number in range(1, len(row))
            for change in (-step, step)
        ]
        assert any(one in uniform for one in near)


@pytest.mark.parametrize("per_stage", [False, True])
def test_grouped_widths_stay_divisible_by_groups_and_divisor(per_stage: bool) -> None:
    model = loads(GROUPED).model
    rows = Lattice(model, SETS["efficientnet"], per_stage=per_stage).near(*span(-4, 4))[1].numbers
    stages = rows[:, 1:-1]
    own = (stages == [48, 96]).all(axis=1)
    assert (stages[~own] % math.lcm(8, 12) == 0).all()
    assert own.any()
    assert (rows[:, :-1] > 0).all()
    assert not rows[:, -1].any()


@pytest.mark.parametrize("step", [1, 8, 16, 32])
@pytest.mark.parametrize("size", [(224, 224), (192, 256), (256, 192), (100, 301)])
def test_sizes_are_multiples_and_keep_the_proportion_within_rounding(step: int, size: tuple[int, int]) -> None:
    rows = Lattice(B0.at(size), SETS["efficientnet"], step).near(*span(-3, 3))[2].numbers
    assert len(rows) > 5
    assert (rows % step == 0).all()
    assert rows.min() >= total_stride(B0)
    assert (np.abs(rows[:, 1] - rows[:, 0] * size[1] / size[0]) <= step / 2).all()
    assert {height for height, _ in rows.tolist()} >= set(range(256, 384 if size[0] > 200 else 256, step))


@pytest.mark.parametrize("name", NAMES)
def test_the_base_lies_at_the_origin_without_spread(name: str) -> None:
    place, spread = lattice(name).place(dimensions(scalenet.load(name).model))
    assert place.tolist() == [0, 0, 0]
    assert spread == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_network_of_whole_multiples_lies_at_their_doublings(name: str) -> None:
    model = scalenet.load(name).model
    numbers = scale_dimensions(model, SETS["fine"], depth=4.0, width=2.0, resolution=8.0)
    place, spread = lattice(name, "fine").place(numbers)
    assert place == pytest.approx([2, 2, 6])
    assert spread == pytest.approx(0, abs=1e-12)


def test_mean_and_spread_are_weighted_by_the_base_s_blocks() -> None:
    numbers = dimensions(scalenet.load("resnet18").model)
    wide = Dimensions(depths=(2, 2, 2, 4), widths=(64, 64, 128, 256, 1024, 0), size=(224, 448))
    place, spread = lattice("resnet18").place(wide)
    assert numbers.depths == (2, 2, 2, 2)
    assert place == pytest.approx([0.25, 0.5, 1])
    assert spread == pytest.approx((3 * 0.25**2 + 0.75**2) / 4 + (3 * 0.5**2 + 1.5**2) / 4)


@pytest.mark.parametrize("step", [1, 8, 32])
@pytest.mark.parametrize("rounding", ["efficientnet", "lite", "mobilenet", "fine"])
@pytest.mark.parametrize("name", NAMES)
def test_the_least_network_is_not_larger_than_any(name: str, rounding: str, step: int) -> None:
    whole = lattice(name, rounding, step)
    least = whole.least()
    for numbers, axis in zip(least, whole.near(*span(-24, 1.5)), strict=True):
        assert numbers == tuple(axis.numbers[0])


@given(name=st.sampled_from(NAMES), factors=st.tuples(*[st.floats(1e-3, 3)] * 3))
def test_at_least_lifts_what_lies_below_the_least_and_leaves_the_rest(
    name: str, factors: tuple[float, float, float]
) -> None:
    whole = lattice(name)
    depth, width, resolution = factors
    before = unrounded(whole.model, whole.rounding, depth=depth, width=width, resolution=resolution)
    assert whole.at_least(before) == before.each(max, whole.least())


def test_numbers_are_the_combined_choices() -> None:
    whole = lattice("efficientnet_b0")
    axes = whole.near(*span(-0.2, 0.2))
    index = tuple(np.array([0, len(axis) - 1]) for axis in axes)
    numbers = whole.numbers(axes, index)
    for last, (depth, width, size) in enumerate(zip(*(axis.numbers[[0, -1]] for axis in axes), strict=True)):
        one = numbers.each(lambda column, last=last: int(np.asarray(column)[last]))
        assert one == (tuple(depth), tuple(width), tuple(size))


@pytest.mark.parametrize("per_stage", [False, True])
@pytest.mark.parametrize("reach", [0.01, 0.3, 2.0])
def test_halved_again_and_again_cells_are_every_combination_once(reach: float, per_stage: bool) -> None:
    whole = lattice("resnet18", step=32, per_stage=per_stage)
    axes = whole.near(*span(-reach, reach))
    cells = whole.cells(axes)
    assert per_stage or len(cells) <= 4096
    while cells.shift.any():
        outer, cells = cells, cells.halved()
        assert len(outer) <= len(cells)
    assert (cells.least == cells.most).all()
    assert sorted(map(tuple, cells.index.T.tolist())) == list(product(*(range(len(axis)) for axis in axes)))


def test_a_cell_s_corners_bound_what_it_holds() -> None:
    whole = lattice("efficientnet_b0")
    cells = whole.cells(whole.near(*span(-1, 1)))
    for axis, first, last in zip(cells.axes, cells.least, cells.most, strict=True):
        assert ((last < len(axis)) & (first <= last)).all()
        assert (axis.numbers[first] <= axis.numbers[last]).all()
    inner = cells.halved()
    parents = {tuple(index): spread for index, spread in zip(cells.index.T.tolist(), cells.spread, strict=True)}
    for index, spread in zip((inner.index >> (cells.shift - inner.shift)).T.tolist(), inner.spread, strict=True):
        assert parents[tuple(index)] <= spread + 1e-12


@given(name=st.sampled_from(NAMES), low=st.floats(-3, 1), more=st.floats(0, 3))
def test_near_gives_what_lies_between_and_misses_no_neighbour(name: str, low: float, more: float) -> None:
    whole = lattice(name)
    wider = whole.near(*span(low - 1, low + more + 1))
    for axis, outer in zip(whole.near(*span(low, low + more)), wider, strict=True):
        assert ((axis.mean >= low) & (axis.mean <= low + more)).all()
        assert len(axis) == ((outer.mean >= low) & (outer.mean <= low + more)).sum()


def test_neighbouring_depths_are_one_block_apart_in_nominal_doublings() -> None:
    for before, after in pairwise(lattice("resnet50").near(*span(0, 2))[0].numbers.tolist()):
        assert sum(after) == sum(before) + 1
