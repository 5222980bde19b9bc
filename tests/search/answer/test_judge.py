"""The judge: winner, ties and bound from trainings to the end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from scalenet.search.answer.judge import collapsed, judge


def drawn(means, noise, seeds, *, seed=0):
    draw = np.random.default_rng(seed)
    return np.array(means)[:, None] + draw.normal(0, 0.3, seeds) + draw.normal(0, noise, (len(means), seeds))


@st.composite
def tables(draw):
    """Tables of 2 to 6 candidates and 2 to 4 seeds with holes, each candidate with a training."""
    candidates, seeds = draw(st.integers(2, 6)), draw(st.integers(2, 4))
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    table = random.normal(0, 1, (candidates, seeds)) + random.normal(0, 2, (candidates, 1))
    holes = random.random(table.shape) < draw(st.sampled_from([0.0, 0.4]))
    holes[:, 0] = False
    return np.where(holes, np.nan, table)


def test_where_all_are_equally_noisy_the_margin_is_dunnett_s():
    residuals = np.array([[1, -1, 0, 0], [-1, 1, 0, 0], [0, 0, 1, -1], [0, 0, -1, 1], [1, 0, -1, 0], [-1, 0, 1, 0]])
    residuals = np.tile(residuals, 2)  # eight seeds: no candidate's own t is wider
    table = (
        residuals + np.array([0, 300, -200, 150, 70, -90, 20, 400]) + np.array([0, 0.3, 0.1, 0.2, 0.5, 0.4])[:, None]
    )
    verdict = judge(table)
    margin = verdict.bound + 0.1
    freedom = (6 - 1) * (8 - 1)
    assert verdict.noise**2 == pytest.approx((residuals**2).sum() / freedom, rel=1e-3)
    dunnett = stats.multivariate_t(shape=0.5 + 0.5 * np.eye(5), df=freedom, seed=0)
    assert dunnett.cdf(np.full(5, margin / verdict.noise / np.sqrt(2 / 8))) == pytest.approx(0.95, abs=2e-3)


def test_the_noise_is_that_of_the_table():
    assert np.mean([judge(drawn([0.0] * 8, 2.0, 6, seed=seed)).noise for seed in range(20)]) == pytest.approx(
        2, rel=0.1
    )


@given(tables(), st.floats(-100, 100), st.floats(0.001, 1000), st.randoms(use_true_random=False))
def test_order_constants_and_units_do_not_matter(table, constant, unit, random):
    order = random.sample(range(len(table)), len(table))
    one, other = judge(table), judge(unit * table[order] + constant)
    assert order[other.winner] == one.winner
    assert other.over == pytest.approx(unit * one.over[order], rel=1e-5, abs=1e-7 * unit)
    assert other.tied.tolist() == one.tied[order].tolist()


@given(tables())
def test_bounds_are_never_negative_and_the_winner_is_the_highest_mean_and_ties(table):
    verdict = judge(table)
    assert (verdict.over >= 0).all()
    assert verdict.over[verdict.winner] == 0
    assert verdict.tied[verdict.winner]
    assert verdict.means[verdict.winner] == np.nanmax(verdict.means)
    assert (verdict.over[~verdict.tied] == 0).all()


def test_more_trainings_bound_more_closely():
    bounds = [np.mean([judge(drawn([0.0] * 8, 1.0, n, seed=seed)).bound for seed in range(30)]) for n in (2, 4, 8)]
    assert bounds[0] > 1.15 * bounds[1] > 1.5 * bounds[2]


def test_of_candidates_never_trained_nothing_is_known():
    verdict = judge(np.array([[1.0, 1.2, 1.1], [0.2, 0.1, 0.3], [np.nan] * 3]))
    assert (verdict.winner, verdict.bound, verdict.over[2], verdict.tied[2]) == (0, np.inf, np.inf, True)


def test_one_seed_and_two_trainings_that_agree_exactly_say_nothing_of_the_noise():
    assert judge(np.array([[0.5], [0.7], [0.1]])).bound == np.inf
    assert judge(np.array([[0.9, 0.9], [0.8, 0.8]])).bound == np.inf
    assert np.isnan(judge(np.array([[0.5], [0.7]])).noise)


def test_an_evaluator_without_chance_is_sure():
    verdict = judge(np.array([[0.9] * 4, [0.8] * 4, [0.9] * 4, [0.1] * 4]))
    assert (verdict.bound, verdict.tied.tolist()) == (0, [True, False, True, False])


def test_noise_is_at_least_what_is_credible():
    exact = np.array([[1.0] * 4, [0.99] * 4, [0.5] * 4])
    verdict = judge(exact, least=0.02)
    assert verdict.noise == pytest.approx(0.02)
    assert verdict.tied.tolist() == [True, True, False]
    assert verdict.bound > 0.01


def test_noise_that_is_foreseen_makes_bounds_closer_and_none_too_close_by_chance():
    tables = [drawn([0] * 6, 1, 2, seed=seed) for seed in range(200)]
    blind, seeing = ([judge(table, foreseen=foreseen) for table in tables] for foreseen in (None, 1.0))
    unknown, known = (np.array([verdict.bound for verdict in verdicts]) for verdicts in (blind, seeing))
    assert known.mean() < 0.95 * unknown.mean()
    assert known.std() < 0.8 * unknown.std()
    assert np.mean([verdict.tied[0] for verdict in seeing]) >= 0.93  # of 200; 95 % is promised


def test_many_trainings_outweigh_what_was_foreseen():
    few, many = drawn([0] * 6, 1, 2), drawn([0] * 6, 1, 200)
    changes = [judge(table, foreseen=1.5).bound / judge(table).bound for table in (few, many)]
    assert changes[0] > 1.1
    assert 1 <= changes[1] < 1.02


def test_a_single_candidate_has_nobody_above_it():
    assert judge(np.array([[0.5, 0.6]])).bound == 0
    assert judge(np.array([[0.5]])).bound == 0


def test_the_bound_holds_and_the_best_ties_in_95_of_100_tables():
    held = tied = 0
    for seed in range(200):
        means = np.random.default_rng(seed).normal(0, 0.7, 10)
        verdict = judge(drawn(means, 1.0, 4, seed=1000 + seed))
        held += means.max() - means[verdict.winner] <= verdict.bound
        tied += verdict.tied[means.argmax()]
    assert held >= 195
    assert tied >= 188


def test_the_worst_case_is_one_that_is_as_much_better_as_the_range_and_it_is_kept():
    missed = 0
    for seed in range(150):
        table = drawn([2.4] + [0.0] * 9, 1.0, 4, seed=seed)
        missed += not judge(table).tied[0]
    assert missed <= 0.07 * 150


def test_one_noisy_best_is_kept_more_often_than_by_pooled_noise():
    kept = pooled = 0
    for seed in range(200):
        table = drawn([0.0] * 12, 1.0, 4, seed=seed)
        table[0] = np.random.default_rng(9000 + seed).normal(0, 4, 4)
        kept += judge(table).tied[0]
        residual = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
        margin = 3.62 * np.sqrt((residual**2).sum() / 33 / 4)  # Gupta's range for 12 candidates, 33 degrees, 95 %
        pooled += table.mean(1).max() - table[0].mean() <= margin
    assert kept > pooled
    assert kept >= 180


def test_collapsed_trainings_are_left_out_and_told():
    table = drawn(np.linspace(0, 2, 6), 1.0, 5)
    sound = judge(table)
    table[5, 2] -= 40
    verdict = judge(table)
    assert np.argwhere(verdict.collapsed).tolist() == [[5, 2]]
    assert verdict.winner == 5
    assert verdict.bound < 2 * sound.bound
    assert np.argwhere(judge(table[:, 1:3]).collapsed).tolist() == [[5, 1]], "of two trainings it is the lower one"
    assert not judge(table[:, 2:3]).collapsed.any(), "a candidate's only training has nothing to be compared with"


def test_collapsed_trainings_do_not_hide_each_other():
    table = drawn(np.zeros(6), 1.0, 3)
    table[[0, 1, 2], [0, 1, 2]] -= 20
    table[3:, 2] = np.nan
    assert np.argwhere(collapsed(table)).tolist() == [[0, 0], [1, 1], [2, 2]]


def test_few_trainings_tell_of_a_collapse_where_noise_is_foreseen():
    draw = np.random.default_rng(4)
    table = draw.normal(0, 1, (3, 2))
    table[[0, 2], [1, 0]] -= 20
    assert not collapsed(table).any(), "nothing tells how noisy trainings are"
    assert np.argwhere(collapsed(table, foreseen=1.0)).tolist() == [[0, 1], [2, 0]]
    assert not collapsed(table, foreseen=10.0).any()


def test_two_of_three_trainings_may_collapse():
    draw = np.random.default_rng(5)
    table = draw.normal(0, 1, (6, 3))
    table[2, [0, 2]] -= 20
    assert np.argwhere(collapsed(table)).tolist() == [[2, 0], [2, 2]]


def test_steps_of_one_held_out_image_are_no_collapse():
    table = np.full((6, 4), 0.75)
    table[2, 1] -= 1 / 24
    table[4, 0] -= 2 / 24
    assert not collapsed(table).any()


def test_few_alarms_where_nothing_collapsed():
    draw = np.random.default_rng(0)
    assert sum(collapsed(draw.normal(0, 1, (8, 4))).any() for _ in range(200)) <= 2
    for size in ((2, 2), (3, 2), (5, 3), (8, 4)):
        assert sum(collapsed(draw.normal(0, 2, size), foreseen=1.0).any() for _ in range(200)) <= 2, size


def test_a_noisy_candidate_is_told():
    table = drawn([0.0] * 10, 1.0, 6)
    assert not judge(table).noisier.any()
    table[3] = [-9, 8, 12, -7, 3, -8]
    assert np.flatnonzero(judge(table).noisier).tolist() == [3]
