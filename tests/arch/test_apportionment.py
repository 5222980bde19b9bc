"""The blocks of a stage that are not alike are apportioned over its depth as timm does it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import one_stage

import scalenet
from scalenet.arch import blocks
from scalenet.arch.apportionment import apportioned
from scalenet.arch.config import ConfigError, dumps, loads
from scalenet.arch.layers import Branches, Layer
from scalenet.arch.options import Kernel, Ratio
from scalenet.arch.slots import Slot
from scalenet.arch.spec import dimensions, with_dimensions

COUNTS = st.lists(st.integers(1, 6), min_size=1, max_size=5)

NET = one_stage("{block: mbconv, depth: 4, width: 24, stride: 2, kernel: [3, 3, 5, 5], expand: [6, 2.5, 2.5, 2.5]}")


def timm(counts: list[int], depth: int) -> list[int]:
    """The loop of timm's `_scale_stage_depth`, from its documentation: the last first, each at least one."""
    left, blocks, result = depth, sum(counts), []
    for count in reversed(counts):
        share = max(1, round(count / blocks * left))
        result.append(share)
        blocks, left = blocks - count, left - share
    return result[::-1]


@given(counts=COUNTS, more=st.integers(0, 20))
def test_deeper_stages_are_apportioned_as_timm_does_it(counts: list[int], more: int) -> None:
    depth = sum(counts) + more
    found = apportioned(counts, depth)
    assert sum(found) == depth
    assert min(found) >= 1
    if sum(timm(counts, depth)) == depth:
        assert found == timm(counts, depth)


@given(counts=COUNTS, depths=st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_arrays_of_depths_give_what_each_depth_gives(counts: list[int], depths: list[int]) -> None:
    rows = np.broadcast_arrays(*apportioned(counts, np.array(depths, np.float64)))
    expected = [apportioned(counts, depth) for depth in depths]
    assert np.stack(rows, axis=1).tolist() == expected
    assert [sum(row) for row in expected] == depths
    assert all(first >= 1 for first, *_ in expected)


def test_a_stage_of_blocks_that_differ_scales_and_comes_back_from_its_file() -> None:
    config = loads(NET, place="net.yaml")
    scaled = scalenet.scale(config.architecture(), depth=2.0)
    stage: Any = scaled.model.stages[0]
    assert (stage.kernel, stage.expand) == ((3, 3, 3, 3, 5, 5, 5, 5), (6, 6, *[2.5] * 6))
    assert loads(dumps(scaled), place="again.yaml").model == scaled.model
    assert "kernel: [3, 3, 3, 3, 5, 5, 5, 5]" in dumps(scaled)
    assert with_dimensions(config.model, dimensions(config.model)) == config.model


def test_as_many_values_as_blocks_are_wanted() -> None:
    with pytest.raises(ConfigError, match=r"kernel has 3 values for a depth of 4"):
        loads(NET.replace("[3, 3, 5, 5]", "[3, 3, 5]"), place="net.yaml")
    with pytest.raises(ConfigError, match=r"kernel\[1\]: a kernel size must be odd, found 4"):
        loads(NET.replace("[3, 3, 5, 5]", "[3, 4, 5, 5]"), place="net.yaml")


def test_what_is_no_value_is_told_by_its_key() -> None:
    with pytest.raises(ConfigError, match=r"stages\[0\]\.kernel: expected a valid integer"):
        loads(NET.replace("[3, 3, 5, 5]", "{a: 1}"), place="net.yaml")


def test_a_table_shows_the_values_in_order() -> None:
    table = scalenet.cost(loads(NET, place="net.yaml")).frame("stage")
    assert list(table["operator"]) == ["conv k3", "mbconv k3/5 e6/2.5", "pool, linear"]


def test_costs_of_blocks_that_differ_are_those_of_arrays_and_of_fvcore() -> None:
    base = loads(NET, place="net.yaml").architecture()
    factors = np.array([0.25, 0.5, 1.0, 1.3, 2.0, 3.1])
    many = scalenet.cost(base, depth=factors)
    for factor, flops, params in zip(factors, many.flops, many.params, strict=True):
        one = scalenet.scale(base, depth=factor)
        assert (scalenet.cost(one).flops, scalenet.cost(one).params) == (flops, params)
        assert scalenet.measure(one).flops == flops


def test_an_option_that_is_a_row_of_values_is_the_same_for_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    def branched(slot: Slot, *, kernels: tuple[Kernel, ...] = (3, 5), expand: Ratio = 1) -> Layer:
        paths = ((f"k{kernel}", slot.style.conv(slot.in_channels, slot.width, kernel=kernel)) for kernel in kernels)
        assert isinstance(expand, float)
        return Branches(tuple(paths), "add")

    branched.__annotations__.update(slot=Slot, kernels=tuple[Kernel, ...], expand=Ratio)
    monkeypatch.setattr(blocks, "_registered", {"branched": branched})
    stage = "{block: branched, depth: 2, width: 24, kernels: [1, 3, 7], expand: [1.5, 2]}"
    config = loads(one_stage(stage), place="net.yaml")
    convs = scalenet.cost(config.architecture()).frame("layer")
    assert [name.split(".")[2:4] for name in convs.query("kind == 'conv'")["layer"][1:]] == [
        [number, kernel] for number in "01" for kernel in ("k1", "k3", "k7")
    ]
    assert "kernels: [1, 3, 7], expand: [1.5, 2.0]" in dumps(config)
