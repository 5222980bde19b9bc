"""Noise: residuals by least squares, and what the number of images makes of accuracies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalenet.search.noise import Noise, counting_noise, own_noise, residual_noise, rounding_noise


def least_squares(rows):
    """Fit a parameter for each candidate and each seed but the first."""
    most = max(map(len, rows))
    cells = [(number, seed) for number, row in enumerate(rows) for seed in range(len(row))]
    design = np.array([[*np.eye(len(rows))[number], *np.eye(most)[seed][1:]] for number, seed in cells])
    values = np.concatenate(rows)
    residual = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return (residual**2).sum(), len(values) - design.shape[1]


@given(st.lists(st.integers(1, 6), min_size=2, max_size=7), st.integers(0, 1000))
def test_residuals_are_those_of_least_squares(lengths, seed):
    draw = np.random.default_rng(seed)
    rows = [draw.normal(0.7, 0.1, length) for length in lengths]
    squares, freedom = least_squares(rows)
    noise = residual_noise(rows)
    if freedom == 0:
        assert noise is None
    else:
        assert noise is not None
        assert noise.freedom == freedom
        assert noise.deviation**2 * freedom == pytest.approx(squares, rel=1e-9, abs=1e-20)


def test_a_single_candidate_has_its_own_noise():
    assert own_noise([np.array([0.5, 0.7])]) == Noise(pytest.approx(math.sqrt(0.02)), 1)
    assert own_noise([np.array([0.5])]) is None


def test_images_say_how_far_counting_and_rounding_are_off():
    assert counting_noise([[0.5], [0.7]], 1 / 400) == Noise(pytest.approx(math.sqrt(0.24 / 400)), math.inf)
    assert counting_noise([[0.5]], None).deviation == math.inf
    drawn = np.random.default_rng(0).uniform(0.4, 0.6, 100_000)
    assert rounding_noise(1 / 20) == pytest.approx((np.round(20 * drawn) / 20 - drawn).std(), rel=0.01)
    assert Noise(0.0, 3).at_least(0.1) == Noise(0.1, 3)
    assert Noise(0.2, 3).at_least(rounding_noise(None)) == Noise(0.2, 3)
