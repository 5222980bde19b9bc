"""The shapes that the language follows are those of PyTorch's layers, and TensorFlow's where `same` is asked for."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from scalenet.arch.layers import IDENTITY, Attention, Branches, Conv, Norm, Pool, Scale, Sequence, Shuffle
from scalenet.arch.shapes import MisfitError, Shape, after
from scalenet.model import builder

SIDES = st.integers(1, 30)
KERNELS = st.integers(1, 7)
STRIDES = st.integers(1, 4)
PADDINGS: Any = st.sampled_from(["symmetric", "same", "valid", 0, 1, 2])


def left(layer: Any, shape: Shape) -> tuple[int, ...]:
    """Return the shape that the built module leaves."""
    module = builder._module(layer).eval()
    with torch.no_grad():
        return tuple(module(torch.zeros(1, shape.channels, shape.height, shape.width)).shape[1:])


@given(height=SIDES, width=SIDES, kernel=st.tuples(KERNELS, KERNELS), stride=STRIDES, padding=PADDINGS)
def test_a_convolution_leaves_the_map_that_its_shape_says(
    height: int, width: int, kernel: tuple[int, int], stride: int, padding: Any
) -> None:
    layer, shape = Conv(2, 4, kernel, stride, 2, padding=padding), Shape(2, height, width)
    try:
        expected = after(layer, shape)
    except MisfitError:
        with pytest.raises(RuntimeError):
            left(layer, shape)
        return
    assert left(layer, shape) == (4, expected.height, expected.width)
    if padding == "same":
        assert (expected.height, expected.width) == (math.ceil(height / stride), math.ceil(width / stride))


@given(
    side=SIDES,
    kernel=st.integers(1, 5),
    stride=STRIDES,
    padding=st.sampled_from([0, 1, "symmetric", "valid"]),
    ceil=st.booleans(),
    kind=st.sampled_from(["max", "avg"]),
)
@example(side=16, kernel=3, stride=2, padding="symmetric", ceil=True, kind="max")
def test_pooling_leaves_the_map_that_its_shape_says(
    side: int, kernel: int, stride: int, padding: Any, ceil: bool, kind: Any
) -> None:
    padding = min(padding, kernel // 2) if isinstance(padding, int) else padding
    layer, shape = Pool(kind, kernel, stride, padding, ceil), Shape(2, side, side)
    try:
        expected = after(layer, shape)
    except MisfitError:
        return
    assert left(layer, shape) == (2, expected.height, expected.width)


def test_same_padding_is_one_more_below_and_to_the_right() -> None:
    layer = Conv(1, 1, 3, 2, 1, padding="same")
    module = builder._module(layer)
    torch.nn.init.ones_(module.weight)  # type: ignore[arg-type]
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert module(image)[0, 0, 0, 0] == image[0, 0, :3, :3].sum()  # TensorFlow pads 4 px by (0, 1)


CASES: list[Any] = [
    Branches((("kept", IDENTITY), ("new", Sequence((("conv", Conv(4, 6, 3, 1, 4)),)))), "concat", "split"),
    Branches((("kept", IDENTITY), ("new", Sequence((("conv", Conv(8, 6, 3, 1, 8)),)))), "concat"),
    Branches((("a", Conv(8, 3, 1, 1, 8)), ("b", Conv(8, 3, 1, 1, 8)), ("c", Conv(8, 3, 3, 1, 8))), "add"),
    Sequence((("shuffle", Shuffle(2)), ("scale", Scale(8, 0.5)), ("norm", Norm(8, 1e-6, kind="layernorm")))),
    Sequence(
        (("norm", Norm(8, 1e-5, kind="groupnorm", groups=4)), ("wide", Conv(8, 12, 1, 1, 8)), ("ask", Attention(2)))
    ),
]


@pytest.mark.parametrize("layer", CASES, ids=range(len(CASES)))
def test_paths_and_other_leaves_leave_what_their_shape_says(layer: Any) -> None:
    shape = Shape(8, 6, 5)
    expected = after(layer, shape)
    assert left(layer, shape) == (expected.channels, expected.height, expected.width)


def test_shuffling_is_pytorch_s() -> None:
    images = torch.randn(2, 12, 3, 3)
    assert torch.equal(builder._module(Shuffle(3))(images), torch.nn.functional.channel_shuffle(images, 3))


def test_attention_is_pytorch_s() -> None:
    images = torch.randn(2, 24, 3, 3, dtype=torch.float64)
    queries, keys, values = (part.flatten(-2).transpose(-2, -1) for part in images.reshape(2, 3, 2, 4, 3, 3).unbind(1))
    expected = torch.nn.functional.scaled_dot_product_attention(queries, keys, values)
    found = builder._module(Attention(2))(images)
    torch.testing.assert_close(found, expected.transpose(-2, -1).reshape(2, 8, 3, 3))
