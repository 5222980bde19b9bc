"""Intervals of contrasts: those of the paired t-test and of McNemar's, and as often right as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from scalenet.studies.contrasts import Scored, mean_of, minus, slope_weights


def test_two_networks_over_seeds_are_compared_by_the_paired_t_test():
    table = np.array([[0.50, 0.55, 0.52, 0.58], [0.47, 0.50, 0.50, 0.51]])
    found = Scored(("a", "b"), table).accuracy({"a": 1.0, "b": -1.0})
    paired = stats.ttest_rel(*table).confidence_interval(0.95)
    assert (found.value - found.half, found.value + found.half) == pytest.approx((paired.low, paired.high))
    assert found.told == (paired.low > 0)
    assert found.images == 0


def test_images_pair_networks_as_in_mcnemars_test():
    random = np.random.default_rng(0)
    first, second = random.random((2, 500)) < np.array([[0.6], [0.55]])
    right = np.array([first, second], dtype=float)
    one_seed = Scored(("a", "b"), right.mean(axis=1, keepdims=True), right).accuracy({"a": 1.0, "b": -1.0})
    only_first, only_second = (first & ~second).sum(), (second & ~first).sum()
    variance = (only_first + only_second - (only_first - only_second) ** 2 / 500) / 500 / 499
    assert one_seed.images == pytest.approx(math.sqrt(variance))
    assert math.isnan(one_seed.half), "one seed does not tell the noise of a training"
    assert not one_seed.told


def test_a_slope_is_that_of_the_line_through_log_errors():
    errors = np.array([0.5, 0.4, 0.36, 0.3])
    costs = [1.0, 2.0, 4.1, 7.9]
    table = 1 - np.array([errors, errors * 1.01]).T
    names = ("a", "b", "c", "d")
    found = Scored(names, table).slope(names, costs)
    line = stats.linregress(np.log2(costs), np.log2(1 - table).mean(axis=1))
    assert found.value == pytest.approx(line.slope)
    assert sum(slope_weights(names, costs).values()) == pytest.approx(0)


def test_a_network_that_two_series_share_differs_by_nothing():
    table = np.array([[0.5, 0.51], [0.6, 0.59]])
    found = Scored(("a", "b"), table).accuracy(minus(mean_of(["a", "b"]), mean_of(["b", "a"])))
    assert (found.value, found.half, found.told) == (0, 0, False)


def test_intervals_hold_as_often_as_they_say_where_seeds_and_images_both_draw():
    """300 simulated studies of four networks, equal in truth: trainings and held-out images are drawn anew."""
    random = np.random.default_rng(1)
    missed = 0
    for _ in range(300):
        hardness = random.normal(0, 1, 800)
        own = random.normal(0, 0.3, (4, 800))  # what an image is to a network, whatever its seed
        chances = [[stats.norm.cdf(hardness + row + random.normal(0, 0.06)) for _ in range(3)] for row in own]
        right = random.random((4, 3, 800)) < np.array(chances)
        scored = Scored(("a", "b", "c", "d"), right.mean(axis=2), right.mean(axis=1))
        missed += scored.accuracy({"a": 1.0, "b": -1.0}).told
    assert 0.005 <= missed / 300 <= 0.08
