"""Blocks are functions from a slot to layers; a model's layer tree hangs together."""

from __future__ import annotations

import inspect
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scalenet
from scalenet.arch import blocks, layers, registry
from scalenet.arch.errors import ScalenetError, UnknownNameError
from scalenet.arch.families.mobile import mbconv
from scalenet.arch.families.resnet import basic, bottleneck
from scalenet.arch.layers import IDENTITY, Branches, Choice, Conv, GlobalPool, Layer, Network, Sequence
from scalenet.arch.shapes import Shape, after, shape_of
from scalenet.arch.slots import Slot, scaled
from scalenet.arch.spec import dimensions, layer_tree, stage_record, with_dimensions
from scalenet.arch.style import NoNorm, Norm, SqueezeExcite, Style

if TYPE_CHECKING:
    from collections.abc import Iterator

STYLE = Style("relu", Norm(), SqueezeExcite())


def leaves(layer: Layer) -> Iterator[Layer]:
    match layer:
        case Sequence():
            for _, inner in layer.layers:
                yield from leaves(inner)
        case Branches():
            for _, path in layer.paths:
                yield from leaves(path)
        case Choice():
            yield from leaves(layer.yes if layer.where else layer.no)
        case _:
            yield layer


def inner(layer: Layer, *names: str) -> Any:
    """Return a layer within a layer by the names that lead to it."""
    for name in names:
        layer = layer.yes if isinstance(layer, Choice) else layer
        layer = dict(layer.layers if isinstance(layer, Sequence) else layer.paths)[name]  # type: ignore[union-attr]
    return layer


def walk(network: Network) -> int:
    """Follow the channels through a network, and check that every layer takes what reaches it."""
    shape = shape_of(network)
    for part in network.parts:
        for run in part.runs:
            for _ in range(int(run.times)):
                shape = after(run.block, shape)
    assert shape.flat
    return int(shape.channels)


@pytest.mark.parametrize("name", registry.names())
def test_every_layer_of_a_baseline_takes_the_channels_that_reach_it(name: str) -> None:
    model = scalenet.load(name).model
    assert walk(layer_tree(model)) == model.head.classes


@pytest.mark.parametrize("name", registry.names())
@given(width=st.floats(0.1, 3))
def test_every_layer_of_a_scaled_network_takes_the_channels_that_reach_it(name: str, width: float) -> None:
    model = scalenet.scale(scalenet.load(name), width=width).model
    assert walk(layer_tree(model)) == model.head.classes


@pytest.mark.parametrize("name", registry.names())
def test_dimensions_taken_out_and_put_back_change_nothing(name: str) -> None:
    model = scalenet.load(name).model
    assert with_dimensions(model, dimensions(model)) == model


def test_layers_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        layers.Norm(8, 1e-5).channels = 16  # type: ignore[misc]


@pytest.mark.parametrize("name", blocks.BUILT_IN)
def test_the_options_of_a_stage_are_the_keyword_parameters_of_its_block(name: str) -> None:
    parameters = inspect.signature(blocks.block(name)).parameters.values()
    options = {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}
    assert stage_record(name)(block=name, depth=1, width=8).options() == options


def test_an_unknown_block_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'mbconv'"):
        blocks.block("mbcon")


OUTPUT_WIDTH = [name for name in blocks.BUILT_IN if name != "dense" and not name.startswith("inception")]


@pytest.mark.parametrize("name", OUTPUT_WIDTH)
@given(
    channels=st.integers(1, 64).map(lambda n: 8 * n),
    width=st.integers(1, 64).map(lambda n: 8 * n),
    stride=st.integers(1, 2),
)
def test_a_block_leaves_the_channels_that_are_asked_of_it(name: str, channels: int, width: int, stride: int) -> None:
    options = {"head_width": 8} if name == "transformer" else {}
    layer = blocks.block(name)(Slot(channels, width, stride, STYLE), **options)
    shape = after(layer, Shape(channels, 32, 32))
    assert (shape.height, shape.width) == (32 // stride, 32 // stride)
    assert shape.channels == (4 * width if name == "bottleneck" else width)


@pytest.mark.parametrize(("stride", "left"), [(1, (64 + 12, 32, 32)), (2, (32 + 12, 16, 16))])
def test_a_dense_block_grows_by_its_width_behind_a_transition_that_halves(
    stride: int, left: tuple[int, int, int]
) -> None:
    shape = after(blocks.block("dense")(Slot(64, 12, stride, STYLE)), Shape(64, 32, 32))
    assert (shape.channels, shape.height, shape.width) == left


def test_a_stage_that_grows_has_a_run_a_block_and_stands_there_as_often_as_it_is_deep() -> None:
    model = scalenet.load("densenet121").model
    assert model.growing == (True,) * 4
    stage = layer_tree(model).stages[1]
    assert [run.times for run in stage.runs] == [1] * 12
    deeper = with_dimensions(model, dimensions(model)._replace(depths=(6, 13, 24, 16)))
    assert walk(layer_tree(deeper)) == 1000


def test_a_network_without_normalisation_has_biases_instead() -> None:
    convs = list(leaves(layer_tree(scalenet.load("vgg16").model).stages[0].runs[0].block))
    assert isinstance(convs[0], Conv)
    assert convs[0].bias
    with pytest.raises(ScalenetError, match="normalises 12 channels"):
        Style("relu", NoNorm(kind="none"), SqueezeExcite()).normalize(12)


def test_mbconv_squeezes_from_its_input_rounded_down_and_at_least_to_one() -> None:
    def squeeze(channels: Any, ratio: float) -> Any:
        block = mbconv(Slot(channels, 8, 1, STYLE), expand=6, se=ratio)
        return inner(block, "main", "se", "branch", "reduce").out_channels

    assert squeeze(40, 0.25) == 10
    assert squeeze(42, 0.25) == 10
    assert squeeze(43, 0.25) == 10  # 10.75: down, not to the nearest
    assert squeeze(np.array([43, 47, 1]), 0.25).tolist() == [10, 11, 1]
    assert squeeze(2, 0.25) == 1
    assert squeeze(100, 0.29) == 29


def test_mbconv_does_not_expand_by_one_and_has_no_gate_without_ratio() -> None:
    names = [name for name, _ in inner(mbconv(Slot(8, 8, 1, STYLE), expand=1), "main").layers]
    assert names == ["depthwise", "project", "drop_path"]


@pytest.mark.parametrize(("channels", "stride", "matches"), [(32, 1, True), (32, 2, False), (16, 1, False)])
def test_a_shortcut_is_the_identity_only_where_shapes_match(channels: int, stride: int, matches: bool) -> None:
    link = inner(basic(Slot(channels, 32, stride, STYLE)), "shortcut")
    assert link.where is matches
    assert link.yes is IDENTITY


def test_bottleneck_strides_in_its_middle_convolution_and_expands_its_width() -> None:
    main = inner(bottleneck(Slot(64, 32, 2, STYLE), groups=4), "main")
    first, second, third = (layer for layer in leaves(main) if isinstance(layer, Conv))
    assert (first.stride, second.stride, third.stride) == (1, 2, 1)
    assert (first.out_channels, third.out_channels) == (32, 128)
    assert second.group_width == 8


def test_arrays_of_widths_give_one_tree_for_many_networks() -> None:
    widths = np.array([16, 32])
    choice = mbconv(Slot(np.array([16, 16]), widths, 1, STYLE), se=0.25)
    assert isinstance(choice, Choice)
    assert np.array_equal(choice.where, [True, False])
    assert np.array_equal(after(choice, Shape(np.array([16, 16]), 8, 8)).channels, widths)


def test_scaled_has_no_noise_and_never_falls_below_one() -> None:
    assert scaled(100, 0.29) == 29
    assert scaled(1, 0.25) == 1
    assert scaled(7, 6.0) == 42
    assert np.array_equal(scaled(np.array([1, 42, 100]), 0.29), [1, 12, 29])


def test_the_squeeze_excite_pools_as_the_network_says() -> None:
    style = Style("relu", Norm(), SqueezeExcite(pool="adaptive"))
    pools = [leaf for leaf in leaves(mbconv(Slot(8, 8, 1, style), se=0.5)) if isinstance(leaf, GlobalPool)]
    assert pools == [GlobalPool("adaptive")]


def test_a_stage_holds_its_first_block_and_the_one_that_repeats() -> None:
    stage = layer_tree(scalenet.load("resnet18").model).stages[1]
    first, repeated = stage.runs
    assert (first.times, repeated.times) == (1, 1)
    assert not inner(first.block, "shortcut").where
    assert inner(repeated.block, "shortcut").where


def test_a_squeeze_width_is_rounded_down() -> None:
    assert scaled(43, 0.25) == 10  # 10.75, as the official code's `int`
    assert scaled(np.array([43, 2]), 0.25).tolist() == [10, 1]  # type: ignore[union-attr]
