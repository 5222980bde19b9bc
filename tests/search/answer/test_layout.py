"""Layout: candidate + seed by weighted least squares, against closed forms and another solver."""

from __future__ import annotations

import numpy as np
import pytest

from scalenet.search.answer.layout import fit


def holes(candidates, seeds, *, seed=0, seed_effect=0.0):
    """A table with noise 1 in which only the first candidate has all trainings."""
    draw = np.random.default_rng(seed)
    table = draw.normal(0, 1, (candidates, seeds)) + np.arange(candidates)[:, None]
    table += seed_effect * draw.normal(0, 1, seeds)
    for place in range(1, candidates):
        table[place, 1 + draw.integers(0, seeds) :] = np.nan
    return table


def test_a_whole_table_gives_plain_means_and_the_differences_of_two_way_analysis_of_variance():
    table = np.random.default_rng(1).normal(0, 1, (5, 4)) + 50 * np.random.default_rng(2).normal(0, 1, 4)
    layout = fit(table)
    residual = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    assert layout.means == pytest.approx(table.mean(1))
    assert layout.differences == pytest.approx(2 / 4 * (1 - np.eye(5)), abs=1e-6)
    assert layout.residuals == pytest.approx(residual, abs=1e-2), "seeds this far apart are next to free"
    assert layout.freedom.sum() == pytest.approx(4 * 3, abs=0.01)


def test_with_holes_and_weights_it_is_what_a_general_solver_finds_where_seeds_differ_by_much():
    table, variances = holes(6, 5, seed_effect=100), np.array([1, 2, 0.5, 1, 4, 1.0])
    layout = fit(table, variances)
    row, column = np.nonzero(~np.isnan(table))
    design = np.concatenate([np.eye(6)[row], np.eye(5)[column][:, 1:]], axis=1)
    root = 1 / np.sqrt(variances[row])
    found = np.linalg.lstsq(design * root[:, None], table[row, column] * root, rcond=None)[0][:6]
    assert np.subtract.outer(layout.means, layout.means) == pytest.approx(np.subtract.outer(found, found), abs=0.02)


def test_where_seeds_do_nothing_a_candidate_s_mean_is_its_own():
    table = holes(6, 5)
    assert fit(table).means == pytest.approx(np.nanmean(table, axis=1), abs=0.05)


def test_a_seed_that_one_candidate_alone_has_still_counts():
    table = np.full((3, 6), np.nan)
    table[:, :2], table[0] = np.random.default_rng(3).normal(0, 1, (3, 2)), np.random.default_rng(4).normal(0, 1, 6)
    assert fit(table).differences[0, 1] < 0.9, "between 1/2 + 1/6 of free means, and 1 of common seeds alone"


def test_own_variances_are_unbiased():
    draw = np.random.default_rng(5)
    deviations, found = np.array([1, 1, 2, 3.0]), []
    for _ in range(400):
        table = draw.normal(0, 1, (4, 6)) * deviations[:, None]
        table[0, 4:] = table[2, 5:] = np.nan
        table += 10 * draw.normal(0, 1, 6)
        found.append(fit(table, deviations**2).variances())
    assert np.mean(found, axis=0) == pytest.approx(deviations**2, rel=0.12)


def test_candidates_without_trainings_have_no_mean():
    table = np.array([[1.0, 2.0], [np.nan, np.nan], [3.0, np.nan]])
    layout = fit(table)
    assert np.isnan(layout.means).tolist() == [False, True, False]
    assert np.isnan(layout.covariance[1]).all()
    assert layout.freedom[1] == 0
