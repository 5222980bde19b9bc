"""Tables of trainings, as the judge and the surface take them."""

from __future__ import annotations

import math

import pytest

from scalenet.search.answer.trainings import tabled
from scalenet.search.rungs.race import race

SHARES = {"deep": (1.0, 0.0, 0.0), "wide": (0.0, 1.0, 0.0)}
RACE = race(2, budget=10, seeds=4)


def test_held_out_images_say_what_noise_to_expect_at_the_accuracy_of_trainings_to_the_end():
    scores = {("deep", 0, 2): 0.2, ("deep", 0, 10): 0.7, ("wide", 0, 10): 0.9}
    found = tabled(SHARES, RACE, scores, 1000)
    assert found.foreseen == pytest.approx(math.sqrt(0.8 * 0.2 * (1 / 1000 + 1 / 9000)))
    assert found.least == pytest.approx(1 / 1000 / math.sqrt(12))


def test_nothing_is_expected_before_the_first_of_them_or_of_unknown_images():
    short = {("deep", 0, 2): 0.2}
    assert tabled(SHARES, RACE, short, 1000).foreseen is None
    assert tabled(SHARES, RACE, short | {("deep", 0, 10): 0.7}, None).foreseen is None


@pytest.mark.parametrize("accuracy", [0.0, 1.0])
def test_no_accuracy_is_sure(accuracy):
    found = tabled(SHARES, RACE, {("deep", 0, 10): accuracy}, 100)
    assert found.foreseen is not None
    assert 0 < found.foreseen < 0.01
