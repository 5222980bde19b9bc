"""Programs of expressions say what the numbers say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scalenet
from scalenet.arch import blocks
from scalenet.arch.layers import Layer  # noqa: TC001 - annotations of blocks are read
from scalenet.arch.slots import Slot  # noqa: TC001 - annotations of blocks are read
from scalenet.costs.program import Program, inputs

WHOLE = st.integers(-50, 50)


@given(a=WHOLE, b=WHOLE, c=WHOLE, factor=st.integers(-3, 3))
def test_sums_and_products_are_those_of_numbers(a: int, b: int, c: int, factor: int) -> None:
    def counted(x: object, y: object, z: object) -> list[object]:
        mask = x == z
        whole = (x + factor * y) * (z - 2) + 3 * x * y * z - y + 7  # type: ignore[operator]
        return [whole, whole - whole, (x - y) ** 3, 1 * mask * y + (1 - 1 * mask) * y, np.ceil(z / 4) * z, 5]  # type: ignore[operator]

    program = Program(counted(*inputs(3)), 3)  # type: ignore[arg-type]
    assert program([a, b, c]) == counted(a, b, c)
    arrays = [np.array([value, 1.0]) for value in (a, b, c)]
    for found, one, other in zip(program(arrays), counted(a, b, c), counted(1, 1, 1), strict=True):
        assert np.broadcast_to(found, 2).tolist() == [one, other]


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
