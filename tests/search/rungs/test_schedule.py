"""Schedules: who gets into which rung, and what is trained."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalenet.search.rungs.schedule import (
    FEW_SEEDS,
    LEAST_KEPT,
    Rung,
    Schedule,
    entrants,
    finished,
    halving,
    needed,
    spent,
)

NAMES = tuple("abcdefgh")


@st.composite
def schedules(draw, names=NAMES):
    """Draw rungs of every kind: shared budgets, shared seeds, tie sets, none kept back."""
    rung = st.builds(
        Rung,
        keep=st.none() | st.integers(1, 8),
        names=st.none() | st.none() | st.lists(st.sampled_from(names), min_size=1, unique=True).map(tuple),
        seeds=st.integers(1, 3).map(range).map(tuple),
        budget=st.none() | st.integers(1, 2),
    )
    return Schedule(rungs=(Rung(seeds=(0, 1), budget=1), *draw(st.lists(rung, max_size=3))))


def truth(failures=True):
    """Draw what every training would give."""
    keys = st.tuples(st.sampled_from(NAMES), st.integers(0, 2), st.none() | st.integers(1, 2))
    accuracies = st.floats(0, 1) | st.none() if failures else st.floats(0, 1)
    return st.dictionaries(keys, accuracies).map(lambda drawn: lambda key: drawn.get(key, hash_of(key)))


def hash_of(key):
    name, seed, budget = key
    return (ord(name) * 37 + seed * 11 + (budget or 0) * 5) % 17 / 17


def searched(schedule, result, *, pick=lambda left: left[0]):
    """Return all results of a search, which trains what `pick` takes from what is left."""
    scores = {}
    while left := [key for key in needed(schedule, NAMES, scores) if key not in scores]:
        key = pick(left)
        scores[key] = result(key)
    return scores


@given(schedules(), truth(), st.randoms(use_true_random=False))
def test_the_order_of_results_does_not_matter(schedule, result, random):
    scores = searched(schedule, result)
    assert searched(schedule, result, pick=random.choice) == scores


@given(schedules(), truth())
def test_a_search_ends_with_every_needed_training_done_once(schedule, result):
    scores = searched(schedule, result)
    assert finished(schedule, NAMES, scores)
    keys = needed(schedule, NAMES, scores)
    assert len(keys) == len(set(keys))
    assert set(keys) == set(scores)
    assert len(entrants(schedule, NAMES, scores)) == len(schedule.rungs)


@given(schedules(), truth())
def test_what_is_needed_is_only_ever_added_to(schedule, result):
    scores, before = {}, []
    while left := [key for key in needed(schedule, NAMES, scores) if key not in scores]:
        keys = needed(schedule, NAMES, scores)
        assert keys[: len(before)] == before
        assert not finished(schedule, NAMES, scores)
        scores[left[0]], before = result(left[0]), keys


@given(schedules(), truth())
def test_failed_candidates_are_in_no_later_rung(schedule, result):
    scores, failed = searched(schedule, result), set()
    for chosen, rung in zip(entrants(schedule, NAMES, scores), schedule.rungs, strict=True):
        assert not failed & set(chosen)
        failed |= {name for name in chosen for seed in rung.seeds if scores[name, seed, rung.budget] is None}


@given(schedules(), truth(failures=False), st.sampled_from(NAMES))
def test_a_promoted_candidate_would_be_promoted_with_higher_scores_too(schedule, result, name):
    scores = searched(schedule, result)
    better = searched(schedule, lambda key: min(1.0, result(key) + 0.3) if key[0] == name else result(key))
    before, after = entrants(schedule, NAMES, scores), entrants(schedule, NAMES, better)
    assert all(name in later for earlier, later in zip(before, after, strict=True) if name in earlier)


@given(schedules(), truth())
def test_no_search_trains_more_than_was_said_before(schedule, result):
    scores = searched(schedule, result)
    assert sum(budget or 1 for _, _, budget in scores) <= spent(schedule, len(NAMES))


def test_the_best_means_are_kept_and_equal_ones_are_in_order_of_names():
    schedule = Schedule(rungs=(Rung(seeds=(0, 1), budget=1), Rung(keep=3, seeds=(0,), budget=4)))
    means = {"a": 0.1, "b": 0.5, "c": 0.9, "d": 0.5, "e": 0.5}
    scores = {(name, seed, 1): mean + (0.1 - 0.2 * seed) for name, mean in means.items() for seed in (0, 1)}
    assert entrants(schedule, tuple(means), scores)[1] == ("c", "b", "d")


def test_a_rung_is_known_once_the_one_before_is_done():
    schedule = Schedule(rungs=(Rung(seeds=(0, 1)), Rung(keep=1, seeds=(0, 1, 2))))
    scores = {("a", 0, None): 0.5, ("b", 0, None): 0.6, ("a", 1, None): 0.5}
    assert entrants(schedule, ("a", "b"), scores) == [("a", "b")]
    assert entrants(schedule, ("a", "b"), scores | {("b", 1, None): 0.6}) == [("a", "b"), ("b",)]


def test_trainings_are_seed_by_seed_and_shared_between_rungs_of_one_budget():
    schedule = Schedule(rungs=(Rung(seeds=(0, 1)), Rung(keep=1, seeds=(0, 1, 2))))
    first = [("a", 0, None), ("b", 0, None), ("a", 1, None), ("b", 1, None)]
    assert needed(schedule, ("a", "b"), {}) == first
    scores = dict.fromkeys(first, 0.5)
    assert needed(schedule, ("a", "b"), scores) == [*first, ("a", 2, None)]
    assert spent(schedule, 2) == 5


def test_a_tie_set_gets_more_seeds_whoever_was_kept():
    first = Schedule(rungs=(Rung(seeds=(0,), budget=1), Rung(keep=1, seeds=(0,), budget=2)))
    scores = {("a", 0, 1): 0.9, ("b", 0, 1): 0.8, ("c", 0, 1): 0.7, ("a", 0, 2): 0.9}
    assert finished(first, ("a", "b", "c"), scores)
    more = Schedule(rungs=(*first.rungs, Rung(names=("a", "b"), seeds=(0, 1), budget=2)))
    assert entrants(more, ("a", "b", "c"), scores)[-1] == ("a", "b")
    left = [key for key in needed(more, ("a", "b", "c"), scores) if key not in scores]
    assert left == [("b", 0, 2), ("a", 1, 2), ("b", 1, 2)]


def test_a_search_of_which_all_diverged_is_finished():
    schedule = Schedule(rungs=(Rung(seeds=(0,)), Rung(keep=2, seeds=(0, 1))))
    scores = {("a", 0, None): None, ("b", 0, None): None}
    assert entrants(schedule, ("a", "b"), scores) == [("a", "b"), ()]
    assert finished(schedule, ("a", "b"), scores)


def test_fewer_survivors_than_wanted_are_fine():
    schedule = Schedule(rungs=(Rung(seeds=(0,)), Rung(keep=3, seeds=(0, 1))))
    scores = {("a", 0, None): None, ("b", 0, None): 0.5, ("c", 0, None): 0.4}
    assert entrants(schedule, ("a", "b", "c"), scores)[1] == ("b", "c")


def test_schedules_are_data():
    schedule = Schedule(rungs=(Rung(seeds=(0, 1), budget=1), Rung(names=("a",), seeds=(0,), budget=5)))
    assert Schedule.model_validate(schedule.model_dump(mode="json")) == schedule
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        Rung(keep=0, seeds=(0,))


def levels(schedule):
    return [(rung.keep, len(rung.seeds), rung.budget) for rung in schedule.rungs]


def test_each_rung_has_fewer_candidates_and_longer_trainings():
    assert levels(halving(30, seeds=range(4), budget=350, factor=4)) == [(None, 2, 21), (8, 2, 87), (3, 4, 350)]
    assert levels(halving(14, seeds=range(4), budget=5, factor=2)) == [(None, 2, 1), (7, 2, 2), (4, 4, 5)]


def test_without_a_budget_to_divide_the_seeds_are():
    assert levels(halving(40, seeds=range(9), budget=None, factor=2)) == [(None, 2, None), (20, 4, None), (10, 9, None)]
    assert levels(halving(14, seeds=range(8), budget=1, factor=4)) == [(None, 2, 1), (4, 8, 1)]


def test_a_factor_of_one_is_the_exhaustive_grid():
    assert levels(halving(14, seeds=range(3), budget=5, factor=1)) == [(None, 3, 5)]


def test_one_seed_in_all_stays_one():
    assert levels(halving(14, seeds=[7], budget=9, factor=3)) == [(None, 1, 1), (5, 1, 3), (3, 1, 9)]


@given(
    st.integers(1, 200),
    st.lists(st.integers(0, 9), min_size=1, max_size=9, unique=True),
    st.none() | st.integers(1, 400),
    st.integers(1, 9),
)
def test_halving_ends_with_all_seeds_at_full_budget_and_costs_no_more_than_the_grid(candidates, seeds, budget, factor):
    schedule = halving(candidates, seeds=seeds, budget=budget, factor=factor)
    *short, last = schedule.rungs
    assert (last.seeds, last.budget) == (tuple(seeds), budget)
    assert all(len(rung.seeds) >= min(FEW_SEEDS, len(seeds)) for rung in short)
    assert all(rung.seeds == tuple(seeds)[: len(rung.seeds)] for rung in short)
    kept = [candidates, *(rung.keep for rung in schedule.rungs[1:])]
    assert kept == sorted(kept, reverse=True)
    assert len(set(kept)) == len(kept)
    assert kept[-1] >= min(LEAST_KEPT, candidates)
    exhaustive = halving(candidates, seeds=seeds, budget=budget, factor=1)
    assert spent(schedule, candidates) <= spent(exhaustive, candidates) == candidates * len(seeds) * (budget or 1)
