"""The recorded tables are whole."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml
from tables.tasks import HERE, SHORTER

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
