"""Sentences: what is said of the bound, of unequal costs, and of seeds that rank otherwise."""

from __future__ import annotations

import pytest

from scalenet.search.answer.coefficients import Evidence, Round, Tie
from scalenet.search.answer.sentences import agreement_sentences, bound_sentences, cost_sentences, unequal

EVIDENCE = Evidence(
    base="tiny", base_digest="sha256:0", grid="g", rounding="fine", candidates=9, seeds=4, accuracy=0.7, note=""
)


def said(**known):
    evidence = EVIDENCE.changed(**known)
    return [*cost_sentences(evidence), *bound_sentences(evidence)]


def test_the_bound_is_in_points_at_95_percent():
    assert said(bound=0.0171) == ["no candidate is better by more than 1.71 points (95 %)"]
    assert said(bound=0.0) == ["no candidate is better (95 %)"]
    assert said(bound=0.0171, score=0.6) == ["no candidate is better by more than 1.71 hundredths of the score (95 %)"]


def test_where_nothing_is_known_nothing_is_said():
    assert said() == []


def test_what_the_bound_rests_on_is_said():
    lines = said(bound=0.02, unjudged=6, agreement=0.31, failed=1, diverged=2, noisier=1, collapsed=2)
    assert lines == [
        "no other candidate is better by more than 2.00 points (95 %), if short trainings tell of the 6 candidates "
        "never trained to the end",
        "of the 3 candidates that failed or diverged this says nothing",
        "short trainings say little of long ones here (correlation 0.31): --halving 1 trusts none",
        "1 candidate has more noise than the others: take more --seeds to be sure",
        "left out, because they broke down: 2 trainings",
    ]


def test_short_trainings_that_agree_need_no_word():
    assert said(bound=0.02, unjudged=1, agreement=0.8) == [
        "no candidate is better by more than 2.00 points (95 %), if short trainings tell of the 1 candidate "
        "never trained to the end"
    ]


@pytest.mark.parametrize("spread", [0.0, 0.05])
def test_candidates_of_equal_cost_need_no_word(spread):
    assert unequal(spread) is None
    assert said(cost_spread=spread, cost_correlation=0.9) == []


def test_unequal_costs_come_first_with_how_much_of_the_ranking_they_explain():
    lines = said(cost_spread=0.73, cost_correlation=0.81, bound=0.01)
    assert lines[0] == (
        "candidates' costs differ by 73 %: they are not compared at equal cost; the ranking's rank correlation with "
        "FLOPs is 0.81; a grid with `constraint: measured` brings them to one cost"
    )


@pytest.mark.parametrize(
    ("ties", "rungs", "correlation", "said"),
    [
        (8, 1, 0.1, "the ranking is mostly noise: train longer, on more images, or with more seeds before you use it"),
        (
            3,
            1,
            0.1,
            "the order of the 4 that tie is mostly noise: train longer, on more images, or with more seeds to ",
        ),
        (3, 2, 0.1, "the first rung's order of the 4 that tie is mostly noise: "),
        (0, 1, 0.1, "a single seed ranks mostly by noise: the winner is told from all others by all seeds together"),
        (3, 1, 0.5, None),
    ],
)
def test_noise_is_said_of_those_that_tie_and_of_nobody_who_is_told_from_the_winner(ties, rungs, correlation, said):
    tie = Tie(alpha=1, beta=1, gamma=1, accuracy=0.7, rung=rungs)
    rounds = (Round(candidates=9, seeds=4),) * rungs
    first, *others = agreement_sentences(
        EVIDENCE.changed(ties=(tie,) * ties, rungs=rounds, seed_correlation=correlation)
    )
    assert f"{correlation:.2f}" in first
    assert [line.startswith(said) for line in others] == [True] * (said is not None)
