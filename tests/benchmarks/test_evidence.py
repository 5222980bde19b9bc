"""The accuracies of docs/evidence.md are those of the trainings that were recorded."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
STUDIES = sorted((ROOT / "benchmarks" / "tables" / "studies").glob("*.csv"))
TRANSFERS = sorted((ROOT / "benchmarks" / "tables" / "transfer").glob("*.csv"))


@pytest.mark.parametrize("file", [*STUDIES, *TRANSFERS], ids=lambda file: file.name)
def test_a_recorded_table_is_on_the_page(file):
    sections = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8").split("\n## ")
    (section,) = [one for one in sections if f"{file.relative_to(ROOT)}`" in one]
    table = pd.read_csv(file).dropna(subset="accuracy")
    networks = table.groupby(["name"] if file in STUDIES else ["data", "model"])
    assert networks.seed.nunique().eq(3).all()
    for name, mean in networks.accuracy.mean().items():
        assert f" {100 * mean:.1f}" in section, name
