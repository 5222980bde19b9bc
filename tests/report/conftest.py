"""Findings of an invented search, in which the middle of the triangle is best."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from scalenet.report.page import Findings

if TYPE_CHECKING:
    from collections.abc import Callable

NO_CURVES = pd.DataFrame(columns=["name", "seed", "budget", "epoch", "accuracy"])


def invented(
    count: int = 9,
    *,
    seeds: int = 2,
    rungs: int = 1,
    curves: bool = False,
    accuracy: float | None = None,
    diverged: tuple[int, ...] = (),
    name: str = "net",
    **changes: Any,
) -> Findings:
    """Return findings of `count` candidates, of which each rung keeps a third."""
    draw = np.random.default_rng(0)
    parts = draw.dirichlet([1, 1, 1], count)
    truth = np.full(count, accuracy) if accuracy else 0.7 - ((parts - 1 / 3) ** 2).sum(axis=1) / 4
    order = [number for number in np.argsort(-truth) if number not in diverged]
    last = [
        max(rung for rung in range(rungs) if rung == 0 or number in order[: count // 3**rung])
        for number in range(count)
    ]
    jobs = pd.DataFrame(
        {"name": f"{name}{number}", "seed": seed, "budget": 3 ** (rung + 1), "rung": rung, "seconds": 1.0}
        | {"accuracy": math.nan if number in diverged else truth[number] * (1 - 0.5 ** (rung + 1)) + 0.002 * seed}
        for number in range(count)
        for rung in range(last[number] + 1)
        for seed in range(seeds)
    )
    final = jobs[jobs["rung"] == jobs["name"].map({f"{name}{number}": rung for number, rung in enumerate(last)})]
    frame = pd.DataFrame({"name": [f"{name}{number}" for number in range(count)], "rung": last, "seeds": seeds})
    frame["alpha"], frame["beta"], frame["gamma"] = 2 ** parts[:, 0], 2 ** (parts[:, 1] / 2), 2 ** (parts[:, 2] / 2)
    frame["flops_ratio"] = np.linspace(1.9, 2.4, count)
    frame["flops"], frame["params"], frame["merged"] = frame["flops_ratio"] * 4e8, 5_300_000, ""
    frame["accuracy"] = frame["score"] = frame["name"].map(final.groupby("name")["accuracy"].mean())
    ranked = (frame["rung"] == rungs - 1) & frame["accuracy"].notna()
    frame["rank"] = frame["score"].where(ranked).rank(ascending=False, method="first").astype("Int64")
    frame["interval"] = frame["score"].where(ranked) * 0 + (0.004 if seeds > 1 else math.nan)
    frame["tied"] = (frame["score"].max() - frame["score"] <= 0.01).astype("boolean").where(ranked)
    return Findings(
        **{
            "title": "net: held-out top-1 on squares",
            "summary": ("best: α = 1.2, β = 1.1, γ = 1.15: 71.30 ± 0.40 %", "2 of the others tie with it"),
            "candidates": frame,
            "jobs": jobs,
            "curves": _learned(jobs) if curves else NO_CURVES,
            "target": 2.0,
            "facts": {"baseline": "net", "images": "squares"},
        }
        | changes
    )


def _learned(jobs: pd.DataFrame) -> pd.DataFrame:
    columns = ["name", "seed", "budget"]
    return pd.DataFrame(
        dict(zip(columns, row[:3], strict=True)) | {"epoch": epoch, "accuracy": row[3] * epoch / row[2]}
        for row in jobs[[*columns, "accuracy"]].itertuples(index=False)
        for epoch in range(1, row[2] + 1)
    )


@pytest.fixture(scope="session")
def invent() -> Callable[..., Findings]:
    """Return the function that invents findings."""
    return invented
