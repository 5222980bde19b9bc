"""The race: who is trained next, when it ends, and what its answer is worth."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalenet.arch.errors import ScalenetError
from scalenet.search.answer.finding import Trained, find
from scalenet.search.rungs.race import (
    DOUBTED,
    FEW,
    FEWEST,
    SHORTER,
    Race,
    Training,
    fewest,
    finding_of,
    fitting,
    next_round,
    race,
    run,
    spent,
    with_result,
)

DIVISIONS = 3
STEPS = range(DIVISIONS + 1)
SHARES = np.array([(d, w, DIVISIONS - d - w) for d in STEPS for w in STEPS if d + w <= DIVISIONS]) / DIVISIONS
COUNT, SEEDS, RATIO = len(SHARES), 12, 0.2


def raced(**options):
    return Race(short=2, budget=10, exhaustive=4 * COUNT, **options)


def untrained(foreseen=None, count=COUNT):
    nothing = np.full((count, SEEDS), np.nan)
    return Trained(SHARES[:count], nothing, nothing, RATIO, np.zeros(count, dtype=bool), foreseen=foreseen)


def raced_to(cap, truth, foreseen=None):
    return finding_of(run(raced(cap=cap), untrained(foreseen), truth))


@pytest.mark.parametrize("images", [24, 5000, None])
def test_a_race_that_was_begun_with_the_noise_of_rounding_is_read(images):
    own = raced(cap=20, held_out=images)
    former = {name: value for name, value in own.model_dump().items() if name != "held_out"}
    assert Race.model_validate({**former, "least": 0.0 if images is None else 1 / images / 12**0.5}) == own


def test_a_rounding_that_is_no_number_is_refused():
    with pytest.raises(ScalenetError, match="least"):
        raced(cap=20, least="0.1")


class Truth:
    """Accuracies in points of a smooth surface, with noise 1 at the full budget."""

    def __init__(self, seed=0, noise=1.0, short=1):
        draw = np.random.default_rng(seed)
        means = -np.square(SHARES - draw.dirichlet((1.5, 1.5, 1.5))).sum(axis=1)
        self.means = 1.5 * (means - means.mean()) / means.std()
        self.full = self.means[:, None] + noise * draw.normal(0, 1, (COUNT, SEEDS))
        self.short = 2.2 * short * self.means[:, None] + 3.3 * noise * draw.normal(0, 1, (COUNT, SEEDS))

    def __call__(self, training):
        return float((self.full if training.full else self.short)[training.candidate, training.seed])


def rounds(race, result):
    trained, found = untrained(), []
    while wanted := next_round(race, trained):
        found.append(list(wanted))
        for training in wanted:
            trained = with_result(trained, training, result(training))
    return found, trained


def test_everybody_gets_one_short_training_and_the_best_three_two_seeds_to_the_end():
    truth = Truth(noise=0.1)
    found, _ = rounds(raced(cap=20), truth)
    assert found[0] == [Training(candidate, 0, False) for candidate in range(COUNT)]
    assert [(one.seed, one.full) for one in found[1]] == [(0, True)] * 3 + [(1, True)] * 3
    assert int(truth.means.argmax()) in {one.candidate for one in found[1]}


def test_then_one_at_a_time_whoever_may_be_better_by_most_or_the_winner():
    truth = Truth(3)
    found, _ = rounds(raced(cap=20), truth)
    trained = untrained()
    for wanted in found:
        if len(wanted) == 1:
            finding = finding_of(trained)
            over = finding.over.copy()
            over[finding.winner] = -1
            assert wanted[0].candidate in {finding.winner, int(over.argmax())}
            assert wanted[0].seed == trained.seeds[wanted[0].candidate]
        for training in wanted:
            trained = with_result(trained, training, truth(training))


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6), st.floats(6, 30), st.integers(1, 4))
def test_the_cap_is_kept_no_training_is_repeated_and_seeds_come_in_order(seed, cap, at_a_time):
    found, trained = rounds(raced(cap=cap, at_a_time=at_a_time, most=8), Truth(seed))
    flat = [training for wanted in found for training in wanted]
    assert len(set(flat)) == len(flat)
    assert spent(trained) <= max(cap, RATIO * COUNT) + 1e-6
    assert all(len(wanted) <= at_a_time for wanted in found[2:])
    for candidate in range(COUNT):
        own = [one.seed for one in flat if one.full and one.candidate == candidate]
        assert own == list(range(len(own)))
        assert len(own) <= 8


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_a_round_follows_from_those_before_whoever_finishes_first(seed, random):
    own, truth = raced(cap=14, at_a_time=3), Truth(seed)
    expected, _ = rounds(own, truth)
    trained = untrained()
    for wanted in expected:
        assert list(next_round(own, trained)) == wanted
        for training in random.sample(wanted, len(wanted)):
            trained = with_result(trained, training, truth(training))
    assert next_round(own, trained) == ()


def test_it_ends_where_nothing_can_be_better_by_more_than_was_asked_for():
    truth = Truth(1)
    asked, all_of_it = (run(raced(cap=60, within=within, most=SEEDS), untrained(), truth) for within in (2.0, 0.0))
    assert finding_of(asked).bound <= 2
    assert np.isnan(asked.full).sum() > np.isnan(all_of_it.full).sum()


def test_more_training_bounds_more_closely():
    bounds = {cap: [raced_to(cap, Truth(seed)).bound for seed in range(4)]
              for cap in (9, 16, 32)}  # fmt: skip
    means = [np.mean(one) for one in bounds.values()]
    assert all(before > 1.15 * after for before, after in pairwise(means))


def test_a_race_spends_what_it_was_asked_to_though_two_candidates_are_all_but_equal():
    asked = race(7, budget=10, seeds=2, share=4.0)
    means = np.array([0, 0.01, -5, -5, -5, -5, -5])
    noise = np.random.default_rng(0).normal(0, 0.5, (7, asked.most))
    shares = np.random.default_rng(1).dirichlet((1, 1, 1), 7)
    nothing = np.full((7, asked.most), np.nan)
    trained = Trained(shares=shares, short=nothing, full=nothing, ratio=0.2, out=np.zeros(7, bool))
    done = run(asked, trained, lambda one: float(means[one.candidate] + noise[one.candidate, one.seed]))
    assert asked.cap - 1 < spent(done) <= asked.cap


def test_where_the_seeds_of_two_candidates_have_run_out_others_get_theirs():
    done = run(raced(cap=60, most=4), untrained(), Truth(noise=3.0))
    finding = finding_of(done)
    ties = finding.tied & ~finding.out
    assert (done.seeds == 4).sum() > 2
    assert spent(done) > 59 or (done.seeds[ties] == 4).all()


def test_what_is_spent_is_in_trainings_to_the_end():
    trained = with_result(with_result(untrained(), Training(0, 0, False), 1.0), Training(0, 0, True), 1.0)
    assert spent(trained) == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("asked", "cap"),
    [
        ({}, 21),
        ({"share": 0.5}, 30),
        ({"share": 2.0}, 120),
        ({"share": 1e-9}, 9),
        ({"within": 0.01}, 60),
        ({"time_limit": 60.0}, 60),
    ],
)
def test_a_race_trains_a_third_unless_it_ends_by_something_else(asked, cap):
    assert race(15, budget=10, seeds=4, **asked).cap == cap
    assert race(15, budget=10, seeds=4, **asked).exhaustive == 60


def test_a_race_of_few_candidates_trains_as_much_as_says_something():
    assert race(10, budget=10, seeds=4).cap == pytest.approx(FEWEST + 10 / SHORTER)
    assert race(4, budget=10, seeds=4).cap == 16


@given(st.floats(1, 1e6), st.integers(2, 500), st.integers(1, 8))
def test_as_many_epochs_fit_as_leave_enough_trainings(epochs, candidates, seeds):
    long = fitting(epochs, candidates, seeds)
    if long is None:
        assert epochs < fewest(candidates)
    elif long > 2:
        enough = min(FEWEST + candidates / SHORTER, candidates * seeds)
        assert long * enough <= epochs < (long + 1) * enough


def test_a_candidate_of_which_a_training_failed_gets_no_further_and_ties_without_evidence():
    truth = Truth(2)
    best = int(truth.means.argmax())

    def result(training):
        return None if training.candidate == best and training.full else truth(training)

    trained = run(raced(cap=16), untrained(), result)
    finding = finding_of(trained)
    assert trained.out.tolist() == [place == best for place in range(COUNT)]
    assert finding.tied[best]
    assert np.isfinite(finding.bound)
    assert finding.winner != best
    assert not finding.unjudged[best]


def test_an_only_training_that_collapsed_says_nothing_and_another_one_follows_at_once():
    truth = Truth(1)
    trained = run(raced(cap=16, most=SEEDS), untrained(), truth)
    sound = finding_of(trained)
    unlucky = int(np.flatnonzero((trained.seeds == 1) & (sound.over > 0))[0])
    trained.full[unlucky, 0] -= 40
    finding = finding_of(trained)
    assert finding.over[unlucky] > 0
    assert finding.bound < 2 * sound.bound

    chosen = next_round(raced(cap=17, most=SEEDS, within=10.0), trained)
    assert chosen == (Training(unlucky, 1, True),)
    verdict = finding_of(with_result(trained, chosen[0], truth(chosen[0]))).verdict
    assert np.argwhere(verdict.collapsed).tolist() == [[unlucky, 0]]


def test_where_all_but_one_failed_it_wins_and_where_all_did_nobody_is_trained():
    def only(training):
        return 0.5 if training.candidate == 4 else None

    trained = run(raced(cap=16, most=3), untrained(), only)
    assert find(trained).winner == 4
    assert run(raced(cap=16), untrained(), lambda _: None).out.all()


def test_bounds_hold_by_replay_and_are_closer_where_the_noise_is_foreseen():
    held, bounds = [], []
    for seed in range(20):
        truth = Truth(seed)
        found = [raced_to(14, truth, foreseen) for foreseen in (None, 1.0)]
        held += [truth.means.max() - truth.means[finding.winner] <= finding.bound for finding in found]
        bounds.append([finding.bound for finding in found])
    assert np.mean(held) >= 0.95
    unknown, foreseen = np.mean(bounds, axis=0)
    assert foreseen < unknown


@pytest.mark.parametrize("within", [0.0, 3.0])
def test_of_few_candidates_none_is_left_out_where_short_trainings_mislead(within):
    truth = Truth(3, noise=0.3, short=-1)
    trained = run(raced(cap=30, within=within, most=SEEDS), untrained(count=FEW), truth)
    finding = finding_of(trained)
    assert finding.agreement < DOUBTED
    assert not finding.unjudged.any()
    assert finding.tied[truth.means[:FEW].argmax()]


def test_of_more_candidates_some_may_be_and_the_bound_holds():
    held, unjudged = 0, 0
    for seed in range(40):
        truth = Truth(seed, short=-1)
        finding = raced_to(20, truth, foreseen=1.0)
        held += truth.means.max() - truth.means[finding.winner] <= finding.bound
        unjudged += finding.unjudged.sum()
    assert held >= 38
    assert unjudged > 0


def test_where_short_trainings_tell_they_may_leave_candidates_out():
    trained = run(raced(cap=30, most=SEEDS), untrained(), Truth(3, noise=0.3))
    finding = finding_of(trained)
    assert finding.agreement > DOUBTED
    assert (finding.unjudged & ~finding.tied).any()


def test_those_never_trained_to_the_end_are_bounded_by_the_surface():
    trained = run(raced(cap=12), untrained(), Truth(5))
    finding = finding_of(trained)
    assert finding.unjudged.tolist() == (trained.seeds == 0).tolist()
    assert finding.unjudged.any()
    assert np.isinf(finding.verdict.over[finding.unjudged]).all()
    assert np.isfinite(finding.over).all()
    assert (finding.over >= 0).all()
