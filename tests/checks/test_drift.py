"""What is drift: exactly as far as a tolerance goes, and no further."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scalenet.checks.comparison import Change, is_drift
from scalenet.checks.lock import TargetCost
from scalenet.checks.project import Gate, Increase


def cost(flops: int) -> TargetCost:
    return TargetCost(input=(), flops=flops, params=1, activations=1, stages={}, uncounted=())


@given(
    before=st.integers(1, 10**12),
    absolute=st.integers(0, 10**6),
    beyond=st.integers(1, 9),
    sign=st.sampled_from([-1, 1]),
)
def test_what_lies_on_a_tolerance_is_no_drift(before: int, absolute: int, beyond: int, sign: int) -> None:
    gates = [Gate(tolerance=Increase(absolute=absolute))]
    before += absolute + beyond

    def drifts(moved: int) -> bool:
        return is_drift("net", Change(cost(before), cost(before + sign * moved)), gates)

    assert not drifts(absolute)
    assert drifts(absolute + beyond)
