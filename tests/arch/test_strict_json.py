"""JSON is JSON: no NaN, no Infinity, no key twice, no number without end."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalenet.arch.strict_json import dumps, loads

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
DATA = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("NaN", "NaN is no number of JSON"),
        ("[-Infinity]", "-Infinity is no number of JSON"),
        ("1e999", "1e999 is no number of JSON"),
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ("9" * 101, "a number has at most 100 digits, this one 101"),
        ("9" * 5000, "a number has at most 100 digits"),
        ("[" * 100_000, "nested too deep"),
        ("{", "Expecting property name"),
    ],
)
def test_what_is_no_json_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        loads(text)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_null(value: float, indent: int | None) -> None:
    assert json.loads(dumps({"a": [value, (1.5, value)]}, indent=indent)) == {"a": [None, [1.5, None]]}


@given(DATA)
def test_what_is_written_is_json(data: object) -> None:
    assert dumps(loads(dumps(data))) == dumps(data)


def test_what_is_not_printable_is_escaped_and_read_back() -> None:
    data = {"\ufeffkey": "line\u2028, turn\u202e, é, ж"}
    text = dumps(data)
    assert text.isprintable()
    assert "é, ж" in text
    assert loads(text) == data
