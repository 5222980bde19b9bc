"""Selection of the best: its range against published tables, other formulas and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from scalenet.search.answer.margins import chance, reach

DUNNETT = {  # one-sided, 1 to 9 treatments and a control (Dunnett 1955, tables 1a and 1b)
    (5, 0.05): [2.02, 2.44, 2.68, 2.85, 2.98, 3.08, 3.16, 3.24, 3.30],
    (10, 0.05): [1.81, 2.15, 2.34, 2.47, 2.56, 2.64, 2.70, 2.76, 2.81],
    (20, 0.05): [1.72, 2.03, 2.19, 2.30, 2.39, 2.46, 2.51, 2.56, 2.60],
    (math.inf, 0.05): [1.64, 1.92, 2.06, 2.16, 2.23, 2.29, 2.34, 2.38, 2.42],
    (10, 0.01): [2.76, 3.11, 3.31, 3.45, 3.56, 3.64, 3.71, 3.78, 3.83],
    (math.inf, 0.01): [2.33, 2.56, 2.68, 2.77, 2.84, 2.89, 2.93, 2.97, 3.00],
}


@pytest.mark.parametrize(("freedom", "error"), DUNNETT)
def test_over_the_root_of_2_it_is_dunnetts_one_sided_table(freedom, error):
    found = [reach(others + 1, freedom, error) / math.sqrt(2) for others in range(1, 10)]
    assert found == pytest.approx(DUNNETT[freedom, error], abs=0.011)


@pytest.mark.parametrize("freedom", [1, 2, 6, 40, 1000, math.inf])
@pytest.mark.parametrize("error", [0.05, 0.005, 0.0005])
def test_of_two_candidates_it_is_students(freedom, error):
    assert reach(2, freedom, error) == pytest.approx(math.sqrt(2) * stats.t.isf(error, freedom), rel=1e-4)


@pytest.mark.parametrize(("candidates", "freedom"), [(3, 2), (4, 6), (5, 40)])
def test_it_is_scipys_multivariate_t(candidates, freedom):
    others = candidates - 1
    together = stats.multivariate_t(shape=0.5 + 0.5 * np.eye(others), df=freedom, seed=0)
    within = together.cdf(np.full(others, reach(candidates, freedom, 0.05) / math.sqrt(2)))
    assert within == pytest.approx(0.95, abs=5e-4)


@pytest.mark.parametrize("candidates", [2, 14, 40])
@pytest.mark.parametrize("freedom", [1, 2, 5])
@pytest.mark.parametrize("error", [0.05, 0.005])
def test_few_degrees_of_freedom_have_a_tail_as_in_simulation(candidates, freedom, error):
    normal = np.random.default_rng(0).normal(size=(20_000, candidates))
    above = np.maximum(normal[:, 1:].max(axis=1) - normal[:, 0], 0)
    small = stats.chi.cdf(above / reach(candidates, freedom, error) * math.sqrt(freedom), freedom)
    assert small.mean() == pytest.approx(error, rel=5 * small.std() / math.sqrt(len(small)) / error)


@given(st.integers(2, 60), st.sampled_from([1, 2, 3, 7, 30, 500, math.inf]), st.floats(1e-4, 0.2))
def test_so_far_the_best_lies_with_the_error_that_is_asked_for(candidates, freedom, error):
    distance = reach(candidates, freedom, error)
    assert chance(distance, candidates, freedom) == pytest.approx(error, rel=1e-4)
    assert chance(1.1 * distance, candidates, freedom) < error < chance(distance, candidates + 1, freedom)
