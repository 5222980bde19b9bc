"""The surface: what it expects of candidates by short and long trainings, and how sure it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalenet.search.answer.surface import fit_surface

DIVISIONS = 4
STEPS = range(DIVISIONS + 1)
SHARES = np.array([(d, w, DIVISIONS - d - w) for d in STEPS for w in STEPS if d + w <= DIVISIONS]) / DIVISIONS
NOTHING = np.full((len(SHARES), 3), np.nan)


def truth(peak=(0.1, 0.3, 0.6)):
    return -8 * np.square(SHARES - np.array(peak)).sum(axis=1)


def table(means, noise, seeds, *, seed=0, of=None):
    draw = np.random.default_rng(seed)
    found = np.full((len(means), 3), np.nan)
    found[:, :seeds] = means[:, None] + draw.normal(0, noise, (len(means), seeds))
    if of is not None:
        found[np.setdiff1d(np.arange(len(means)), of)] = np.nan
    return found


def test_short_trainings_order_those_never_trained_to_the_end_where_they_agree():
    full = table(truth(), 0.1, 3, of=[0, 3, 7, 12, 14])
    surface = fit_surface(SHARES, table(3 * truth(), 0.3, 1), full, ratio=0.2)
    assert np.corrcoef(surface.means, truth())[0, 1] > 0.97
    assert surface.agreement > 0.8


def test_short_trainings_that_mislead_are_believed_less():
    full = table(truth(), 0.1, 3, of=[0, 2, 3, 7, 9, 12, 14])
    agreeing, misleading = (fit_surface(SHARES, table(sign * 3 * truth(), 0.3, 2), full, ratio=0.2) for sign in (1, -1))
    assert misleading.agreement < 0.5 < agreeing.agreement
    assert misleading.deviations(3).mean() > agreeing.deviations(3).mean()


def test_neighbours_are_alike():
    full = table(truth(), 0.1, 3, of=[0, 1, 2, 4, 5, 9, 12, 14])
    short = table(truth() * 0, 1.0, 1)
    surface = fit_surface(SHARES, short, full, ratio=0.2)
    left_out = np.setdiff1d(np.arange(15), [0, 1, 2, 4, 5, 9, 12, 14])
    assert np.corrcoef(surface.means[left_out], truth()[left_out])[0, 1] > 0.7


def test_who_was_trained_to_the_end_is_known_better():
    trained = [0, 3, 7, 12, 14]
    surface = fit_surface(SHARES, table(3 * truth(), 0.5, 1), table(truth(), 0.2, 3, of=trained), ratio=0.2)
    deviations = surface.deviations(3)
    assert deviations[3] == pytest.approx(0, abs=1e-6)
    assert deviations[[0, 7, 12, 14]].max() < np.delete(deviations, trained).mean()


def test_the_deviations_are_those_of_the_errors_made_and_they_err_upwards():
    scaled = []
    for seed in range(60):
        draw = np.random.default_rng(1000 + seed)
        means = truth(draw.dirichlet((1.5, 1.5, 1.5)))
        means = 1.5 * means / means.std()
        trained = draw.permutation(15)[:6]
        full = table(means, 1.0, 2, seed=seed, of=trained)
        surface = fit_surface(SHARES, table(2.2 * means, 3.0, 1, seed=100 + seed), full, ratio=0.2)
        errors = surface.means - surface.means[trained[0]] - means + means[trained[0]]
        scaled.append(np.delete(errors, trained[0]) / np.delete(surface.deviations(trained[0]), trained[0]))
    assert 0.6 < np.std(scaled) < 1.5
    assert np.mean(np.array(scaled) < -2.6) < 0.03, "candidates that are better than the surface allows"


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.floats(-100, 100), st.floats(0.001, 1000), st.permutations(range(len(SHARES))))
def test_order_constants_and_units_do_not_matter(seed, constant, unit, order):
    short = table(3 * truth(), 1.0, 1, seed=seed)
    full = table(truth(), 0.5, 2, seed=seed + 1, of=[0, 3, 7, 12, 14])
    one = fit_surface(SHARES, short, full, ratio=0.2)
    changed = (unit * one_table[order] + constant for one_table in (short, full))
    other = fit_surface(SHARES[order], *changed, ratio=0.2)
    assert other.means == pytest.approx(unit * one.means[order], rel=1e-4, abs=1e-4 * unit)
    assert other.deviations(0) == pytest.approx(unit * one.deviations(order[0])[order], rel=1e-4, abs=1e-4 * unit)


def test_it_is_what_both_budgets_say_together(monkeypatch):
    """Held against one Gaussian over both budgets, of candidates that have nothing to do with each other."""
    own = {"ROUGHNESSES": (1.0,), "LENGTHS": (0.3,), "AGREEMENTS": (0.6,), "SPREADS": (0.5,), "NOISES": (0.4,)}
    for name, value in own.items():
        monkeypatch.setattr(f"scalenet.search.answer.surface.{name}", value)
    draw = np.random.default_rng(4)
    shares, short, full = draw.dirichlet((1, 1, 1), 5), np.full((5, 1), np.nan), np.full((5, 1), np.nan)
    short[:, 0], full[[1, 3], 0] = draw.normal(size=5), draw.normal(size=2)
    surface = fit_surface(shares, short, full, ratio=0.25)

    variance = float(short.var(ddof=1))
    spread, noise = 0.6 * variance, 0.4 * variance
    one, agreeing, flat = np.eye(5), 0.6 * np.sqrt(0.5) * np.eye(5), 100 * np.ones((5, 5))
    prior = spread * np.block([[one + flat, agreeing], [agreeing, 0.5 * (one + flat)]])
    seen = [0, 1, 2, 3, 4, 6, 8]
    covariance = prior[np.ix_(seen, seen)] + noise * np.diag([1.0] * 5 + [0.25] * 2)
    towards = prior[5:, seen] @ np.linalg.inv(covariance)
    values = np.concatenate([short[:, 0] - short.mean(), full[[1, 3], 0] - np.nanmean(full)])
    left = prior[5:, 5:] - towards @ prior[seen, 5:]
    assert surface.means == pytest.approx(towards @ values)
    assert surface.deviations(0) ** 2 == pytest.approx(np.diag(left) + left[0, 0] - 2 * left[0], abs=1e-9)


def test_scores_that_are_all_alike_make_no_surface_and_no_error():
    surface = fit_surface(SHARES, np.full((15, 3), 0.5), NOTHING, ratio=0.2)
    assert surface.means == pytest.approx(0, abs=1e-6)
    assert np.isfinite(surface.deviations(0)).all()


def test_one_training_each_is_enough():
    surface = fit_surface(SHARES, table(3 * truth(), 0.5, 1), NOTHING, ratio=0.2)
    assert np.corrcoef(surface.means, truth())[0, 1] > 0.9
