"""Spaces of networks: what a file may say, how many members there are, and that each of them is a network."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_space import SMALL, every, tiny

from scalenet.arch import strict_yaml
from scalenet.arch.config import as_data, dumps, loads, read_record
from scalenet.arch.errors import ScalenetError, UnknownNameError
from scalenet.costs.counter import measure
from scalenet.costs.formula import cost
from scalenet.costs.memory import memory
from scalenet.model.builder import build
from scalenet.spaces.costs import COUNTS, Tables, tables_of
from scalenet.spaces.limits import read_limits
from scalenet.spaces.members import Membership
from scalenet.spaces.space import Space, files, load_space


@cache
def mnasnet() -> Membership:
    return Membership(load_space("mnasnet"), read_limits(flops="400M±2%", params="6M"))


def test_mnasnets_space_is_as_large_as_published():
    space = load_space("mnasnet")
    assert space.choices == 324**7  # Tan et al. 2019, section 4.1: options listed there, multiplied
    assert space.size == 216**2 * 324**5  # a stage of one block less one is still of one block


def test_options_count_for_the_blocks_that_have_them():
    space = tiny()
    assert space.variants == ((4 + 2) * 2 * 2, 2 * 2 * 2)
    assert space.choices == 24 * 12
    assert len({space.network(member) for member in every(space).tolist()}) == 24 * 8


@pytest.mark.parametrize("name", files())
def test_shipped_spaces_are_read_as_they_are_written(name):
    space = load_space(name)
    assert read_record(Space, strict_yaml.dump(as_data(space)), name) == space


@pytest.mark.parametrize("space", [*map(load_space, files()), tiny()], ids=lambda space: space.name)
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_each_member_costs_what_the_formula_says(space, data):
    tables = tables_once(space.name, space)
    member = [data.draw(st.integers(0, number - 1)) for number in space.variants]
    whole = cost(space.network(member))
    found = tables.costs(np.array([member]))
    assert [getattr(whole, name) for name in COUNTS] == found[:, 0].tolist()


KNOWN: dict[str, Tables] = {}


def tables_once(name: str, space: Space) -> Tables:
    if name not in KNOWN:
        KNOWN[name] = tables_of(space)
    return KNOWN[name]


@pytest.mark.parametrize("name", files())
def test_members_are_built_and_cost_what_fvcore_counts(name):
    space = load_space(name).changed_to(resolution=32, classes=10)
    members = Membership(space, read_limits(flops="100k..1G"), tables_once(name, load_space(name)))
    member = np.random.default_rng(0).integers(space.variants)
    config = members.config(members.name(member))
    assert loads(dumps(config)) == config
    counted = measure(build(config.model), torch.zeros(1, 3, 32, 32))
    assert counted.flops_by_operator == config.cost.flops_by_operator
    assert counted.params == config.cost.params


def test_names_say_all_choices():
    members = mnasnet()
    for member in members.draw(20, np.random.default_rng(0)).members:
        assert members.member(members.name(member)).tolist() == member.tolist()
    with pytest.raises(ScalenetError, match="no member of the space mnasnet"):
        members.member("mnasnet_zzz-1-1-1-1-1-1")


def test_members_are_drawn_uniformly_among_those_that_meet_a_band():
    space = tiny()
    tables = tables_of(space)
    costs = tables.costs(every(space))[0]
    low, high = np.percentile(costs, [40, 60]).astype(int)
    inside = set(np.flatnonzero((costs >= low) & (costs <= high)).tolist())
    members = Membership(space, read_limits(flops=f"{low}..{high}"))
    counted = np.zeros(space.size)
    for seed in range(300):
        drawn = members.draw(1, np.random.default_rng(seed))
        counted[np.ravel_multi_index(tuple(drawn.members[0]), space.variants)] += 1
        assert drawn.share == len(inside) / space.size
    assert set(np.flatnonzero(counted).tolist()) <= inside
    expected = 300 / len(inside)
    assert ((counted[list(inside)] - expected) ** 2 / expected).sum() < 2 * len(inside)  # χ², far beyond any chance
    networks = {members.network(every(space)[place]) for place in inside}
    assert len(members.draw(10_000, np.random.default_rng(0)).members) == len(networks)  # all there are


def test_mutants_stay_inside_the_band_and_near_their_parent():
    members = mnasnet()
    random = np.random.default_rng(0)
    parent = members.draw(1, random).members[0]
    mutants = members.mutants(parent, random)
    assert len(mutants) > 20
    counts = members.counts(mutants)
    assert ((counts["flops"] >= 392_000_000) & (counts["flops"] <= 408_000_000) & (counts["params"] <= 6_000_000)).all()
    changed = (mutants != parent).sum(axis=1)
    assert changed.min() >= 1
    assert changed.max() <= 3
    assert (np.diff(changed) >= 0).all()


def test_members_keep_a_limit_of_memory():
    space = tiny()
    members = Membership(space, read_limits(flops="1k..1G", memory="60KiB"))
    for member in members.draw(3, np.random.default_rng(0)).members:
        assert memory(space.network(member.tolist())).peak <= 60 * 1024


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"flops": "10M"}, r"no member of mnasnet costs 9.8 M to 10.2 M flops: the nearest has 43.75 M flops"),
        ({"flops": "9G"}, r"the nearest has 1.564 G flops"),
        ({"flops": "400M", "params": "1M"}, r"and at most 1 M params: the nearest has 1.668 M params"),
    ],
)
def test_a_band_that_no_member_meets_is_refused_with_the_nearest_cost(limits, said):
    with pytest.raises(ScalenetError, match=said):
        Membership(mnasnet().space, read_limits(**limits), mnasnet().tables).draw(1, np.random.default_rng(0))


def test_a_gap_between_costs_is_refused_with_the_nearest_cost():
    space = tiny()
    costs = np.unique(tables_of(space).costs(every(space))[0])
    gap = int(np.argmax(np.diff(costs)))
    inside = int(costs[gap] + (costs[gap + 1] - costs[gap]) // 3)
    with pytest.raises(ScalenetError, match=f"the nearest found has {costs[gap]:,} flops"):
        Membership(space, read_limits(flops=f"{inside}..{inside + 1}")).draw(1, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("400M±2%", 392, 408), ("400M+-5%", 380, 420), ("300M..400M", 300, 400), ("400M", 392, 408), (400e6, 392, 408)],
)
def test_bands_are_read_as_people_write_them(text, low, high):
    found = read_limits(flops=int(text) if isinstance(text, float) else text).flops
    assert (found.low, found.high) == (low * 10**6, high * 10**6)


@pytest.mark.parametrize("text", ["4x", "", "400M±", "400M±200%", "400M..300M", "0", "-5M", "400M±2"])
def test_what_is_no_band_is_refused(text):
    with pytest.raises(ScalenetError, match="--flops"):
        read_limits(flops=text)


@pytest.mark.parametrize(
    ("text", "other", "said"),
    [
        ("kernel: [3, 5]", "kernel: [3, 4]", r"tiny.yaml:11: model.stages\[0\].kernel: a kernel size must be odd"),
        ("mnas_mbconv", "mnas_mbcon", "unknown block 'mnas_mbcon'; did you mean 'mnas_mbconv'"),
        (" kernel: [3, 5]", " kernal: [3, 5]", "kernal: no option of mnas_mbconv or basic; did you mean 'kernel'"),
        ("activation: relu", "activation: rilu", "model.activation: expected 'relu'"),
        ("norm:", "nrm:", "model.nrm: unknown key"),
        ("width: [8, 12]", "width: [8, 8]", "width lists a choice twice"),
        ("width: 16", "width: [16, 32]", "width lists choices, and so does times"),
        ("rounding: fine", "rounding: fin", "unknown rounding set 'fin'"),
        ("depth: [1, 2]", "depth: [0, 2]", r"depth\[0\]: expected greater than or equal to 1"),
        ("depth: [1, 2]", "depth: []", "depth"),
        ("[mnas_mbconv, basic]", "[mnas_mbconv, dense]", "blocks of dense grow with their place"),
        ("[mnas_mbconv, basic]", "[mnas_mbconv, bottleneck]", "leave different maps for one width"),
        ("scalenet-space/1", "scalenet-grid/1", "schema"),
        ("kernel: [3, 5]", "kernel: [[3, 5], 3]", "kernel"),
    ],
)
def test_a_file_that_is_no_space_is_refused_where_it_is_wrong(text, other, said):
    with pytest.raises(ScalenetError, match=said):
        tables_of(tiny(SMALL.replace(text, other, 1)))


def test_spaces_are_found_by_name_and_by_path(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(SMALL)
    assert load_space(file) == tiny()
    assert load_space("small-images").name == "small_images"
    with pytest.raises(UnknownNameError, match="unknown space 'mnasnt'"):
        load_space("mnasnt")
