"""The formula: parts, arrays of many networks, and the box of depths with widths and resolutions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from many_networks import ANY_BLOCK, any_dimensions, any_model, stack
from networks import GROWING

import scalenet
from scalenet.arch import registry
from scalenet.arch.errors import ScalenetError
from scalenet.arch.spec import Dimensions, Model, dimensions, layer_tree, with_dimensions
from scalenet.costs.formula import cost_box, cost_many, smallest_size, total, walk
from scalenet.scaling.multiply import scale_dimensions
from scalenet.scaling.rounding import SETS

NAMES = list(registry.names())


@pytest.mark.parametrize("name", NAMES)
def test_the_parts_sum_to_the_whole(name: str) -> None:
    cost = scalenet.cost(scalenet.load(name))
    costs = [part.cost for part in cost.parts]
    assert sum(part.flops for part in costs) == cost.flops
    assert sum(part.params for part in costs) == cost.params
    assert sum(part.activations for part in costs) == cost.activations
    for operator, flops in cost.flops_by_operator.items():
        assert sum(part.operators.get(operator, 0) for part in costs) == flops


@pytest.mark.parametrize("name", NAMES)
def test_a_part_is_its_first_block_and_its_repeats(name: str) -> None:
    for part in scalenet.cost(scalenet.load(name)).parts:
        assert part.cost.flops == sum(run.tally.flops * run.times for run in part.runs)
        assert part.cost.params == sum(run.tally.params * run.times for run in part.runs)


def test_the_parts_follow_the_map_through_the_network() -> None:
    parts = scalenet.cost(scalenet.load("efficientnet_b0")).parts
    assert [part.name for part in parts] == ["stem", *(f"stages.{number}" for number in range(7)), "head"]
    assert [part.height for part in parts] == [112, 112, 56, 28, 14, 14, 7, 7, 1]
    assert [part.channels for part in parts] == [32, 16, 24, 40, 80, 112, 192, 320, 1000]


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_of_one_network_is_an_int(name: str) -> None:
    cost = scalenet.cost(scalenet.load(name))
    figures = [cost.flops, cost.params, cost.activations, *cost.flops_by_operator.values()]
    assert {type(figure) for figure in figures} == {int}


def test_flops_are_convolutions_and_linear_layers_alone() -> None:
    cost = scalenet.cost(scalenet.load("resnet50"))
    assert cost.flops == cost.flops_by_operator["conv"] + cost.flops_by_operator["linear"]
    assert list(cost.flops_by_operator) == ["conv", "linear", "batch_norm", "adaptive_avg_pool2d"]


def test_an_architecture_costs_what_its_model_costs() -> None:
    architecture = scalenet.load("resnet18")
    assert scalenet.cost(architecture) == scalenet.cost(architecture.model)


def test_counts_beyond_float_precision_are_exact() -> None:
    model = scalenet.load("resnet18").model
    once, twice = (scalenet.cost(model.model_copy(update={"resolution": 224 * 10**6 * n})) for n in (1, 2))
    assert once.flops_by_operator["conv"] > 2**63
    assert twice.flops_by_operator["conv"] == 4 * once.flops_by_operator["conv"]


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in {"inception_resnet_v2", "inception_v3", "squeezenet1_0", "xception"}]
)
def test_smooth_costs_are_the_same_where_all_sizes_are_whole(name: str) -> None:
    model = scalenet.load(name).model.at(224)
    assert total(walk(layer_tree(model), smooth=True)).flops == scalenet.cost(model).flops


def test_smooth_costs_grow_with_the_square_of_the_resolution() -> None:
    model = scalenet.load("efficientnet_b0").model
    smooth = [
        total(walk(layer_tree(model, dimensions(model)._replace(size=(size, size))), smooth=True)).operators["conv"]
        for size in (224.0, 448.0, 258.0)
    ]
    se = smooth[1] - 4 * smooth[0]
    assert abs(se) < 0.01 * smooth[0]
    assert smooth[2] / smooth[0] == pytest.approx((258 / 224) ** 2, rel=0.01)


def assert_each_as_by_itself(model: Model, rows: list[Dimensions]) -> None:
    many = cost_many(model, stack(rows))
    for number, row in enumerate(rows):
        one = scalenet.cost(with_dimensions(model, row))
        operators = {name: int(counts[number]) for name, counts in many.flops_by_operator.items()}
        assert (many.flops[number], many.params[number], many.activations[number]) == (
            one.flops,
            one.params,
            one.activations,
        )
        assert operators == one.flops_by_operator
        alone = cost_many(model, row)
        assert alone == replace(one, parts=())
        assert {type(figure) for figure in (alone.flops, alone.params, *alone.flops_by_operator.values())} == {int}
    assert many.flops.dtype == np.int64


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10)
@given(data=st.data())
def test_arrays_cost_element_by_element_what_one_network_costs(name: str, data: st.DataObject) -> None:
    model = scalenet.load(name).model
    rows = data.draw(st.lists(any_dimensions(model), min_size=1, max_size=6))
    assert_each_as_by_itself(model, [*rows, dimensions(model)])


@pytest.mark.usefixtures("third_party_blocks")
@pytest.mark.parametrize("block", ANY_BLOCK)
@settings(max_examples=12)
@given(data=st.data())
def test_stages_of_any_block_and_any_width_cost_in_arrays_what_each_costs(block: str, data: st.DataObject) -> None:
    model = data.draw(any_model(block))
    rows = data.draw(st.lists(any_dimensions(model, widest=24), min_size=1, max_size=6))
    assert_each_as_by_itself(model, [*rows, dimensions(model)])
    if not any(model.growing):
        box = cost_box(model, stack(rows).depths, stack(rows)).diagonal()
        assert box.tolist() == [scalenet.cost(with_dimensions(model, row)).flops for row in rows]


def test_a_size_for_all_networks_stays_one_where_widths_choose() -> None:
    stages = [{"block": "mnas_conv", "skip": "pool", "depth": 2, "width": width, "stride": 2} for width in (16, 24)]
    model = scalenet.load("small_resnet").model.changed(stages=tuple(stages)).at(1_200)
    wide = [dimensions(model)._replace(widths=(stem, 16, 24, 0)) for stem in (16, 24)]
    many = cost_many(model, stack(wide)._replace(size=(1_200, 1_200)))
    assert many.flops.tolist() == [scalenet.cost(with_dimensions(model, one)).flops for one in wide]


def test_arrays_longer_than_a_block_of_work_lose_nothing() -> None:
    model = scalenet.load("mobilenet_v2").model
    base, length = dimensions(model), 40_000
    sizes = np.arange(length) % 300 + 1
    numbers = stack([base] * length)._replace(size=(sizes, sizes))
    many = cost_many(model, numbers, threads=3)
    singles = [scalenet.cost(model.model_copy(update={"resolution": size})).flops for size in range(1, 301)]
    assert np.array_equal(many.flops, np.resize(singles, length))
    assert np.array_equal(cost_many(model, numbers, threads=1).activations, many.activations)


@pytest.mark.parametrize("name", ["squeezenet1_0", "inception_v3", "vgg16"])
def test_images_too_small_for_a_window_are_refused_as_of_one_network(name: str) -> None:
    model = scalenet.load(name).model
    smallest = smallest_size(model)
    with pytest.raises(ScalenetError, match="is larger than a map"):
        scalenet.cost(model.at(smallest - 1))
    for few in (smallest - 1, np.array([224, smallest - 1])):
        with pytest.raises(ScalenetError, match="is larger than a map"):
            cost_many(model, dimensions(model)._replace(size=(few, few)))
    assert cost_many(model, dimensions(model)._replace(size=(smallest, smallest))).flops > 0


def test_groups_of_one_value_are_refused_and_all_others_run() -> None:
    stages = tuple({"block": "vgg", "depth": 1, "width": 8, "stride": 2} for _ in range(2))
    whole = scalenet.load("small_resnet").model
    model = whole.changed(norm={"kind": "groupnorm", "groups": 8}, stem=whole.stem.changed(width=8), stages=stages)
    smallest = smallest_size(model)
    with pytest.raises(ValueError, match=r"stages\[1\] \(vgg\): norm: group normalisation takes more than one value"):
        model.at(smallest - 1)
    assert scalenet.measure(model.at(smallest)).flops == scalenet.cost(model.at(smallest)).flops


def test_arrays_of_one_count_for_all_networks() -> None:
    model = scalenet.load("mobilenet_v2").model
    sizes = np.arange(40_000) % 300 + 1
    numbers = dimensions(model).each(lambda number: np.array([number]))._replace(size=(sizes, np.array([64])))
    whole = dimensions(model)._replace(size=(sizes, 64))
    assert np.array_equal(cost_many(model, numbers).flops, cost_many(model, whole).flops)


def test_a_count_that_floats_cannot_hold_is_an_error_in_arrays() -> None:
    model = scalenet.load("efficientnet_b0").model
    with pytest.raises(OverflowError, match=r"2\*\*53"):
        cost_many(model, stack([dimensions(model)])._replace(size=(np.array([10**7]),) * 2))


def test_a_count_that_floats_cannot_hold_is_an_error_in_a_box() -> None:
    model = scalenet.load("efficientnet_b0").model
    base = dimensions(model)
    wide = stack([base])._replace(size=(np.array([10**7]),) * 2)
    with pytest.raises(OverflowError, match=r"2\*\*53"):
        cost_box(model, tuple(np.array([depth]) for depth in base.depths), wide)


def test_there_is_no_box_where_blocks_grow_with_their_place() -> None:
    model = scalenet.load("densenet121").model
    with pytest.raises(ScalenetError, match="grow with their place"):
        cost_box(model, tuple(np.array([depth]) for depth in dimensions(model).depths), stack([dimensions(model)]))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in GROWING])
@settings(max_examples=8)
@given(data=st.data())
def test_a_box_holds_every_depth_with_every_width_and_resolution(name: str, data: st.DataObject) -> None:
    model = scalenet.load(name).model
    rows = data.draw(st.lists(any_dimensions(model), min_size=1, max_size=4))
    deep = data.draw(st.lists(any_dimensions(model), min_size=1, max_size=4))
    box = cost_box(model, stack(deep).depths, stack(rows))
    singles = [[scalenet.cost(with_dimensions(model, w._replace(depths=d.depths))).flops for w in rows] for d in deep]
    assert box.tolist() == singles
    assert box.dtype == np.int64


def test_a_box_wider_than_a_block_of_work_loses_nothing() -> None:
    model = scalenet.load("resnet18").model
    base, length = dimensions(model), 3_000
    sizes = np.arange(length) + 1
    numbers = stack([base] * length)._replace(size=(sizes, sizes))
    box = cost_box(model, tuple(np.array([depth, depth + 1]) for depth in base.depths), numbers)
    assert np.array_equal(box[0], cost_many(model, numbers).flops)
    assert (box[1] > box[0]).all()


@pytest.mark.parametrize(
    ("name", "rounding", "fixed"),
    [
        ("efficientnet_lite0", "lite", ()),
        ("efficientnet_b0", "efficientnet", ("width", "resolution")),
        ("resnet50", "fine", ("depth",)),
    ],
)
def test_dimensions_that_stay_are_costed_beside_arrays(name: str, rounding: str, fixed: tuple[str, ...]) -> None:
    base, many = scalenet.load(name), np.array([1.0, 1.5, 2.0])
    factors = {axis: 1.0 if axis in fixed else many for axis in ("depth", "width", "resolution")}
    numbers = scale_dimensions(base.model, SETS[rounding], **factors)
    one = [
        scalenet.cost(
            scalenet.scale(base, rounding=rounding, **{axis: 1.0 if axis in fixed else factor for axis in factors})
        ).flops
        for factor in map(float, many)
    ]
    assert cost_many(base.model, numbers).flops.tolist() == one
    box = cost_box(base.model, numbers.depths, numbers)
    assert np.broadcast_to(box, (len(box), box.shape[1])).diagonal()[: len(one)].tolist() == one[: min(box.shape)]
