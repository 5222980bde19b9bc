"""Rounding sets, against the official rules written out here a second time."""

from __future__ import annotations

import math
from fractions import Fraction
from operator import le

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import scalenet
from scalenet.arch import registry
from scalenet.arch.errors import UnknownNameError
from scalenet.arch.spec import dimensions
from scalenet.scaling.multiply import scale_dimensions
from scalenet.scaling.rounding import SETS, Rounding, rounding_set

# Multipliers of two decimals, as people write them: exact as fractions, so that the rules here have no noise of floats.
FACTORS = st.integers(5, 500).map(lambda hundredths: Fraction(hundredths, 100))
WIDTHS = st.integers(1, 256).map(lambda eighths: 8 * eighths)
DEPTHS = st.integers(1, 40)


def round_filters(filters: int, width: Fraction) -> int:
    """tensorflow/tpu, efficientnet_model.py: round_filters with divisor 8."""
    if width == 1:
        return filters
    target = filters * width
    rounded = max(8, int(target + 4) // 8 * 8)
    return rounded + 8 if rounded < Fraction(9, 10) * target else rounded


def make_divisible(value: Fraction) -> int:
    """tensorflow/models, slim/nets/mobilenet: make_divisible with divisor 8."""
    rounded = max(8, math.floor(value + 4) // 8 * 8)
    return rounded + 8 if rounded < Fraction(9, 10) * value else rounded


def round_repeats(repeats: int, depth: Fraction) -> int:
    """tensorflow/tpu, efficientnet_model.py: round_repeats, without the noise of its floats."""
    return math.ceil(depth * repeats)


@given(WIDTHS, FACTORS)
def test_efficientnet_widths_are_round_filters(width: int, factor: Fraction) -> None:
    assert SETS["efficientnet"].round_width(width, float(factor)) == round_filters(width, factor)


@given(DEPTHS, FACTORS)
@example(10, Fraction(11, 10))
def test_efficientnet_depths_are_round_repeats(depth: int, factor: Fraction) -> None:
    assert SETS["efficientnet"].round_depth(depth, float(factor)) == round_repeats(depth, factor)


@given(WIDTHS, FACTORS)
def test_mobilenet_widths_are_make_divisible(width: int, factor: Fraction) -> None:
    assert SETS["mobilenet"].round_width(width, float(factor)) == make_divisible(width * factor)


@given(WIDTHS, FACTORS)
def test_mobilenet_heads_never_get_narrower(width: int, factor: Fraction) -> None:
    assert SETS["mobilenet"].round_head(width, float(factor)) == max(width, make_divisible(width * factor))


@given(WIDTHS, FACTORS)
def test_efficientnet_v2_widths_go_to_the_nearest_multiple_without_guard(width: int, factor: Fraction) -> None:
    expected = width if factor == 1 else max(8, int(width * factor + 4) // 8 * 8)
    assert SETS["efficientnet_v2"].round_width(width, float(factor)) == expected


def test_the_guard_is_what_sets_apart_the_two_efficientnets() -> None:
    assert SETS["efficientnet"].round_width(32, 0.34) == 16
    assert SETS["efficientnet_v2"].round_width(32, 0.34) == 8


@given(FACTORS)
def test_lite_fixes_stem_and_head_and_the_depth_of_both_ends(factor: Fraction) -> None:
    base = scalenet.load("efficientnet_lite0")
    scaled = scalenet.scale(base, depth=float(factor), width=float(factor)).model
    assert (scaled.stem.width, scaled.head.width) == (32, 1280)  # type: ignore[union-attr]
    assert [stage.width for stage in scaled.stages] == [round_filters(one.width, factor) for one in base.model.stages]
    inner = [round_repeats(one.depth, factor) for one in base.model.stages[1:-1]]
    assert [stage.depth for stage in scaled.stages] == [1, *inner, 1]


@given(DEPTHS, WIDTHS, FACTORS)
def test_nearest_goes_to_the_nearest_with_ties_upward(depth: int, width: int, factor: Fraction) -> None:
    nearest = SETS["nearest"]
    half = Fraction(1, 2)
    assert nearest.round_depth(depth, float(factor)) == max(1, math.floor(depth * factor + half))
    if factor != 1:
        assert nearest.round_width(width, float(factor)) == max(8, 8 * math.floor(width * factor / 8 + half))
        assert nearest.round_resolution(224, float(factor)) == max(4, 4 * math.floor(224 * factor / 4 + half))


def test_ties_go_upward_and_not_to_even() -> None:
    assert SETS["nearest"].round_depth(5, 0.5) == 3
    assert SETS["nearest"].round_width(40, 0.5) == 24
    assert SETS["nearest"].round_resolution(20, 0.5) == 12
    assert SETS["efficientnet"].round_resolution(5, 0.5) == 3


@given(WIDTHS, FACTORS)
def test_fine_widths_are_the_nearest(width: int, factor: Fraction) -> None:
    rounded = SETS["fine"].round_width(width, float(factor))
    assert abs(rounded - width * factor) <= Fraction(1, 2) + Fraction(1, 10**8) or rounded == 1


@pytest.mark.parametrize(
    ("depth", "factor", "rounded"),
    [(1, (2**0.5) ** 2, 2), (10, 1.1, 11), (3, (0.1 + 0.2) / 0.3, 3), (1, 1.001, 2), (5, 0.2, 1), (3, 0.1, 1)],
)
def test_ceil_does_not_count_the_noise_of_floats(depth: int, factor: float, rounded: int) -> None:
    assert SETS["efficientnet"].round_depth(depth, factor) == rounded


def test_a_resolution_goes_to_the_nearest_pixel() -> None:
    assert SETS["efficientnet"].round_resolution(224, 1.15) == 258
    assert SETS["efficientnet"].round_resolution(224, 1.3) == 291
    assert SETS["efficientnet"].round_resolution(3, 0.5) == 2
    assert SETS["efficientnet"].round_resolution(3, 0.01) == 1


@given(WIDTHS, st.integers(1, 12), FACTORS, st.sampled_from(sorted(SETS)))
def test_a_grouped_width_stays_divisible_by_its_groups(width: int, groups: int, factor: Fraction, name: str) -> None:
    rounded = SETS[name].round_width(width * groups, float(factor), groups=groups)
    assert rounded % groups == 0
    assert rounded % SETS[name].divisor == 0 or factor == 1


@pytest.mark.parametrize("rounding", SETS)
@pytest.mark.parametrize("name", registry.names())
def test_a_multiplier_of_one_changes_nothing(name: str, rounding: str) -> None:
    base = scalenet.load(name)
    assert scalenet.scale(base, rounding=rounding).model == base.model


@given(st.integers(1, 4000), st.sampled_from(sorted(SETS)))
def test_a_multiplier_of_one_leaves_even_a_number_that_is_no_multiple(number: int, name: str) -> None:
    rounding = SETS[name]
    assert rounding.round_width(number, 1.0) == number
    assert rounding.round_head(number, 1.0) == number
    assert rounding.round_depth(number, 1.0) == number
    assert rounding.round_resolution(number, 1.0) == number


@pytest.mark.parametrize("rounding", SETS.values(), ids=SETS)
def test_no_channels_stay_none(rounding: Rounding) -> None:
    factors = np.array([0.05, 1, 6])
    assert rounding.round_width(0, 2.0) == rounding.round_head(0, 0.5, groups=3) == 0
    assert (rounding.round_width(0, factors) == 0).all()


ROUNDS = st.floats(0.05, 6).filter(lambda factor: factor != 1)
"""Multipliers that round: one of exactly 1 leaves a width that is no multiple, below or above what others give."""


@pytest.mark.parametrize("name", registry.names())
@given(factors=st.tuples(ROUNDS, ROUNDS), rounding=st.sampled_from(sorted(SETS)))
def test_a_greater_multiplier_never_gives_less(name: str, factors: tuple[float, float], rounding: str) -> None:
    low, high = (
        scale_dimensions(scalenet.load(name).model, SETS[rounding], depth=factor, width=factor, resolution=factor)
        for factor in sorted(factors)
    )
    for less, more in zip(low, high, strict=True):
        assert all(map(le, less, more))


@pytest.mark.parametrize("name", registry.names())
@given(
    factors=st.lists(st.just(1.0) | st.floats(0.05, 6), min_size=1, max_size=5), rounding=st.sampled_from(sorted(SETS))
)
def test_arrays_of_multipliers_round_as_each_by_itself(name: str, factors: list[float], rounding: str) -> None:
    model, chosen, many = scalenet.load(name).model, SETS[rounding], np.array(factors)
    together = scale_dimensions(model, chosen, depth=many, width=many, resolution=many)
    for number, factor in enumerate(factors):
        alone = scale_dimensions(model, chosen, depth=factor, width=factor, resolution=factor)
        one = together.each(lambda array, number=number: np.broadcast_to(array, len(factors))[number])
        assert one == alone


@given(st.floats(0.05, 6), st.floats(0.05, 6), st.floats(0.05, 6))
def test_scaled_dimensions_are_ints(depth: float, width: float, resolution: float) -> None:
    numbers = scale_dimensions(
        scalenet.load("efficientnet_b0").model, SETS["efficientnet"], depth=depth, width=width, resolution=resolution
    )
    assert {type(number) for axis in numbers for number in axis} == {int}


def test_an_oblong_input_keeps_its_shape() -> None:
    base = scalenet.load("resnet18")
    oblong = base.model.model_copy(update={"resolution": (100, 200)})
    numbers = scale_dimensions(oblong, SETS["efficientnet"], depth=1, width=1, resolution=1.5)
    assert numbers.size == (150, 300)
    assert dimensions(oblong).size == (100, 200)


def test_an_unknown_rounding_set_lists_the_known() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'efficientnet'"):
        rounding_set("eficientnet")
    with pytest.raises(UnknownNameError, match="known: efficientnet, efficientnet_v2, lite"):
        scalenet.scale(scalenet.load("resnet18"), rounding="zzz")


@pytest.mark.parametrize("rounding", SETS.values(), ids=SETS)
def test_every_set_names_its_source_and_version(rounding: object) -> None:
    assert rounding.source  # type: ignore[attr-defined]
    assert rounding.version >= 1  # type: ignore[attr-defined]


def test_groups_ask_for_no_more_than_their_common_multiple_with_the_divisor() -> None:
    assert rounding_set("efficientnet").round_width(40, 1.2, groups=4) == 48
    assert rounding_set("efficientnet").round_width(40, 1.2, groups=3) == 48
    assert rounding_set("efficientnet").round_width(40, 1.2, groups=5) == 80  # 40 loses more than a tenth


def test_the_smallest_size_is_one_multiple() -> None:
    assert rounding_set("nearest").round_resolution(224, 0.001) == 4
    assert rounding_set("efficientnet").round_resolution(224, 0.001) == 1
