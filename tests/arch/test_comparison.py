"""Descriptions compared field by field, and stages side by side."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import scalenet
from scalenet.arch.comparison import aligned_stages, differences
from scalenet.arch.config import as_data

DATA = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [("a", 1, 2)]),
        ({"a": 1}, {"b": 1}, [("a", 1, None), ("b", None, 1)]),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3, 4]}}, [("a.b[1]", 2, 3), ("a.b[2]", None, 4)]),
        ({"a": 224}, {"a": [224, 256]}, [("a", 224, [224, 256])]),
    ],
)
def test_each_field_that_differs_is_named_by_its_path(before: Any, after: Any, found: list[Any]) -> None:
    assert differences(before, after) == found


def test_a_path_can_stand_before_every_path() -> None:
    assert [one.path for one in differences({"a": [1]}, {"a": [2]}, "model")] == ["model.a[0]"]


def test_a_changed_stage_is_named_as_in_the_file() -> None:
    b0, b1 = (as_data(scalenet.load(f"efficientnet_b{number}").model) for number in (0, 1))
    assert ("stages[4].depth", 3, 4) in differences(b0, b1)


@given(data=DATA)
def test_nothing_differs_from_itself(data: Any) -> None:
    assert differences(data, data) == []


@given(before=DATA, after=DATA)
def test_differences_read_backwards_are_those_of_the_way_back(before: Any, after: Any) -> None:
    swapped = {(path, new, old) for path, old, new in map(frozen, differences(after, before))}
    assert set(map(frozen, differences(before, after))) == swapped


def frozen(difference: Any) -> tuple[str, str, str]:
    path, *values = difference
    return (path, *map(repr, values))


def test_as_many_stages_are_paired_by_position() -> None:
    pairs = aligned_stages(scalenet.load("resnet18").model, scalenet.load("resnet152").model)
    assert pairs == [(0, 0), (1, 1), (2, 2), (3, 3)]


def test_other_stages_are_paired_by_stride() -> None:
    pairs = aligned_stages(scalenet.load("efficientnet_b0").model, scalenet.load("resnet50").model)
    assert pairs == [(0, None), (1, 0), (2, 1), (3, 2), (4, None), (5, 3), (6, None)]
