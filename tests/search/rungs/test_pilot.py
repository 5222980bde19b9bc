"""The pilot: which rates are tried, and which one is found."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalenet.arch.errors import ScalenetError
from scalenet.search.rungs.pilot import APART, Pilot, Trial, around, epochs_of, fitted_rate

RATES = (0.001, 0.003, 0.009)
PILOT = Pilot(rates=RATES, seeds=(0, 1), budget=2)


def tried(pilot, loss, *, pick=lambda left: left[0]):
    """Return a pilot that is over, by what a training loses at a rate with a seed, in the order of `pick`."""
    losses = {}
    while left := [key for key in Trial(pilot, losses).needed if key not in losses]:
        key = pick(left)
        losses[key] = loss(pilot.names[key[0]], key[1])
    return Trial(pilot, losses)


def bowl(best):
    """Return losses that are least at a rate: a parabola in its logarithm, and a little more for the second seed."""
    return lambda rate, seed: math.log(rate / best) ** 2 + 0.1 * seed


centres = st.floats(1e-6, 10)
losses = st.floats(0, 5) | st.just(math.inf)


@given(st.floats(0.0002, 0.046))
def test_the_bottom_of_a_bowl_is_found_among_the_rates_or_beyond_them(best):
    found = tried(PILOT, bowl(best))
    assert found.over
    assert found.rate == pytest.approx(best, rel=0.06), "a rate has two digits"
    assert set(RATES) <= set(found.rates)


@pytest.mark.parametrize(
    ("best", "rates"),
    [
        (0.003, RATES),
        (0.0006, (0.00033, *RATES)),
        (0.00001, (0.00011, 0.00033, *RATES)),
        (0.01, (*RATES, 0.027)),
        (9.0, (*RATES, 0.027, 0.081)),
    ],
)
def test_where_the_best_is_at_an_end_two_more_are_tried_at_most(best, rates):
    found = tried(PILOT, bowl(best))
    assert found.rates == rates
    assert rates[0] <= found.rate <= rates[-1]


@given(st.lists(centres, min_size=3, max_size=4, unique=True), centres)
def test_whatever_rates_are_tried_each_has_a_name(rates, best):
    pilot = Pilot(rates=rates, seeds=(0,), budget=2)
    assert set(tried(pilot, bowl(best)).rates) <= set(pilot.names.values())


@given(st.dictionaries(st.tuples(st.integers(0, 6), st.integers(0, 1)), losses), st.randoms(use_true_random=False))
def test_the_order_of_results_does_not_matter(drawn, random):
    names = list(PILOT.names.values())

    def loss(rate, seed):
        return drawn.get((names.index(rate), seed), 1.0)

    first, second = tried(PILOT, loss), tried(PILOT, loss, pick=random.choice)
    assert (first.rates, first.rate) == (second.rates, second.rate)
    assert set(first.needed) == set(first.losses)
    assert (first.rate is None) == all(math.isinf(loss(rate, 0)) or math.isinf(loss(rate, 1)) for rate in first.rates)
    if first.rate is not None:
        assert first.rates[0] <= first.rate * 1.05
        assert first.rate <= first.rates[-1] * 1.05


@given(st.lists(losses, min_size=14, max_size=14), st.floats(0.01, 100))
def test_the_unit_of_the_losses_does_not_matter(drawn, unit):
    names = list(PILOT.names.values())
    plain = tried(PILOT, lambda rate, seed: drawn[2 * names.index(rate) + seed])
    scaled = tried(PILOT, lambda rate, seed: unit * drawn[2 * names.index(rate) + seed])
    if plain.rates == scaled.rates and plain.rate is not None:  # means may tie after rounding
        assert scaled.rate == pytest.approx(plain.rate, rel=0.06)


def test_a_rate_at_which_one_training_diverged_is_not_taken_and_pulls_the_parabola_nowhere():
    found = tried(PILOT, lambda rate, seed: math.inf if rate == 0.009 and seed else 1.0 + (rate == 0.001))
    assert (found.rates, found.rate) == (RATES, 0.003)


def test_where_all_diverged_lower_rates_are_tried_and_then_none_is_found():
    found = tried(PILOT, lambda *_: math.inf)
    assert found.rates == (0.00011, 0.00033, *RATES)
    assert (found.over, found.rate) == (True, None)
    low = tried(PILOT, lambda rate, _: 1.0 if rate < 0.0002 else math.inf)
    assert low.rate == 0.00011


def test_rates_that_make_no_difference_are_left_for_the_one_in_the_middle():
    assert tried(PILOT, lambda *_: 1.0).rate == 0.003


def test_before_it_is_over_it_has_found_nothing():
    losses = dict.fromkeys(PILOT.keys(0.001), 1.0)
    trial = Trial(PILOT, losses)
    assert (trial.over, trial.rate, len(trial.needed)) == (False, None, 6)
    assert [key[1] for key in trial.needed] == [0, 0, 0, 1, 1, 1], "seed by seed"


@given(centres)
def test_the_rates_around_one_are_a_factor_of_three_apart(rate):
    low, middle, high = around(rate)
    assert middle == rate
    assert low == pytest.approx(rate / APART, rel=0.06)
    assert high == pytest.approx(rate * APART, rel=0.06)


@given(st.integers(1, 400), st.floats(0.5, 1e6))
def test_a_pilot_takes_two_epochs_and_a_hundred_steps_or_half_of_a_training_and_at_most_all_of_it(budget, steps):
    own = epochs_of(budget, steps)
    assert min(2, budget) <= own <= budget
    assert own == budget or own * steps >= 100
    assert own <= max(2, (budget + 1) // 2) or (own - 1) * steps < 100
    assert epochs_of(None) is None


def test_where_no_rate_does_better_than_a_guess_the_middle_one_stays():
    blind = PILOT.changed(by="loss", classes=10)
    found = tried(blind, lambda rate, _: 2.3 + 10 * rate)
    assert (found.blind, found.rate) == (True, 0.003)
    assert found.rates == (0.00011, 0.00033, *RATES), "a lower one might have learned something"
    seen = tried(blind, lambda rate, _: 2.0 + 10 * rate)
    assert (seen.blind, seen.rate) == (False, 0.00011)


def test_two_rates_are_no_pilot():
    with pytest.raises(ScalenetError, match="rates"):
        PILOT.changed(rates=(0.01, 0.03))


@given(st.floats(-8, 0), st.lists(st.floats(-3, 3), min_size=3, max_size=7, unique_by=lambda step: round(step, 2)))
def test_a_parabola_is_fitted_exactly_wherever_the_rates_lie(centre, steps):
    rates = {10 ** (centre + step): 1 + step**2 for step in steps}
    found, places = fitted_rate(rates), sorted(rates)
    best = min(rates, key=rates.__getitem__)
    if best in {places[0], places[-1]}:
        assert found == best
    else:
        assert math.log10(found) == pytest.approx(centre, abs=1e-6)
