"""Budgets solved: the whole table of baselines, rules and φ, and the nearest network against an enumeration of its own.

The enumeration below is written from the definitions alone: depths apportioned block by block, widths as the rounding
set gives them, every admissible size, and the distance of each network from the straight line through its base.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import SEARCHED

import scalenet
from scalenet.arch.blocks import BUILT_IN
from scalenet.arch.config import BudgetRule, CompoundRay, SharesRay, TinyRay, dumps, loads
from scalenet.arch.errors import ScalenetError
from scalenet.arch.spec import Dimensions, dimensions, with_dimensions
from scalenet.checks.verification import verify
from scalenet.costs.formula import cost_many
from scalenet.costs.memory import memory_many
from scalenet.scaling.budgets import solve
from scalenet.scaling.lattice import Lattice
from scalenet.scaling.resolutions import total_stride
from scalenet.scaling.rounding import SETS
from scalenet.scaling.rules import PAPER_COEFFICIENTS, SHARES, coefficients, tiny_curves
from scalenet.scaling.scaler import rescale, scale_by, scaled_dropout

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalenet.arch.config import Metric, Ray
    from scalenet.arch.spec import Architecture, Model
    from scalenet.scaling.budgets import Solved
    from scalenet.scaling.rounding import Rounding

NAMES = SEARCHED
HALVES = [half / 2 for half in range(-6, 15)]
OFTEN = ["efficientnet_b0", "mobilenet_v2", "resnet18", "small_resnet"]
"""Of these every φ is solved for, of others every third: `benchmarks/budgets.py` solves for all."""
RAYS: dict[str, Ray] = {
    "compound": CompoundRay(**PAPER_COEFFICIENTS),
    **{
        name: SharesRay(depth=depth, width=width, resolution=resolution)
        for name, (depth, width, resolution) in SHARES.items()
    },
    "tiny": TinyRay(),
}
STRAIGHT = [name for name in RAYS if name != "tiny"]
COMPOUND, TINY = RAYS["compound"], RAYS["tiny"]
METRICS: list[Metric] = ["flops", "params", "activations"]
B0 = scalenet.load("efficientnet_b0")
RESNET18 = scalenet.load("resnet18")
SMALL = scalenet.load("small_resnet")
HEADER = """
schema: scalenet/1
name: made_by_hand
model:
  resolution: {resolution}
  activation: relu
  norm: {{kind: batchnorm}}
  stem: {{kind: conv, width: {stem}, kernel: 3, stride: 2}}
  stages:
  - {{{first}}}
  - {{{second}}}
  head: {{kind: linear, classes: {classes}}}
"""
LEAST = loads(
    HEADER.format(
        resolution=32,
        stem=8,
        first="block: basic, depth: 1, width: 8, stride: 2",
        second="block: basic, depth: 1, width: 8, stride: 2",
        classes=1000,
    )
).model
GROUPED = loads(
    HEADER.format(
        resolution=64,
        stem=32,
        first="block: bottleneck, depth: 2, width: 48, stride: 2, groups: 12",
        second="block: bottleneck, depth: 3, width: 96, stride: 2, groups: 12",
        classes=10,
    )
).model


def budget(ray: Ray, value: float, metric: Metric = "flops", **options: Any) -> BudgetRule:
    return BudgetRule(ray=ray, metric=metric, value=max(1, round(value)), **options)


def times(model: Model, phi: float, ray: Ray = COMPOUND, metric: Metric = "flops", **options: Any) -> BudgetRule:
    """The budget of 2^phi times what a model costs."""
    return budget(ray, 2**phi * getattr(scalenet.cost(model), metric), metric, **options)


def solved(base: Architecture, rule: BudgetRule) -> Solved:
    return solve(base.model, rule, SETS[base.rounding])


def rebuilt(model: Model, found: Solved) -> Model:
    return with_dimensions(model, found.numbers)


# The whole table ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ray", RAYS)
@pytest.mark.parametrize("name", NAMES)
def test_every_baseline_hits_every_phi_within_a_percent(name: str, ray: str) -> None:
    base = scalenet.load(name)
    flops = scalenet.cost(base).flops
    tried = {"compound": HALVES if name in OFTEN else HALVES[::3], "tiny": HALVES[:6]}.get(ray, HALVES[::5])
    for phi in tried:
        found = solved(base, times(base.model, phi, RAYS[ray]))
        achieved = scalenet.cost(rebuilt(base.model, found)).flops
        assert found.solution.met, phi
        assert found.solution.achieved == achieved
        assert achieved == pytest.approx(2**phi * flops, rel=0.01 + 1e-5), phi
        assert abs(achieved - round(2**phi * flops)) <= 0.01 * round(2**phi * flops), phi


@pytest.mark.parametrize("metric", [*METRICS, "memory"])
@pytest.mark.parametrize("block", [name for name in BUILT_IN if name != "dense"])
def test_a_network_costs_what_its_budget_says_where_stages_are_wider_than_what_enters(
    block: str, metric: Metric
) -> None:
    options = {"transformer": {"head_width": 8}, "regnet": {"group_width": 8}}.get(block, {})
    stages = tuple({"block": block, "depth": 2, "width": width, **options} for width in (24, 48, 32))
    model = LEAST.changed(resolution=96, stages=stages)
    rule = budget(COMPOUND, 2.2 * own_cost(model, metric), metric)
    found = solved(scalenet.Architecture("own", model), rule)
    assert found.solution.met
    assert found.solution.achieved == own_cost(rebuilt(model, found), metric)


def own_cost(model: Model, metric: Metric) -> int:
    """What one network costs, counted by itself."""
    return scalenet.memory(model).peak if metric == "memory" else int(getattr(scalenet.cost(model), metric))


@pytest.mark.parametrize("phi", [-1, 1])
@pytest.mark.parametrize("name", ["densenet121", "inception_v3", "vit_small"])
def test_growing_blocks_unpadded_windows_and_patches_meet_a_budget(name: str, phi: float) -> None:
    base = scalenet.load(name)
    found = solved(base, times(base.model, phi, sizes=SETS[base.rounding].resolution_multiple))
    achieved = scalenet.cost(rebuilt(base.model, found)).flops
    assert found.solution.achieved == achieved
    assert achieved == pytest.approx(2**phi * scalenet.cost(base).flops, rel=0.01 if found.solution.met else 0.1)


@pytest.mark.parametrize("metric", ["params", "activations"])
@pytest.mark.parametrize("ray", ["compound", "width"])
@pytest.mark.parametrize("name", NAMES)
def test_every_baseline_hits_parameters_and_activations(name: str, ray: str, metric: Metric) -> None:
    base = scalenet.load(name)
    for phi in (-1, 2):
        rule = times(base.model, phi, RAYS[ray], metric)
        found = solved(base, rule)
        assert found.solution.met, phi
        assert getattr(scalenet.cost(rebuilt(base.model, found)), metric) == pytest.approx(rule.value, rel=0.01), phi


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("phi", [-2, 3])
@pytest.mark.parametrize("name", ["mobilenet_v1", "small_resnet"])
def test_memory_comes_within_a_percent_and_never_above(name: str, phi: float, training: bool) -> None:
    base = scalenet.load(name)
    (own,) = memory_many(base.model, arrays(dimensions(base.model)), batch=8, training=training)
    rule = budget(COMPOUND, own * 2**phi, "memory", batch=8, training=training)
    found = solved(base, rule)
    (achieved,) = memory_many(base.model, arrays(found.numbers), batch=8, training=training)
    assert found.solution.met
    assert found.solution.achieved == achieved
    assert 0.99 * rule.value <= achieved <= rule.value


def arrays(numbers: Dimensions) -> Dimensions:
    """One network's dimensions as arrays of one."""
    return numbers.each(lambda number: np.array([number]))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("ray", ["compound", "resolution"])
@pytest.mark.parametrize("name", NAMES)
def test_a_baseline_s_own_cost_gives_the_baseline(name: str, ray: str, metric: Metric) -> None:
    base = scalenet.load(name)
    if (ray, metric) != ("resolution", "params"):
        found = solved(base, times(base.model, 0, RAYS[ray], metric, tolerance=0.0))
        assert found.solution.achieved == getattr(scalenet.cost(base), metric)
        assert (found.solution.distance, found.solution.spread) == pytest.approx((0, 0), abs=1e-9)
        if ray != "resolution":  # 223 px cost as much as 224
            assert found.numbers == dimensions(base.model)
            assert found.solution.phi == pytest.approx(0, abs=1e-9)


# Nearest of all -------------------------------------------------------------------------------------------------------


def apportioned(model: Model, rounding: Rounding, high: float) -> NDArray[np.int64]:
    """Depths up to 2^high of the base's: always the stage next that has least for its share, and of equals the last."""
    base = [stage.depth for stage in model.stages]
    ends = {0, len(base) - 1} if "end_depths" in rounding.fixed else set()
    free = [stage for stage in range(len(base)) if stage not in ends]
    row = [1 if stage in free else base[stage] for stage in range(len(base))]
    rows = [list(row)]
    while any(row[stage] < 2**high * base[stage] for stage in free):
        row[min(free, key=lambda stage: ((row[stage] + 0.5) / base[stage], -stage))] += 1
        rows.append(list(row))
    return np.array(rows)


def given_widths(model: Model, rounding: Rounding, low: float, high: float, *, per_stage: bool) -> NDArray[np.int64]:
    """Stem, stages and head (0 where it has none) at 1024 multipliers a doubling, from 2^(low / 2) to 2^(high / 2)."""
    base, factors = dimensions(model), 2.0 ** (np.arange(math.floor(512 * low), math.ceil(512 * high) + 1) / 1024)
    groups = [stage.options().get("groups", 1) for stage in model.stages]
    stem, *stages, head = base.widths
    columns = [
        stem if "stem" in rounding.fixed else rounding.round_width(stem, factors),
        *(rounding.round_width(width, factors, groups=group) for width, group in zip(stages, groups, strict=True)),
        head if not head or "head" in rounding.fixed else rounding.round_head(head, factors),
    ]
    rows = [np.stack(np.broadcast_arrays(*columns), axis=1).astype(np.int64)]
    for stage, change in product(range(len(groups)) if per_stage else [], (-1, 1)):
        rows.append(
            rows[0] + change * math.lcm(rounding.divisor, groups[stage]) * np.eye(len(columns), dtype=int)[stage + 1]
        )
    every = np.unique(np.concatenate(rows), axis=0)
    return every[(every[:, :-1] > 0).all(axis=1)]


def admissible(model: Model, rule: BudgetRule, high: float) -> NDArray[np.int64]:
    """Heights and widths up to 2^(high / 2) of the base's."""
    height, width = model.size
    stride = total_stride(model)
    step = stride if rule.sizes == "tight" else rule.sizes
    heights = step * np.arange(1, math.ceil(height * 2 ** (high / 2) / step) + 1)
    rows = np.stack([heights, step * np.floor(heights * width / height / step + 0.5)], axis=1).astype(np.int64)
    return rows[rows.min(axis=1) >= min(stride, height, width)]


class Enumeration:
    """Every network within `reach` doublings, on each axis, of a place on a straight ray, and its distance from it."""

    def __init__(self, model: Model, rule: BudgetRule, rounding: Rounding, place: NDArray[Any], reach: float) -> None:
        alpha, beta, gamma = map(math.log2, coefficients(rule.ray))
        self.model, self.rule = model, rule
        self.way = np.array([alpha, 2 * beta, 2 * gamma]) / np.linalg.norm([alpha, 2 * beta, 2 * gamma])
        self.low, self.high = place - reach, place + reach
        base, widths_of_base = np.array(dimensions(model).depths), np.array(dimensions(model).widths[1:-1])
        depths = apportioned(model, rounding, self.high[0] + 1)
        widths = given_widths(model, rounding, self.low[1] - 1, self.high[1] + 1, per_stage=rule.per_stage)
        sizes = admissible(model, rule, self.high[2])
        moving = base * (depths[0] != depths[-1])
        self.axes = [
            self.within(0, depths, *moments(np.log2(depths / base), moving)),
            self.within(1, widths, *moments(2 * np.log2(widths[:, 1:-1] / widths_of_base), base)),
            self.within(2, sizes, np.log2(sizes / model.size).sum(axis=1), np.zeros(len(sizes))),
        ]

    def within(self, axis: int, rows: Any, means: Any, spreads: Any) -> tuple[Any, Any, Any]:
        chosen = (self.low[axis] <= means) & (means <= self.high[axis])
        return rows[chosen], means[chosen], spreads[chosen]

    def nearest(self, limit: float) -> float:
        """The distance of the nearest network below `limit` that meets the budget; infinity where there is none."""
        depths, widths, sizes = self.axes
        found = math.inf
        for blocks, mean, spread in zip(*depths, strict=True):
            places = np.meshgrid([mean], widths[1], sizes[1], indexing="ij")
            along = sum(place * way for place, way in zip(places, self.way, strict=True))
            squares = sum(place**2 for place in places) - along**2 + spread + widths[2][:, None]
            distances = np.sqrt(np.maximum(squares, 0))[0]
            wide, large = np.nonzero(distances < limit)
            if len(wide):
                met = self.meets(blocks, widths[0][wide].T, sizes[0][large].T)
                found = min(found, distances[wide, large][met].min(initial=math.inf))
        return found

    def meets(self, blocks: Any, widths: Any, sizes: Any) -> Any:
        """Which networks of one depth keep tolerance and ceilings."""
        depths = tuple(np.full(len(widths[0]), depth) for depth in blocks)
        numbers = Dimensions(depths, tuple(widths), tuple(sizes))
        counts, rule = cost_many(self.model, numbers), self.rule
        met = np.abs(getattr(counts, rule.metric) - rule.value) <= rule.tolerance * rule.value
        for metric, limit in rule.ceilings.items():
            met &= getattr(counts, metric) <= limit
        return met


def moments(doublings: NDArray[np.float64], weights: NDArray[np.int64]) -> tuple[Any, Any]:
    """Mean and variance over the stages, weighted by the base's blocks."""
    mean = np.average(doublings, axis=1, weights=weights)
    return mean, np.average((doublings - mean[:, None]) ** 2, axis=1, weights=weights)


def assert_nearest(model: Model, rule: BudgetRule, rounding: Rounding, *, reach: float = 1.0) -> None:
    """The solver's network is the nearest of all whose nearest point of the ray is not `reach` doublings from its."""
    found = solve(model, rule, rounding)
    assert found.solution.met
    distance, place = found.solution.distance, np.log2(found.nearest) * (1, 2, 2)
    nearest = Enumeration(model, rule, rounding, place, distance + reach).nearest(distance + 1e-4)
    assert nearest == pytest.approx(distance, rel=1e-5, abs=1e-6)  # the record has six digits


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("ray", STRAIGHT)
@pytest.mark.parametrize(
    ("name", "phi"), [("efficientnet_b0", 1.5), ("resnet18", -1.0), ("small_resnet", 2.25), ("mobilenet_v1", -2.0)]
)
def test_no_network_that_meets_the_budget_is_nearer(name: str, phi: float, ray: str, metric: Metric) -> None:
    base = scalenet.load(name)
    if (ray, metric) != ("resolution", "params"):
        assert_nearest(base.model, times(base.model, phi, RAYS[ray], metric), SETS[base.rounding])


@settings(max_examples=15)
@given(
    name=st.sampled_from(["efficientnet_b0", "resnet18", "resnet50", "mobilenet_v1", "small_resnet"]),
    ray=st.sampled_from(STRAIGHT),
    metric=st.sampled_from(METRICS),
    rounding=st.sampled_from(["efficientnet", "efficientnet_v2", "lite", "fine"]),
    phi=st.floats(-1.5, 4),
    sizes=st.sampled_from([1, 8, 32, "tight"]),
    tolerance=st.sampled_from([0.003, 0.01, 0.05]),
)
def test_the_nearest_is_found_with_any_options(
    name: str, ray: str, metric: Metric, rounding: str, phi: float, sizes: Any, tolerance: float
) -> None:
    model = scalenet.load(name).model
    assume((ray, metric) != ("resolution", "params"))
    rule = times(model, phi, RAYS[ray], metric, sizes=sizes, tolerance=tolerance)
    assume(solve(model, rule, SETS[rounding]).solution.distance < 0.6)
    assert_nearest(model, rule, SETS[rounding], reach=0.6)


@pytest.mark.parametrize("ceiling", ["params", "activations"])
@pytest.mark.parametrize("name", ["mobilenet_v1", "resnet50"])
def test_the_nearest_under_a_ceiling_is_found(name: str, ceiling: Metric) -> None:
    base = scalenet.load(name)
    free = rebuilt(base.model, solved(base, times(base.model, 2)))
    limit = round(0.85 * getattr(scalenet.cost(free), ceiling))
    rule = times(base.model, 2, ceilings={ceiling: limit})
    assert_nearest(base.model, rule, SETS[base.rounding])
    assert solved(base, rule).solution.distance > solved(base, times(base.model, 2)).solution.distance


@pytest.mark.parametrize(
    ("name", "size", "ray", "phi", "options"),
    [
        ("resnet50", (192, 256), "compound", 1.0, {}),
        ("efficientnet_b0", (256, 192), "dwr", -1.0, {"sizes": 8}),
        ("resnet18", 224, "compound", 1.5, {"per_stage": True}),
        ("small_resnet", 22, "dwr", 1.0, {"per_stage": True}),
        pytest.param("resnet18", 129, "width", 0.3, {}),
        pytest.param("efficientnet_b0", 97, "depth", 1.1, {}),
        pytest.param(
            "resnet50",
            (192, 256),
            "width",
            0.9672,
            {"per_stage": True, "tolerance": 0.003},
        ),
    ],
)
def test_the_nearest_is_found_at_other_sizes_and_with_widths_by_stage(
    name: str, size: Any, ray: str, phi: float, options: dict[str, Any]
) -> None:
    base = scalenet.load(name)
    model = base.model.at(size)
    assert_nearest(model, times(model, phi, RAYS[ray], **options), SETS[base.rounding])


@pytest.mark.parametrize(
    ("name", "size", "rounding", "flops", "sizes"),
    [("resnet18", 33, "nearest", 168_932_506, 32), ("efficientnet_b0", 65, "efficientnet", 303_951_986, 16)],
)
def test_the_nearest_is_found_beside_a_cliff(name: str, size: int, rounding: str, flops: int, sizes: int) -> None:
    model = scalenet.load(name).model.at(size)
    assert_nearest(model, budget(RAYS["depth"], flops, sizes=sizes), SETS[rounding])


@pytest.mark.parametrize("phi", [-1, 0.5, 2])
@pytest.mark.parametrize("ray", ["compound", "width", "dwr"])
@pytest.mark.parametrize("name", ["mobilenet_v1", "resnet18", "small_resnet"])
def test_widths_by_stage_are_never_farther_from_the_ray(name: str, ray: str, phi: float) -> None:
    base = scalenet.load(name)
    uniform, varied = (
        solved(base, times(base.model, phi, RAYS[ray], per_stage=per_stage)).solution for per_stage in (False, True)
    )
    assert uniform.met
    assert varied.met
    assert varied.distance <= uniform.distance + 1e-6


# Where there is no network --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ray", RAYS)
def test_a_baseline_that_cannot_shrink_that_far_gives_the_smallest(ray: str) -> None:
    found = solve(LEAST, times(LEAST, -4, RAYS[ray]), SETS["efficientnet"])
    assert not found.solution.met
    assert found.numbers == ((1, 1), (8, 8, 8, 0), (8, 8))
    assert found.solution.achieved == scalenet.cost(rebuilt(LEAST, found)).flops > 2**-4 * scalenet.cost(LEAST).flops


@pytest.mark.parametrize("ray", ["compound", "depth", "width", "dwr"])
def test_a_head_that_cannot_get_narrower_keeps_its_parameters(ray: str) -> None:
    base = scalenet.load("mobilenet_v2")
    found = solved(base, times(base.model, -2, RAYS[ray], "params"))
    assert not found.solution.met
    assert (found.numbers.depths, found.numbers.widths) == ((1,) * 7, (*[8] * 8, 1280))
    assert found.solution.achieved == scalenet.cost(rebuilt(base.model, found)).params


@pytest.mark.parametrize("ray", ["compound", "resolution"])
def test_where_no_network_is_within_tolerance_the_closest_is_shown(ray: str) -> None:
    rule = times(LEAST, -3, RAYS[ray])
    found = solve(LEAST, rule, SETS["efficientnet"])
    every = Enumeration(LEAST, rule, SETS["efficientnet"], np.zeros(3), 5)
    depths, widths, sizes = (axis[0] for axis in every.axes)
    misses = [
        abs(math.log(counted / rule.value))
        for blocks, channels in product(depths, widths)
        for counted in cost_many(LEAST, Dimensions((*blocks,), (*channels,), (*sizes.T,))).flops
    ]
    assert not found.solution.met
    assert abs(math.log(found.solution.achieved / rule.value)) == pytest.approx(min(misses))


@pytest.mark.parametrize(("ray", "phi"), [*product(["compound", "depth", "resolution"], [-2, 0, 1])])
def test_a_small_network_at_sizes_of_32_is_scaled_by_what_is_left(ray: str, phi: float) -> None:
    found = solved(SMALL, times(SMALL.model, phi, RAYS[ray], sizes=32))
    assert found.solution.met
    assert found.numbers.size == (32, 32)
    assert found.solution.distance > 0.05


@pytest.mark.parametrize(
    ("model", "ray", "metric", "phi", "message"),
    [
        (B0.model, "resolution", "params", 1, "params do not change along this ray"),
        (B0.model, "tiny", "flops", 0.5, "the tiny rule only shrinks"),
        (RESNET18.model, "tiny", "activations", 3, "the tiny rule only shrinks"),
        (B0.model, "compound", "flops", 24, "are more than φ = 16 of this ray costs"),
    ],
)
def test_what_no_ray_can_reach_is_refused(model: Model, ray: str, metric: Metric, phi: float, message: str) -> None:
    with pytest.raises(ScalenetError, match=message):
        solve(model, times(model, phi, RAYS[ray], metric), SETS["efficientnet"])


def test_ceilings_below_every_network_are_refused() -> None:
    with pytest.raises(ScalenetError, match="no network near the ray keeps the ceilings"):
        solved(B0, times(B0.model, 1, ceilings={"params": 1000}))


@pytest.mark.parametrize("share", [1, 0.5])
def test_a_ceiling_far_from_the_ray_is_kept_by_a_network_far_from_the_ray(share: float) -> None:
    found = solved(B0, times(B0.model, 2, ceilings={"params": round(share * 5_288_548)}))
    assert scalenet.cost(B0.model.at(448)).flops == pytest.approx(4 * scalenet.cost(B0).flops, rel=0.01)
    assert found.solution.met


@pytest.mark.parametrize(
    ("name", "ray", "metric", "value", "options"),
    [
        ("efficientnet_b0", "compound", "flops", 1_543_259_008, {"ceilings": {"params": 1_000_000}}),
        (
            "resnet101",
            "compound",
            "flops",
            159_211_963_407,
            {"ceilings": {"activations": 99_466_036}, "tolerance": 0.05},
        ),
        ("mobilenet_v2", "resolution", "activations", 160_266_064, {"ceilings": {"flops": 3_079_782_190}}),
    ],
)
def test_strict_ceilings_are_kept_by_networks_far_from_the_ray(
    name: str, ray: str, metric: Metric, value: int, options: dict[str, Any]
) -> None:
    base = scalenet.load(name)
    rule = budget(RAYS[ray], value, metric, **options)
    found = solved(base, rule)
    cost = scalenet.cost(rebuilt(base.model, found))
    assert found.solution.met
    assert getattr(cost, metric) == pytest.approx(value, rel=rule.tolerance)
    assert all(getattr(cost, ceiling) <= limit for ceiling, limit in rule.ceilings.items())
    assert found.solution.distance > 2


@pytest.mark.parametrize("ray", ["compound", "depth", "width"])
@pytest.mark.parametrize("more", [1, 1.05, 1.2])
def test_a_little_more_than_the_smallest_network_costs_is_met(more: float, ray: str) -> None:
    least = with_dimensions(B0.model, Lattice(B0.model, SETS["efficientnet"]).least())
    found = solved(B0, budget(RAYS[ray], more * scalenet.cost(least).flops))
    assert found.solution.met


def test_where_nothing_is_met_exactly_the_search_ends_with_a_network_near_the_ray() -> None:
    found = solved(B0, times(B0.model, 2, tolerance=0.0))
    assert not found.solution.met
    assert found.solution.achieved == pytest.approx(4 * scalenet.cost(B0).flops, rel=1e-6)
    assert found.solution.distance < 2


# What every solution keeps --------------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(
    name=st.sampled_from(["efficientnet_b0", "mobilenet_v1", "resnet18", "small_resnet"]),
    ray=st.sampled_from(STRAIGHT),
    phi=st.floats(-2, 3),
    tolerance=st.floats(0.002, 0.1),
    ceilings=st.dictionaries(st.sampled_from(["params", "activations"]), st.floats(0.7, 1.5), max_size=2),
    sizes=st.sampled_from([1, 8, 16]),
)
def test_tolerance_is_kept_and_no_ceiling_exceeded(
    name: str, ray: str, phi: float, tolerance: float, ceilings: dict[Metric, float], sizes: int
) -> None:
    base = scalenet.load(name)
    own = scalenet.cost(rebuilt(base.model, solved(base, times(base.model, phi, RAYS[ray]))))
    limits = {metric: max(1, round(share * getattr(own, metric))) for metric, share in ceilings.items()}
    rule = times(base.model, phi, RAYS[ray], tolerance=tolerance, ceilings=limits, sizes=sizes)
    found = solved(base, rule)
    cost = scalenet.cost(rebuilt(base.model, found))
    assert all(getattr(cost, metric) <= limit for metric, limit in limits.items())
    assert found.solution.met == (abs(cost.flops - rule.value) <= tolerance * rule.value)
    assert found.solution.achieved == cost.flops
    assert not any(side % sizes for side in found.numbers.size)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("share", [0.8, 0.95, 1.2])
def test_a_ceiling_of_memory_is_kept(share: float, training: bool) -> None:
    free = solved(SMALL, times(SMALL.model, 2))
    (own,) = memory_many(SMALL.model, arrays(free.numbers), batch=32, training=training)
    ceilings: dict[Metric, int] = {"memory": round(share * own)}
    found = solved(SMALL, times(SMALL.model, 2, ceilings=ceilings, batch=32, training=training))
    (achieved,) = memory_many(SMALL.model, arrays(found.numbers), batch=32, training=training)
    assert achieved <= ceilings["memory"]
    assert found.solution.met
    assert found.solution.distance >= free.solution.distance


@pytest.mark.parametrize("sizes", [8, 16, 32, "tight"])
@pytest.mark.parametrize("ray", ["compound", "depth", "resolution"])
@pytest.mark.parametrize("name", ["efficientnet_b0", "small_resnet"])
def test_sizes_are_those_that_were_admitted(name: str, ray: str, sizes: Any) -> None:
    base = scalenet.load(name)
    for phi in (-1, 2):
        found = solved(base, times(base.model, phi, RAYS[ray], sizes=sizes))
        assert found.solution.met
        for side in found.numbers.size:
            assert side % (total_stride(base.model) if sizes == "tight" else sizes) == 0


@settings(max_examples=20)
@given(
    size=st.sampled_from([(192, 256), (256, 192), (100, 301), (224, 224)]),
    ray=st.sampled_from(["compound", "resolution", "dwr"]),
    phi=st.floats(-1, 4),
    sizes=st.sampled_from([1, 8, 32]),
)
def test_an_oblong_base_keeps_its_proportion_within_rounding(
    size: tuple[int, int], ray: str, phi: float, sizes: int
) -> None:
    model = B0.model.at(size)
    found = solve(model, times(model, phi, RAYS[ray], sizes=sizes), SETS["efficientnet"])
    assert found.solution.met
    height, width = found.numbers.size
    assert rebuilt(model, found).size == (height, width)
    assert abs(width - height * size[1] / size[0]) <= sizes / 2


@settings(max_examples=20)
@given(phi=st.floats(-2, 5), ray=st.sampled_from(STRAIGHT), per_stage=st.booleans())
def test_grouped_widths_stay_divisible(phi: float, ray: str, per_stage: bool) -> None:
    found = solve(GROUPED, times(GROUPED, phi, RAYS[ray], per_stage=per_stage), SETS["efficientnet"])
    assert all(width % 24 == 0 for width in found.numbers.widths[1:-1])
    assert loads(dumps(scalenet.Architecture("grouped", rebuilt(GROUPED, found)))).model == rebuilt(GROUPED, found)


@settings(max_examples=20)
@given(phi=st.floats(-2, 5), ray=st.sampled_from(STRAIGHT), name=st.sampled_from(["efficientnet_lite0", "resnet18"]))
def test_lite_keeps_stem_head_and_the_depth_of_both_ends(phi: float, ray: str, name: str) -> None:
    base = scalenet.load(name).model
    found = solve(base, times(base, phi, RAYS[ray]), SETS["lite"])
    own, numbers = dimensions(base), found.numbers
    assert (numbers.widths[0], numbers.widths[-1]) == (own.widths[0], own.widths[-1])
    assert (numbers.depths[0], numbers.depths[-1]) == (own.depths[0], own.depths[-1])


@pytest.mark.parametrize(
    ("ray", "phi"),
    [
        *product(STRAIGHT, [-1, 0.5, 3]),
        pytest.param("depth", -2),
        pytest.param("depth", -3),
    ],
)
def test_the_nearest_point_of_the_ray_is_where_it_is_said_to_be(ray: str, phi: float) -> None:
    found = solved(B0, times(B0.model, phi, RAYS[ray]))
    place, spread = Lattice(B0.model, SETS["efficientnet"]).place(found.numbers)
    nearest = np.log2(found.nearest) * (1, 2, 2)
    alpha, beta, gamma = map(math.log2, coefficients(RAYS[ray]))
    off = [found.solution.off_ray.depth, found.solution.off_ray.width, found.solution.off_ray.resolution]
    assert nearest == pytest.approx(np.array([alpha, 2 * beta, 2 * gamma]) * found.solution.phi, abs=1e-4)
    assert place - nearest == pytest.approx(np.log2(off) * (1, 2, 2), abs=1e-4)
    assert found.solution.spread**2 == pytest.approx(spread, rel=1e-4, abs=1e-9)
    assert found.solution.distance**2 == pytest.approx(sum((place - nearest) ** 2) + spread, rel=1e-4, abs=1e-9)


# Configs --------------------------------------------------------------------------------------------------------------

RULES = [
    times(SMALL.model, 1.5),
    times(SMALL.model, -1, RAYS["dwr"], tolerance=0.02, sizes=8),
    times(SMALL.model, -1, RAYS["tiny"]),
    times(SMALL.model, 1, RAYS["depth"], "params", ceilings={"flops": 4_000_000, "activations": 30_000}),
    times(SMALL.model, 1, RAYS["width"], "activations", sizes="tight", per_stage=True),
    budget(COMPOUND, 2_000_000, "memory", batch=4, training=True),
    budget(COMPOUND, 3_000_000, ceilings={"memory": 1_000_000}),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.metric}-{rule.ray.kind}")
def test_a_budget_s_config_can_be_read_back_redone_and_verified(rule: BudgetRule) -> None:
    config = scale_by(SMALL, rule)
    assert config.scaling is not None
    assert config.scaling.rule == rule
    assert config.scaling.solution == solved(SMALL, rule).solution
    assert dumps(scale_by(SMALL, rule)) == dumps(config)
    assert loads(dumps(config)) == config
    assert rescale(config.scaling, name=config.name) == config
    assert verify(config) == []


@pytest.mark.parametrize("rounding", ["efficientnet", "nearest"])
def test_a_budget_takes_another_rounding_set_and_a_base_that_no_registry_has(rounding: str) -> None:
    base = replace(SMALL.at((20, 30)), name="mine")
    config = scale_by(base, times(base.model, 2), rounding=rounding)
    assert config.scaling is not None
    assert config.scaling.rounding.name == rounding
    assert config.scaling.solution == solve(base.model, times(base.model, 2), SETS[rounding]).solution
    assert rescale(config.scaling, name=config.name) == config
    assert verify(config) == []


def test_a_config_says_what_was_asked_and_what_is_applied() -> None:
    config = scale_by(B0, times(B0.model, 2))
    assert config.scaling is not None
    assert config.cost is not None
    assert config.scaling.solution is not None
    assert config.scaling.asked.flops_ratio == 4
    assert config.scaling.applied.flops_ratio == pytest.approx(4, rel=0.01)
    assert config.scaling.solution.achieved == config.cost.flops
    assert config.model.regularization.dropout == scaled_dropout(0.2, config.scaling.solution.phi)


@pytest.mark.parametrize("phi", [-0.5, pytest.param(-2)])
def test_a_network_that_shrinks_has_less_dropout(phi: float) -> None:
    assert scale_by(B0, times(B0.model, phi, RAYS["depth"])).model.regularization.dropout < 0.2


# Tiny -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", "abcde")
def test_the_flops_of_a_tinynet_give_nearly_that_tinynet(letter: str) -> None:
    published = dimensions(scalenet.load(f"tinynet_{letter}").model)
    rule = budget(TINY, scalenet.cost(scalenet.load(f"tinynet_{letter}")).flops)
    found = solve(B0.model, rule, SETS["tinynet"])
    assert found.solution.met
    off = found.numbers.each(lambda own, other: abs(own - other), published)
    assert (off.widths[0], off.widths[-1]) == (0, 0)
    assert max(off.widths) <= 8
    assert sum(off.depths) <= 1
    assert max(off.size) <= 5


@pytest.mark.parametrize(
    "phi",
    [
        *(-3.375, -3.25, -2.625, -2.0, -0.5),
        *(pytest.param(phi) for phi in (-3.875, -0.25)),
    ],
)
def test_the_nearest_point_of_the_tiny_ray_lies_on_its_curves(phi: float) -> None:
    found = solve(B0.model, times(B0.model, phi, TINY), SETS["tinynet"])
    depth, resolution = tiny_curves(np.array([found.solution.phi]))
    assert found.solution.phi == pytest.approx(phi, abs=0.35)
    assert found.nearest.depth == pytest.approx(2 ** depth[0], rel=0.02)
    assert found.nearest.resolution == pytest.approx(2 ** resolution[0], rel=0.02)
