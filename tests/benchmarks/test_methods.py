"""The recorded table of STEP 2's methods is whole, and what is printed from it is what other tools say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml
from methods import FACTOR, METHODS, SEEDS, accuracies, intervals
from scipy import stats
from tables.tasks import HERE, beyond

from scalenet.search.rungs.pilot import fitted_rate

TABLES = sorted((HERE / "methods").glob("*.csv.xz"))


@pytest.fixture(params=TABLES, ids=lambda file: file.name)
def table(request):
    return pd.read_csv(request.param)


def test_methods_of_a_phi_cost_the_same(table):
    about = yaml.safe_load((HERE / "methods" / f"{table.task[0]}.yaml").read_text(encoding="utf-8"))
    ratios = table.flops / about["baseline"]["flops"] / 2.0**table.phi
    assert ratios.between(0.98, 1.02).all()


def test_every_counted_training_has_the_rate_that_others_were_fitted_to(table):
    for (phi, method), rows in table[table.kind == "methods"].groupby(["phi", "method"]):
        fits = table[(table.phi == phi) & (table.method == method) & (table.kind == "fit")]
        assert set(fits.seed).isdisjoint(rows.seed)
        losses = dict(zip(fits.rate, fits.loss.fillna(np.inf), strict=True))
        assert len(losses) >= 3
        assert beyond(losses, factor=FACTOR) is None
        assert rows.rate.unique() == pytest.approx([fitted_rate(losses)], rel=0.01)


def test_methods_are_compared_by_seeds_that_all_have():
    rows = [
        {"phi": 2, "method": method, "kind": "methods", "seed": seed, "accuracy": 0.1 * seed}
        for method in METHODS
        for seed in SEEDS
        if (method, seed) != ("dWr", 4)
    ]
    assert list(accuracies(pd.DataFrame(rows), 2).columns) == [1, 2, 3]
    assert accuracies(pd.DataFrame(rows[:8]), 2).empty


def test_of_two_methods_the_interval_is_that_of_the_paired_t_test():
    scores = np.random.default_rng(0).normal(50, 2, (2, 6))
    low, high = stats.ttest_rel(*scores).confidence_interval(0.95)
    assert intervals(pd.DataFrame(scores))[1] == pytest.approx((high - low) / 2)


@pytest.mark.parametrize(
    ("losses", "rate"),
    [({1.0: 2.0, 2.0: 1.0, 4.0: 2.0}, None), ({1.0: 1.0, 2.0: 2.0}, 0.5), ({1.0: 2.0, 2.0: 1.0}, 4.0)],
)
def test_one_more_rate_is_tried_beyond_the_lowest_loss_at_an_end(losses, rate):
    assert beyond(losses, factor=2) == rate
