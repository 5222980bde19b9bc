"""Rules: from a rule's numbers to the multipliers of depth, width and resolution."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scalenet
from scalenet.arch.config import CompoundRule, MultipliersRule, SharesRule
from scalenet.arch.errors import ScalenetError
from scalenet.scaling.presets import preset
from scalenet.scaling.rules import (
    PAPER_COEFFICIENTS,
    SHARES,
    Multipliers,
    checked,
    compound,
    multipliers,
    shares,
    tiny_curves,
)

PHIS = st.floats(-8, 8)


def test_the_paper_s_coefficients_nearly_double_the_cost_a_step() -> None:
    assert compound(**PAPER_COEFFICIENTS, phi=1).flops_ratio == pytest.approx(1.92027)


def test_phi_1_is_the_coefficients_and_phi_0_is_the_base() -> None:
    assert scalenet.compound(1.2, 1.1, 1.15, 1) == Multipliers(depth=1.2, width=1.1, resolution=1.15)
    assert scalenet.compound(1.2, 1.1, 1.15, 0) == (1, 1, 1)


def test_the_paper_s_example_of_d_1_4_w_1_2_r_1_3_is_phi_2() -> None:
    assert [round(factor, 1) for factor in scalenet.compound(1.2, 1.1, 1.15, 2)] == [1.4, 1.2, 1.3]


@given(PHIS)
def test_a_negative_phi_undoes_a_positive_one(phi: float) -> None:
    up, down = compound(1.2, 1.1, 1.15, phi), compound(1.2, 1.1, 1.15, -phi)
    assert all(more * less == pytest.approx(1) for more, less in zip(up, down, strict=True))


def test_a_phi_too_large_to_scale_by_is_a_plain_error() -> None:
    with pytest.raises(scalenet.ScalenetError, match="phi = 5000 is too large"):
        scalenet.compound(1.2, 1.1, 1.15, 5000)


@given(st.floats(-1, 2), st.floats(-1, 2), PHIS)
def test_shares_that_add_up_to_one_cost_two_to_the_phi(depth: float, width: float, phi: float) -> None:
    factors = shares(depth, width, 1 - depth - width, phi)
    assert factors.flops_ratio == pytest.approx(2**phi)


@pytest.mark.parametrize("name", ["depth", "width", "resolution"])
@given(phi=PHIS)
def test_a_corner_scales_one_dimension_alone(name: str, phi: float) -> None:
    factors = shares(*SHARES[name], phi)._asdict()
    own = factors.pop(name)
    assert own == pytest.approx(2 ** (phi if name == "depth" else phi / 2))
    assert set(factors.values()) == {1.0}


@given(PHIS)
def test_dwr_is_s_to_the_0_1_0_4_and_0_05(phi: float) -> None:
    s = 2**phi
    assert shares(*SHARES["dwr"], phi) == pytest.approx((s**0.1, s**0.4, s**0.05))


@pytest.mark.parametrize("named", SHARES.values(), ids=SHARES)
def test_named_shares_add_up_to_one(named: tuple[float, float, float]) -> None:
    assert sum(named) == pytest.approx(1)


def test_shares_that_do_not_add_up_to_one_are_refused() -> None:
    with pytest.raises(ValueError, match=r"add up to 1\.5, not to 1"):
        SharesRule(depth=0.5, width=0.5, resolution=0.5, phi=1.0)


def test_shares_that_add_up_to_one_but_for_the_noise_of_floats_are_taken() -> None:
    assert SharesRule(depth=0.1, width=0.7, resolution=0.2, phi=1.0).width == 0.7


@given(PHIS)
def test_equal_rules_of_both_kinds_ask_for_the_same(phi: float) -> None:
    depth, width, resolution = 0.28, 0.29, 0.43
    rule = SharesRule(depth=depth, width=width, resolution=resolution, phi=phi)
    same = CompoundRule(alpha=2**depth, beta=2 ** (width / 2), gamma=2 ** (resolution / 2), phi=phi)
    assert multipliers(rule) == pytest.approx(multipliers(same))


@given(st.floats(0.1, 4), st.floats(0.1, 4), st.floats(0.1, 4))
def test_given_multipliers_are_asked_for_as_they_are(depth: float, width: float, resolution: float) -> None:
    rule = MultipliersRule(depth=depth, width=width, resolution=resolution)
    assert multipliers(rule) == (depth, width, resolution)


@pytest.mark.parametrize(
    "wrong", [{"alpha": 0.0}, {"beta": -1.0}, {"gamma": math.inf}, {"phi": math.nan}, {"phi": math.inf}, {"alpha": "1"}]
)
def test_coefficients_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CompoundRule(**{"alpha": 1.2, "beta": 1.1, "gamma": 1.15, "phi": 1.0, **wrong})


@pytest.mark.parametrize("coefficients", [(0, 1.1, 1.1, -1), (-1.2, 1.1, 1.1, 0.5), (1.2, 1.1, 1.1, math.nan)])
def test_compound_refuses_what_makes_no_sense(coefficients: tuple[float, float, float, float]) -> None:
    with pytest.raises(scalenet.ScalenetError):
        scalenet.compound(*coefficients)


@pytest.mark.parametrize("name", [f"tinynet_{letter}" for letter in "abcde"])
def test_the_tiny_curves_go_through_the_tinynets(name: str) -> None:
    published = preset(name)
    phi = math.log2(scalenet.cost(scalenet.load(name)).flops / scalenet.cost(scalenet.load("efficientnet_b0")).flops)
    depth, resolution = 2 ** np.array(tiny_curves(np.array([phi])))[:, 0]
    assert depth == pytest.approx(published.depth, rel=2e-3)
    assert resolution == pytest.approx(published.resolution / 224, rel=1e-2)


def test_the_tiny_curves_start_at_the_base() -> None:
    assert np.array(tiny_curves(np.zeros(1))).tolist() == [[0], [0]]


def test_the_ends_of_the_range_of_multipliers_belong_to_it() -> None:
    ends = Multipliers(1e-6, 1e6, 1.0)
    assert checked(ends) == ends
    for wrong in (0.99e-6, 1.01e6, float("nan")):
        with pytest.raises(ScalenetError, match="out of range"):
            checked(ends._replace(resolution=wrong))
