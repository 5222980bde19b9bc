"""Budgets of time, with a clock that counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import scalenet
from scalenet.arch.config import BudgetRule, CompoundRay
from scalenet.arch.errors import ScalenetError
from scalenet.scaling.timing import scale_within

if TYPE_CHECKING:
    from scalenet.arch.spec import Architecture

BASE = scalenet.load("mobilenet_v2")
RULE = BudgetRule(ray=CompoundRay(alpha=1.2, beta=1.1, gamma=1.15), metric="flops", value=scalenet.cost(BASE).flops)


def seconds(architecture: Architecture) -> float:
    """Take 1 ms, and 10 ms for a billion activations and FLOPs each."""
    counts = scalenet.cost(architecture)
    return 1e-3 + 1e-11 * counts.flops + 1e-9 * counts.activations


@pytest.mark.parametrize("asked", [5e-3, 12e-3, 50e-3, 0.4])
def test_the_network_is_within_tolerance_below_the_time(asked: float) -> None:
    config, taken = scale_within(BASE, RULE, asked, seconds, capped=False)
    assert 0.95 * asked <= taken <= asked
    assert taken == seconds(config.architecture())


def test_a_cap_that_is_fast_enough_is_the_answer() -> None:
    config, taken = scale_within(BASE, RULE, 1.0, seconds)
    assert config.cost is not None
    assert config.cost.flops == pytest.approx(RULE.value, rel=0.01)
    assert taken < 1


def test_a_cap_that_is_too_slow_gives_way() -> None:
    config, taken = scale_within(BASE, RULE, 5e-3, seconds)
    assert config.cost is not None
    assert config.cost.flops < RULE.value
    assert taken <= 5e-3


def test_a_time_that_nothing_keeps_is_an_error() -> None:
    with pytest.raises(ScalenetError, match=r"no network of this ray takes 0.5 ms or less"):
        scale_within(BASE, RULE, 5e-4, seconds, capped=False)


def test_a_time_that_asks_for_less_than_one_flop_is_an_error() -> None:
    with pytest.raises(ScalenetError, match=r"no network of this ray takes 1e-12 ms or less"):
        scale_within(BASE, RULE, 1e-15, seconds, capped=False)


def test_a_noisy_clock_never_gives_a_network_that_was_too_slow() -> None:
    noise = iter([1.3, 0.8, 1.1, 0.7, 1.4, 0.9, 1.2, 0.75, 1.0, 1.3, 0.8, 1.1])
    _, taken = scale_within(BASE, RULE, 12e-3, lambda network: seconds(network) * next(noise), capped=False)
    assert taken <= 12e-3
