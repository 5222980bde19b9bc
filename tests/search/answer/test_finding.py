"""Findings: the verdict and the surface together, and very many candidates."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scalenet.search.answer.finding import MOST, Trained, find
from scalenet.search.answer.judge import ERROR
from scalenet.search.answer.margins import reach
from scalenet.search.answer.surface import fit_surface


def halved(count, kept=3, *, seed=0, misleading=False):
    """Short trainings of all with two seeds, and the best to the end with four; in points."""
    draw = np.random.default_rng(seed)
    shares = draw.dirichlet((1, 1, 1), count)
    means = 3 * shares[:, 0]
    short, full = np.full((2, count, 4), np.nan)
    shown = 6 * draw.permutation(means) if misleading else means
    short[:, :2] = shown[:, None] + draw.normal(0, 0.3, (count, 2))
    best = np.argsort(-short[:, :2].mean(axis=1))[:kept]
    full[best] = means[best, None] + draw.normal(0, 0.3, (kept, 4))
    return Trained(shares, short, full, 0.2, np.zeros(count, dtype=bool)), means


def test_of_very_many_candidates_all_are_bounded():
    trained, means = halved(4 * MOST)
    finding = find(trained)
    assert np.isfinite(finding.over).all()
    assert np.isfinite(finding.expected).all()
    assert finding.unjudged.sum() == 4 * MOST - 3
    assert means.max() - means[finding.winner] <= finding.bound


def test_of_the_best_by_short_trainings_that_may_mislead_the_bound_holds():
    held = 0
    for seed in range(100):
        trained, means = halved(7, seed=seed, misleading=True)
        finding = find(trained, doubted=True)
        held += means.max() - means[finding.winner] <= finding.bound
    assert held >= 95


def test_a_bound_is_for_the_winner_that_is_given():
    trained, _ = halved(12)
    others = np.flatnonzero((trained.seeds > 0) & (np.arange(12) != find(trained).winner))
    other = find(trained, winner=int(others[-1]))
    assert other.winner == others[-1]
    assert other.over[other.winner] == 0
    assert other.over[find(trained).winner] > 0


@pytest.mark.parametrize("kept", [2, 5])
def test_those_never_trained_to_the_end_are_bounded_together(kept):
    trained, _ = halved(12, kept)
    finding = find(trained)
    surface = fit_surface(trained.shares, trained.short, trained.full, ratio=trained.ratio)
    over = surface.reach(finding.winner, reach(1 + 12 - kept, math.inf, ERROR) / math.sqrt(2))
    assert finding.over[finding.unjudged] == pytest.approx(np.maximum(over, 0)[finding.unjudged])


def test_without_short_trainings_those_never_trained_to_the_end_are_not_bounded():
    trained, _ = halved(6)
    finding = find(Trained(trained.shares, np.full((6, 4), np.nan), trained.full, 1.0, trained.out))
    assert finding.bound == np.inf
    assert finding.agreement is None


def test_units_do_not_matter_and_a_candidate_that_is_out_is_no_part():
    trained, _ = halved(12)
    out = trained.out.copy()
    out[[1, 5]] = True
    one = find(Trained(trained.shares, trained.short, trained.full, 0.2, out))
    other = find(Trained(trained.shares, trained.short / 100, trained.full / 100, 0.2, out))
    assert other.over[~out] == pytest.approx(one.over[~out] / 100)
    assert one.tied[out].all()
    assert np.isinf(one.over[out]).all()
    assert np.isfinite(one.bound)
