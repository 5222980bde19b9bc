"""The recorded tables are whole, and the rate that they are recorded at follows from the parabola it claims."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tables.tasks import HERE, SHORTER, fitted_rate

TABLES = sorted(HERE.glob("*.csv.xz"))


@pytest.mark.parametrize("file", TABLES, ids=lambda file: file.name)
def test_every_candidate_has_every_seed_and_epoch_and_the_same_cost(file):
    table = pd.read_csv(file)
    about = yaml.safe_load(file.with_name(file.name.replace(".csv.xz", ".yaml")).read_text(encoding="utf-8"))
    costs = table.groupby("candidate").flops.unique()
    assert len(costs) == about["candidates"]["number"] >= 14
    assert max(max(cost) for cost in costs) < 1.05 * min(min(cost) for cost in costs)
    for kind, epochs in (("full", about["recipe"]["epochs"]), ("short", about["recipe"]["epochs"] // SHORTER)):
        rows = table[table.kind == kind]
        assert set(map(tuple, rows[["seed", "epoch"]].to_numpy())) == {
            (s, e + 1) for s in range(8) for e in range(epochs)
        }
        assert len(rows) == len(costs) * 8 * epochs
    assert table.accuracy.between(0, 1).all()


def test_all_tables_together_are_small():
    assert len(TABLES) >= 3
    assert sum(file.stat().st_size for file in TABLES) < 3_000_000


@given(st.floats(-8, -5), st.floats(0.01, 1), st.floats(-0.45, 0.45))
def test_the_rate_is_the_vertex_of_a_parabola_in_log_rate(best, bend, off):
    rates = [math.exp(best + off + step) for step in (-1.0, 0.0, 1.0)]
    losses = {rate: 1 + bend * (math.log(rate) - best) ** 2 for rate in rates}
    assert math.log(fitted_rate(losses)) == pytest.approx(best, abs=1e-6)


def test_the_lowest_loss_at_an_end_is_taken_as_it_is():
    assert fitted_rate({0.001: 1.0, 0.003: 2.0, 0.009: 3.0}) == 0.001
