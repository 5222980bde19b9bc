"""Ranking: means, margins and ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from scalenet.search.answer.margins import reach
from scalenet.search.answer.ranking import rank
from scalenet.search.space.objective import Objective


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
    assert rank([rows], held_out=None).noise == pytest.approx(0, abs=1e-12)


def test_noise_is_the_residual_of_the_two_way_layout():
    rows = table([0.5, 0.6, 0.7, 0.8], 0.01, 3)
    values = np.array(list(rows.values()))
    residual = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    ranking = rank([rows], held_out=1000)
    assert ranking.noise**2 == pytest.approx((residual**2).sum() / 6)
    assert ranking.winner.interval == pytest.approx(stats.t.ppf(0.975, 6) * ranking.noise / np.sqrt(3))


def test_the_margin_is_the_one_sided_range_for_the_share_of_the_errors_that_is_not_kept_for_tie_rounds():
    ranking = rank([table([0.5, 0.6, 0.7, 0.8], 0.01, 3)], held_out=1000)
    distance = ranking.margin * np.sqrt(3) / ranking.noise
    dunnett = stats.multivariate_t(shape=0.5 + 0.5 * np.eye(3), df=6, seed=0)
    assert dunnett.cdf(np.full(3, distance / np.sqrt(2))) == pytest.approx(0.96, abs=5e-4)


def test_the_true_best_is_the_winner_or_ties_with_it_in_95_of_100_searches():
    held = 0
    for seed in range(100):
        ranking = rank([table([0.70, 0.71, 0.69, 0.70, 0.68], 0.02, 3, seed=seed)], held_out=1000)
        held += "c1" in {ranking.winner.name, *(standing.name for standing in ranking.ties)}
    assert held >= 95


def test_one_seed_falls_back_on_the_number_of_held_out_images():
    ranking = rank([{"a": [0.6], "b": [0.5]}], held_out=400)
    assert ranking.seed_correlation is None
    counted = np.sqrt(0.55 * 0.45 / 400)
    assert counted < ranking.noise < 1.05 * counted, "trainings differ by more than their images"


def test_two_candidates_have_no_correlation_of_seeds_but_a_margin():
    ranking = rank([{"a": [0.6, 0.7], "b": [0.5, 0.62]}], held_out=400)
    assert ranking.seed_correlation is None
    assert ranking.margin > 0


def test_a_single_candidate_wins_without_a_margin_by_a_mean_that_is_as_sure_as_its_seeds():
    scores = [0.60, 0.70, 0.66]
    ranking = rank([{"a": scores}], held_out=400)
    assert (ranking.winner.name, ranking.margin, ranking.ties) == ("a", 0.0, ())
    interval = stats.t.interval(0.95, 2, np.mean(scores), stats.sem(scores))
    assert ranking.winner.interval == pytest.approx(interval[1] - np.mean(scores))


def test_a_single_candidate_with_one_seed_is_as_sure_as_its_images():
    known = rank([{"a": [0.6]}], held_out=400)
    assert known.winner.interval == pytest.approx(1.96 * known.noise, rel=1e-4)
    unknown = rank([{"a": [0.6]}], held_out=None)
    assert (unknown.margin, unknown.winner.interval) == (0.0, np.inf)


def test_few_accuracies_that_agree_say_nothing_of_the_noise_where_images_are_not_known():
    assert rank([{"a": [0.9, 0.9]}], held_out=None).winner.interval == np.inf
    two = rank([{"a": [0.9, 0.9], "b": [0.8, 0.8]}], held_out=None)
    assert (two.margin, two.ties[0].name) == (np.inf, "b")
    four = rank([{"a": [0.9] * 4, "b": [0.8] * 4, "c": [0.7] * 4}], held_out=None)
    assert (four.margin < 1e-9, four.ties) == (True, ()), "an evaluator without chance"


def test_equal_accuracies_are_no_surer_than_one_held_out_image():
    rounding, pair = 0.05 / np.sqrt(12), {"a": [1.0, 1.0], "b": [0.9, 0.9]}
    for rows in (pair, {"a": [1.0, 1.0]}):
        ranking = rank([rows], held_out=20)
        assert ranking.noise == pytest.approx(rounding)
        assert ranking.winner.interval > 0.02
    assert rank([pair], held_out=20, factors={"a": 2.0, "b": 1.0}).noise == pytest.approx(2 * rounding)


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=2, max_size=8))
@example([[0.0] * 3, [0.0, 0.0, 1e-313]])
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


def test_the_last_rung_comes_before_the_mean():
    rungs = [
        {"a": [0.30, 0.31], "b": [0.40, 0.42], "c": [0.50, 0.51], "d": [0.10, 0.12]},
        {"b": [0.70, 0.71, 0.72], "c": [0.80, 0.82, 0.81]},
    ]
    ranking = rank(rungs, held_out=1000)
    assert [(standing.name, standing.rung, standing.seeds) for standing in ranking.standings] == [
        ("c", 1, 3),
        ("b", 1, 3),
        ("a", 0, 2),
        ("d", 0, 2),
    ]
    assert ranking.winner.accuracy == pytest.approx(0.81)
    assert ranking.standings[2].accuracy == pytest.approx(0.305)
    assert ranking.seeds == 3
    assert ranking.seed_correlation == pytest.approx(1.0), "that of all candidates, not of two"


def test_who_was_dropped_without_evidence_ties():
    close = {"a": [0.62, 0.58], "b": [0.60, 0.61], "c": [0.59, 0.60], "d": [0.10, 0.12]}
    ranking = rank([close, {"a": [0.90, 0.91, 0.90], "b": [0.70, 0.72, 0.71]}], held_out=1000)
    assert [standing.name for standing in ranking.ties] == ["c"]


def test_who_came_back_later_is_compared_where_both_took_part():
    first = {"a": [0.60, 0.62, 0.61], "b": [0.59, 0.60, 0.60], "c": [0.50, 0.53, 0.51]}
    second, third = {"a": [0.80, 0.81, 0.80]}, {"a": [0.80, 0.81, 0.80], "b": [0.90, 0.92, 0.90]}
    ranking = rank([first, second, third], held_out=1000)
    assert ranking.winner.name == "b"
    assert [standing.rung for standing in ranking.standings] == [2, 2, 0]
    assert ranking.standings[1].tied is False


def test_a_lone_survivor_has_the_noise_of_the_rung_before():
    first = table([0.5, 0.6, 0.7], 0.02, 3)
    ranking = rank([first, {"c2": [0.8, 0.9, 0.85]}], held_out=1000)
    assert ranking.winner.name == "c2"
    assert ranking.noise == rank([first], held_out=1000).noise
    assert ranking.winner.interval > 0


def test_a_last_rung_of_which_all_diverged_is_passed_over():
    first = table([0.5, 0.6, 0.7], 0.02, 3)
    assert rank([first, {}], held_out=1000) == rank([first], held_out=1000, planned=2)


def test_so_many_more_seeds_part_a_tie():
    ranking = rank([table([0.70, 0.68, 0.60, 0.50], 0.01, 3)], held_out=1000)
    tie = ranking.ties[0]
    seeds, tied = 3 + tie.seeds_to_part, 1 + len(ranking.ties)

    def margin(seeds):
        return reach(tied, (tied - 1) * (seeds - 1), 0.005) * ranking.noise / np.sqrt(seeds)

    gap = ranking.winner.score - tie.score
    assert margin(seeds) < gap <= margin(seeds - 1)
    assert ranking.winner.seeds_to_part is None
    assert all(standing.seeds_to_part is None for standing in ranking.standings if not standing.tied)


def test_a_distance_of_a_short_rung_counts_by_its_own_noise():
    short = table([0.70, 0.68, 0.66, 0.30], 0.05, 3)
    long = {name: [0.9 + value / 100 for value in short[name]] for name in ("c0", "c1")}
    ranking = rank([short, long], held_out=None)
    dropped = ranking.standings[2]
    assert (dropped.name, dropped.rung, dropped.tied) == ("c2", 0, True)
    assert ranking.margin < 0.01 < ranking.winner.score - dropped.score
    assert dropped.seeds_to_part == 6  # it would be 1 by the noise of the last rung


def test_a_tie_round_takes_half_of_what_the_looks_before_have_left():
    rows = table([0.7, 0.7, 0.7], 0.02, 8)
    looks = [{name: row[:seeds] for name, row in rows.items()} for seeds in (4, 6, 8)]
    found = [rank(looks[: number + 1], held_out=None, planned=1) for number in range(3)]
    for ranking, seeds, error in zip(found, (4, 6, 8), (0.04, 0.005, 0.0025), strict=True):
        expected = reach(3, 2 * (seeds - 1), error) * ranking.noise / np.sqrt(seeds)
        assert ranking.margin == pytest.approx(expected)


def test_what_a_rung_may_err_is_known_before_the_later_ones_are():
    ranking = rank([table([0.5, 0.6, 0.7, 0.8], 0.02, 2)], held_out=None, planned=2)
    assert ranking.margin == pytest.approx(reach(4, 3, 0.02) * ranking.noise / np.sqrt(2))


def test_no_number_of_seeds_is_suggested_where_none_would_do_or_the_noise_is_not_known():
    alike = rank([{"a": [0.6, 0.7], "b": [0.7, 0.6]}], held_out=1000)
    single = rank([{"a": [0.60], "b": [0.59]}], held_out=100)
    assert [tie.seeds_to_part for tie in (*alike.ties, *single.ties)] == [None, None]


def halved(truth, rungs, *, seed):
    """Simulate a halved search: `rungs` are how many are kept, seeds, noise, and how far budgets lower accuracies."""
    draw, found = np.random.default_rng(seed), []
    shared, kept = draw.normal(0, 0.05, max(seeds for _, seeds, _, _ in rungs)), list(truth)
    for keep, seeds, noise, lower in rungs:
        if found:
            kept = sorted(found[-1], key=lambda name: -np.mean(found[-1][name]))[:keep]
        found.append({name: truth[name] - lower + shared[:seeds] + draw.normal(0, noise, seeds) for name in kept})
    return found


@pytest.mark.parametrize(
    "rungs",
    [
        [(None, 2, 0.05, 0.2), (3, 4, 0.01, 0)],
        [(None, 2, 0.05, 0.3), (4, 2, 0.02, 0.1), (2, 4, 0.01, 0)],
        [(None, 2, 0.02, 0), (5, 4, 0.02, 0), (3, 6, 0.02, 0)],
    ],
    ids=["two-budgets", "three-budgets", "seeds-alone"],
)
@pytest.mark.parametrize("step", [0.0, 0.01], ids=["alike", "apart"])
def test_the_true_best_wins_or_ties_in_95_percent_of_halved_searches(rungs, step):
    truth = {f"c{number}": 0.7 - step * number for number in range(8)}
    held = 0
    for seed in range(40):
        ranking = rank(halved(truth, rungs, seed=seed), held_out=1000)
        held += "c0" in {ranking.winner.name, *(standing.name for standing in ranking.ties)}
    assert held >= 38


@pytest.mark.parametrize("candidates", [2, 8])
def test_the_true_best_stays_in_95_percent_of_searches_that_look_on_as_long_as_ties_remain(candidates):
    names, held = [f"c{number}" for number in range(candidates)], 0
    for seed in range(200):
        rows = table([0.7] * candidates, 0.02, 8, seed=seed)
        rungs, entrants = [], names
        for seeds in (4, 6, 8):
            rungs.append({name: rows[name][:seeds] for name in entrants})
            ranking = rank(rungs, held_out=None, planned=1)
            entrants = [ranking.winner.name, *(standing.name for standing in ranking.ties)]
        held += "c0" in entrants
    assert held >= 190


def test_the_objective_of_the_papers_section_4():
    objective = Objective(goal="accuracy-flops")
    assert objective.factor(2.0, target=2.0) == 1
    assert objective.factor(4.0, target=2.0) == pytest.approx(0.9526, abs=1e-4)  # 2^-0.07
    assert Objective().factor(4.0, target=2.0) == 1
