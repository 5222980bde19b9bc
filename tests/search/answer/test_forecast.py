"""Forecasts of the bound: by the number of held-out images before anything is trained, then by what is measured."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalenet.search.answer.finding import Trained, find
from scalenet.search.answer.forecast import better_forecast, forecast, trainings_of
from scalenet.search.answer.noise import training_noise
from scalenet.search.rungs.race import finding_of, race, run
from scalenet.search.rungs.schedule import halving

SHARES = np.array([(a, b, 4 - a - b) for a in range(5) for b in range(5 - a)]) / 4


@pytest.mark.parametrize(
    ("held_out", "accuracy", "measured"),
    # the accuracy after as long as a pilot's training, and the noise of one to the end, as they were measured
    [(5000, 0.45, 0.0092), (5000, 0.46, 0.0086), (4000, 0.83, 0.0076), (713, 0.6, 0.0166)],
)
def test_the_noise_of_a_training_is_near_what_was_measured(held_out, accuracy, measured):
    assert training_noise(held_out, accuracy) == pytest.approx(measured, rel=0.2)


@given(held_out=st.integers(2, 10**6), accuracy=st.floats(0, 1))
def test_more_images_have_less_noise_and_no_accuracy_has_more_than_an_unknown_one(held_out, accuracy):
    assert training_noise(2 * held_out, accuracy) <= training_noise(held_out, accuracy) <= training_noise(held_out)
    assert training_noise(held_out) >= 0.5 / math.sqrt(held_out)


@given(candidates=st.integers(2, 40), share=st.floats(0.05, 1), part=st.floats(0.01, 1))
def test_a_race_that_trains_more_is_expected_to_tell_more(candidates, share, part):
    one = race(candidates, budget=10, seeds=4, share=share)
    whole = forecast(one, candidates, 0.01)
    assert whole <= forecast(one, candidates, 0.01, part)
    assert forecast(one, candidates, 0.02) == pytest.approx(2 * whole)
    assert forecast(one.changed(within=1.0), candidates, 0.01) == max(1.0, whole)


def test_what_is_trained_to_the_end_with_all_seeds_tells_more_than_half_as_many_and_halving_least():
    few, many = (forecast(halving(15, seeds=range(n), budget=10, factor=1), 15, 0.01) for n in (2, 4))
    halved = forecast(halving(15, seeds=range(4), budget=10, factor=5), 15, 0.01)
    raced = forecast(race(15, budget=10, seeds=4), 15, 0.01)
    assert many < raced < few < halved
    assert many == pytest.approx(0.0165, rel=0.1)  # of 400 replayed searches on simulated truths


def trained(full: list[list[float]]) -> Trained:
    table = np.full((len(SHARES), 8), np.nan)
    for row, own in enumerate(full):
        table[row, : len(own)] = own
    short = np.full_like(table, np.nan)
    short[:, 0] = np.linspace(0.4, 0.5, len(table))
    return Trained(SHARES, short, table, 0.2, np.zeros(len(table), dtype=bool))


def test_measured_noise_replaces_what_was_expected_and_the_bound_what_is_left():
    own = race(15, budget=10, seeds=4)
    calm, wild = (find(trained([[0.6, 0.6 + d, 0.6 - d], [0.6 - d, 0.6, 0.6 + d]])) for d in (0.001, 0.05))
    last = math.ceil(trainings_of(own, 15))

    def expect(finding, noise: float | None, at: int, bound: float = math.inf) -> float:
        found = better_forecast(own, 15, noise, verdict=finding.verdict, bound=bound, trained=at)
        assert found is not None
        return found

    assert expect(calm, None, 6) < expect(calm, 0.01, 6) < forecast(own, 15, 0.01) < expect(wild, 0.01, 6)
    assert expect(calm, 0.01, 6, bound=0.03) < expect(calm, 0.01, 6, bound=0.06)
    assert expect(wild, 0.01, last, bound=0.03) == pytest.approx(0.03)
    assert expect(wild, 0.01, 6, bound=0.0) == 0


def test_nothing_is_expected_where_nothing_is_known():
    finding = find(trained([[0.6]]))
    own = race(15, budget=10, seeds=4)
    assert better_forecast(own, 15, None, verdict=finding.verdict, bound=finding.bound, trained=1) is None


def test_replayed_races_end_near_their_forecasts():
    own, right, better = race(15, budget=50, seeds=4, most=16), 0, 0
    for seed in range(8):
        random = np.random.default_rng(seed)
        truth = 60 + 1.5 * (SHARES @ random.normal(size=3))
        full = truth[:, None] + random.normal(size=(15, 16))
        short = 2 * truth[:, None] + 3.3 * random.normal(size=(15, 16))

        def result(training, full=full, short=short) -> float:
            return float((full if training.full else short)[training.candidate, training.seed])

        nothing = np.full((15, 16), np.nan)
        begun = Trained(SHARES, nothing, nothing, 0.2, np.zeros(15, dtype=bool))
        some = run(own.changed(cap=3 + trainings_of(own, 15) / 2), begun, result)
        then, bound = finding_of(some), finding_of(run(own, begun, result)).bound
        halfway = better_forecast(own, 15, 1.0, verdict=then.verdict, bound=then.bound, trained=int(some.seeds.sum()))
        assert halfway is not None
        right += 0.5 <= bound / forecast(own, 15, 1.0) <= 2
        better += 0.5 <= bound / halfway <= 2
    assert min(right, better) >= 6
