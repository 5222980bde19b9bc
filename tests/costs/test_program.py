"""Programs of expressions say what the numbers say."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scalenet
from scalenet.arch import blocks
from scalenet.arch.layers import Layer  # noqa: TC001 - annotations of blocks are read
from scalenet.arch.slots import Slot  # noqa: TC001 - annotations of blocks are read
from scalenet.costs.program import Program, inputs

WHOLE = st.integers(-50, 50)


@settings(max_examples=40)
@given(a=WHOLE, b=WHOLE, c=WHOLE, factor=st.integers(-3, 3))
def test_sums_and_products_are_those_of_numbers(a: int, b: int, c: int, factor: int) -> None:
    def counted(x: object, y: object, z: object) -> list[object]:
        mask = x == z
        whole = (x + factor * y) * (z - 2) + 3 * x * y * z - y + 7  # type: ignore[operator]
        whole = whole - 1 * (x >= y) + (y <= z) * x  # type: ignore[operator]
        return [whole, whole - whole, (x - y) ** 3, 1 * mask * y + (1 - 1 * mask) * y, np.ceil(z / 4) * z, 5]  # type: ignore[operator]

    program = Program(counted(*inputs(3)), 3)  # type: ignore[arg-type]
    assert program([a, b, c]) == counted(a, b, c)
    arrays = [np.array([value, 1.0]) for value in (a, b, c)]
    for found, one, other in zip(program(arrays), counted(a, b, c), counted(1, 1, 1), strict=True):
        assert np.broadcast_to(found, 2).tolist() == [one, other]


POLYNOMIALS = st.lists(st.tuples(st.integers(-6, 6), st.lists(st.integers(0, 3), max_size=4)), max_size=9)


@settings(max_examples=25)
@given(polynomials=st.lists(POLYNOMIALS, min_size=1, max_size=4), values=st.lists(WHOLE, min_size=4, max_size=4))
def test_sums_that_share_terms_are_each_what_they_are(polynomials: list[Any], values: list[int]) -> None:
    def counted(given: list[Any]) -> list[Any]:
        sums = [sum(count * prod(given[place] for place in places) for count, places in one) for one in polynomials]
        return [*sums, sum(sums), 2 * sums[0] + sums[-1], np.ceil(given[0] / 2) * sums[0] + sums[-1]]

    program, given = Program(counted(inputs(4)), 4), [np.full(3, float(value)) for value in values]
    assert program(values) == counted(values)
    assert [np.broadcast_to(row, 3).tolist() for row in program(given)] == [[one] * 3 for one in counted(values)]
    assert [array.tolist() for array in given] == [[value] * 3 for value in values]  # none is written over


def test_a_sum_that_is_there_is_not_computed_again() -> None:
    width, depth, area = inputs(3)
    weights = 9 * width * depth + 3 * width + 7 * depth

    def steps(*outputs: Any) -> int:
        return len(Program(outputs, 3))

    alone = steps(weights * area)
    assert steps(weights * area, weights + width) == alone + 1
    assert steps(weights * area, 4 * weights) == alone + 1
    assert steps(weights * area, 2 * weights + depth * area) == steps(weights * area, depth * area) + 2


def test_an_expression_has_no_truth_value() -> None:
    one, other = inputs(2)
    with pytest.raises(TypeError, match="truth"):
        bool(one > other)
    with pytest.raises(TypeError, match="truth"):
        max(one, other)


def wider(slot: Slot) -> Layer:
    """A block that looks into its numbers."""
    width = slot.width if np.max(slot.width) > 1e6 else slot.width * 1
    return slot.style.conv(slot.in_channels, width, stride=slot.stride)


def test_a_block_that_looks_into_its_numbers_is_counted_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_registered", {"wider": wider})
    stages = [{"block": "wider", "depth": 2, "width": width} for width in (16, 32)]
    base = scalenet.Architecture("net", scalenet.load("resnet18").model.changed(stages=stages))
    widths = np.array([0.5, 1.0, 2.0])
    many = scalenet.cost(base, width=widths)
    assert many.flops.tolist() == [scalenet.cost(scalenet.scale(base, width=width)).flops for width in widths]
