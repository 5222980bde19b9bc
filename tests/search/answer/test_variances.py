"""Variances of single candidates: the likelihood, what they are drawn to, and who is noisier."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from scalenet.search.answer.variances import log_likelihood, noisier, shrink


@pytest.mark.parametrize("prior", [2.0, 5.0, 40.0])
def test_the_likelihood_is_that_of_a_scaled_f(prior):
    variances, freedom = np.array([0.2, 1.0, 3.0]), np.array([1.0, 3.0, 6.5])
    expected = stats.f.logpdf(variances / 0.7, freedom, prior) - np.log(0.7)
    assert log_likelihood(variances, freedom, prior, 0.7) == pytest.approx(expected)


def test_the_likelihood_of_an_infinite_prior_is_that_of_a_scaled_chi_squared():
    variances, freedom = np.array([0.2, 1.0, 3.0]), np.array([1.0, 3.0, 6.5])
    expected = stats.chi2.logpdf(variances / 0.7, freedom, scale=1 / freedom) - np.log(0.7)
    assert log_likelihood(variances, freedom, np.inf, 0.7) == pytest.approx(expected)


def test_equal_noise_is_pooled_and_unequal_noise_is_kept_apart():
    draw, freedom = np.random.default_rng(0), np.full(40, 6.0)
    alike = shrink(draw.chisquare(6, 40) / 6, freedom)
    assert alike.variances.std() / alike.variances.mean() < 0.2
    assert alike.freedom.min() > 30
    truth = 1 / draw.chisquare(3, 40)
    apart = shrink(truth * draw.chisquare(6, 40) / 6, freedom)
    assert np.corrcoef(np.log(truth), np.log(apart.variances))[0, 1] > 0.7
    assert apart.freedom.max() < 15


def test_drawn_variances_are_nearer_to_the_truth_than_measured_ones():
    draw, freedom = np.random.default_rng(1), np.full(15, 3.0)
    off = np.zeros(2)
    for _ in range(100):
        truth = 4 / draw.chisquare(8, 15)
        own = truth * draw.chisquare(3, 15) / 3
        off += [np.square(np.log(found / truth)).mean() for found in (own, shrink(own, freedom).variances)]
    assert off[1] < 0.4 * off[0]


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=8), st.floats(1e-6, 1e6))
def test_units_do_not_matter(values, unit):
    variances, freedom = np.array(values), np.full(len(values), 3.0)
    one, other = shrink(variances, freedom), shrink(unit * variances, freedom)
    assert other.variances == pytest.approx(unit * one.variances)
    assert other.freedom == pytest.approx(one.freedom)


def test_candidates_without_freedom_get_the_common_variance():
    found = shrink(np.array([1.0, 1.2, 0.0]), np.array([5.0, 5.0, 0.0]))
    assert found.variances[2] > 0.2


def test_one_noisy_candidate_is_found_and_false_alarms_are_as_rare_as_promised():
    draw, freedom = np.random.default_rng(2), np.full(8, 3.0)
    alarms = [noisier(draw.chisquare(3, 8) / 3, freedom).any() for _ in range(1000)]
    assert 0.03 < np.mean(alarms) < 0.07
    hits = [noisier(np.array([16.0] + [1] * 7) * draw.chisquare(3, 8) / 3, freedom)[0] for _ in range(200)]
    assert np.mean(hits) > 0.6
