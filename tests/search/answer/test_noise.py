"""Noise: what is measured, and what the number of images makes of accuracies."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scalenet.search.answer.noise import Noise, foreseen_noise, own_noise, residual_noise, rounding_noise


def test_the_noise_of_simulated_trainings_is_found_whatever_seeds_and_candidates_do():
    draw = np.random.default_rng(0)
    table = draw.normal(0, 5, (40, 1)) + draw.normal(0, 3, (1, 30)) + draw.normal(0, 0.2, (40, 30))
    assert residual_noise(table) == Noise(pytest.approx(0.2, rel=0.05), 39 * 29)
    assert residual_noise(table[:1]) is residual_noise(table[:, :1]) is None


def test_a_single_candidate_has_its_own_noise():
    assert own_noise(np.array([[0.5, 0.7]])) == Noise(pytest.approx(math.sqrt(0.02)), 1)
    assert own_noise(np.array([[0.5]])) is None


def test_images_say_how_far_trainings_and_rounding_are_off():
    counted = math.sqrt(0.24 / 400)
    assert counted < foreseen_noise(np.array([[0.5], [0.7]]), 400) < 1.05 * counted
    assert 0 < foreseen_noise(np.array([[1.0]]), 400) < 0.1 * counted
    assert foreseen_noise(np.array([[0.5]]), None) is foreseen_noise(np.array([]), 400) is None
    drawn = np.random.default_rng(0).uniform(0.4, 0.6, 100_000)
    assert rounding_noise(1 / 20) == pytest.approx((np.round(20 * drawn) / 20 - drawn).std(), rel=0.01)
    assert Noise(0.0, 3).at_least(0.1) == Noise(0.1, 3)
    assert Noise(0.2, 3).at_least(rounding_noise(None)) == Noise(0.2, 3)
