"""Ranking: means, margins and ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from scalenet.search.objective import Objective
from scalenet.search.ranking import rank


def table(means, noise, seeds, *, seed=0):
    draw = np.random.default_rng(seed)
    shared = draw.normal(0, 0.05, seeds)
    return {f"c{number}": mean + shared + draw.normal(0, noise, seeds) for number, mean in enumerate(means)}


def test_the_highest_mean_wins_and_clear_losers_do_not_tie():
    ranking = rank([table([0.5, 0.9, 0.7], 0.001, 4)], held_out=1000)
    assert [standing.name for standing in ranking.standings] == ["c1", "c2", "c0"]
    assert ranking.ties == ()
    assert ranking.seed_correlation == pytest.approx(1)


def test_equal_candidates_tie_and_the_correlation_tells_noise():
    ranking = rank([table([0.7] * 12, 0.02, 4)], held_out=1000)
    assert len(ranking.ties) >= 10
    assert abs(ranking.seed_correlation) < 0.5


def test_what_a_seed_does_to_all_candidates_is_not_noise():
    rows = table([0.5, 0.6, 0.7], 0.0, 3)
    assert rank([rows], held_out=1000).noise == pytest.approx(0, abs=1e-12)


def test_noise_is_the_residual_of_the_two_way_layout():
    rows = table([0.5, 0.6, 0.7, 0.8], 0.01, 3)
    values = np.array(list(rows.values()))
    residual = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    ranking = rank([rows], held_out=1000)
    assert ranking.noise**2 == pytest.approx((residual**2).sum() / 6)
    expected = stats.studentized_range.ppf(0.95, 4, 6) * ranking.noise / np.sqrt(3)
    assert ranking.margin == pytest.approx(expected)


def test_the_true_best_is_the_winner_or_ties_with_it_in_95_of_100_searches():
    held = 0
    for seed in range(100):
        ranking = rank([table([0.70, 0.71, 0.69, 0.70, 0.68], 0.02, 3, seed=seed)], held_out=1000)
        held += "c1" in {ranking.winner.name, *(standing.name for standing in ranking.ties)}
    assert held >= 95


def test_one_seed_falls_back_on_the_number_of_held_out_images():
    ranking = rank([{"a": [0.6], "b": [0.5]}], held_out=400)
    assert ranking.seed_correlation is None
    assert ranking.noise == pytest.approx(np.sqrt(0.55 * 0.45 / 400))


def test_two_candidates_have_no_correlation_of_seeds_but_a_margin():
    ranking = rank([{"a": [0.6, 0.7], "b": [0.5, 0.62]}], held_out=400)
    assert ranking.seed_correlation is None
    assert ranking.margin > 0


def test_a_single_candidate_wins_without_a_margin():
    ranking = rank([{"a": [0.6, 0.7]}], held_out=400)
    assert (ranking.winner.name, ranking.margin, ranking.ties) == ("a", 0.0, ())


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=2, max_size=8))
def test_standings_are_sorted_and_ties_are_a_head_of_the_list(rows):
    ranking = rank([{str(number): row for number, row in enumerate(rows)}], held_out=100)
    means = [standing.accuracy for standing in ranking.standings]
    assert means == sorted(means, reverse=True)
    tied = [standing.tied for standing in ranking.standings]
    assert tied == sorted(tied, reverse=True)
    assert ranking.winner.tied


def test_factors_multiply_what_is_ranked_and_leave_the_accuracies():
    rows = {"cheap": [0.70, 0.72, 0.71], "dear": [0.72, 0.73, 0.73]}
    ranking = rank([rows], held_out=None, factors={"cheap": 1.0, "dear": 0.9})
    assert [standing.name for standing in ranking.standings] == ["cheap", "dear"]
    assert ranking.standings[1].score == pytest.approx(0.9 * ranking.standings[1].accuracy)
    assert ranking.standings[1].accuracy == pytest.approx(np.mean(rows["dear"]))


def test_without_seeds_and_images_nothing_is_known_of_the_noise():
    ranking = rank([{"a": [0.6], "b": [0.5]}], held_out=None)
    assert ranking.margin == np.inf
    assert all(standing.tied for standing in ranking.standings)


def test_the_objective_of_the_papers_section_4():
    objective = Objective(goal="accuracy-flops")
    assert objective.factor(2.0, target=2.0) == 1
    assert objective.factor(4.0, target=2.0) == pytest.approx(0.9526, abs=1e-4)  # 2^-0.07
    assert Objective().factor(4.0, target=2.0) == 1
