"""Counts as people write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalenet.arch.amounts import amount
from scalenet.checks.amounts import percent, shown, step


@pytest.mark.parametrize(
    ("text", "count"),
    [("400M", 400_000_000), ("4.1G", 4_100_000_000), ("1.5 k", 1500), ("12_000", 12_000), ("0", 0), ("2B", 2 * 10**9)],
)
def test_counts_are_read_exactly(text: str, count: int) -> None:
    assert amount(text) == count


@pytest.mark.parametrize("text", ["", "M", "-3", "4,1G", "4.1 Giga", "1e9", "400m", "4.G"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write a count as"):
        amount(text)


@given(st.integers(0, 10**15))
def test_what_is_shown_is_within_half_a_percent(count: int) -> None:
    assert abs(amount(shown(count)) - count) <= 0.005 * count


@given(st.integers(1, 10**12), st.integers(-(10**6), 10**6))
def test_a_step_never_looks_like_none(before: int, change: int) -> None:
    after = max(0, before + change)
    first, second = step(before, after).rpartition(" (")[0].split(" → ")
    assert (first == second) == (before == after)


def test_steps_read_as_in_a_review() -> None:
    assert step(4_089_184_256, 4_209_184_256) == "4.09 G → 4.21 G (+2.9 %)"
    assert step(4_089_184_256, 4_089_184_255) == "4,089,184,256 → 4,089,184,255 (−2e-08 %)"
    assert percent(401_659_392, 399_352_864) == "−0.57 %"
