"""What a search found, and each candidate's standing: what every plot and table of a report is drawn from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scalenet.scaling.rules import doublings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

DIMENSIONS = ("depth", "width", "resolution")
KINDS = ("best", "tie", "other", "dropped", "diverged")
"""What became of a candidate: first, not distinguishable from it, behind; not trained to the end, or not ranked."""

FINAL = KINDS[:3]
"""Those trained to the end, whose accuracies compare."""

_NUMBERS = (
    *("alpha", "beta", "gamma", "flops", "flops_ratio", "params"),
    *("rank", "rung", "seeds", "accuracy", "score", "interval", "expected"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a search found.

    `summary` are plain sentences, the first of them the answer. `candidates` has a row a candidate: name, alpha,
    beta, gamma, flops, flops_ratio, params, rank, rung, seeds, accuracy, score, interval, tied, merged, and what it
    is `expected` to score at the full budget. `jobs` has a row a finished evaluation: name, seed, budget, rung,
    accuracy (NaN where it diverged), seconds. `curves` are accuracies on the way, and may be empty: name, seed,
    budget, epoch, accuracy. `target` is the FLOPs ratio that was aimed at. `margin` is how far below the best score
    a tied one may lie; where it is not finite the last of the ties says so. `chance` is the accuracy of always saying
    the largest class, where it is known. `facts` are what the results rest on. Accuracies, scores, intervals, the
    margin and chance are fractions.
    """

    title: str
    summary: tuple[str, ...]
    candidates: pd.DataFrame
    jobs: pd.DataFrame
    curves: pd.DataFrame
    target: float
    facts: Mapping[str, str]
    margin: float = math.nan
    chance: float | None = None


def standings(findings: Findings) -> pd.DataFrame:
    """Return the candidates best first, with their `kind`, their shares of the extra FLOPs, and in percent `accuracy`,
    `score` and `interval`, and the accuracy that is `expected`.

    `factor` is score / accuracy. Shares are NaN where α, β and γ are all 1. Those trained to the end come first.
    """
    nothing = pd.Series(np.nan, index=findings.candidates.index)
    known = {name: _numbers(findings.candidates.get(name, nothing)) for name in _NUMBERS}
    frame = findings.candidates.assign(**known)
    frame["interval"] = frame["interval"].where(np.isfinite(frame["interval"]))
    frame["score"] = frame["score"].fillna(frame["accuracy"])
    frame["factor"] = (frame["score"] / frame["accuracy"]).fillna(1.0)
    frame["expected"] = (frame["expected"] / frame["factor"]).where(frame["rank"].notna())
    frame[["accuracy", "score", "interval", "expected"]] *= 100
    frame["kind"] = _kinds(frame, findings.jobs)
    frame["late"] = ~frame["kind"].isin(FINAL)
    best_first = {"late": True, "rank": True, "rung": False, "score": False, "name": True}
    frame = frame.sort_values(list(best_first), ascending=list(best_first.values()), ignore_index=True)
    frame.loc[~frame["late"] & (frame.index == 0), "kind"] = "best"
    return frame.drop(columns="late").assign(**_shares(frame))


def shares(alpha: float, beta: float, gamma: float) -> tuple[float, float, float]:
    """Return the shares of depth, width and resolution in the extra FLOPs: of log₂α + 2·log₂β + 2·log₂γ."""
    parts = doublings(alpha, beta, gamma)
    total = sum(parts)
    depth, width, resolution = (part / total if total > 0 else math.nan for part in parts)
    return depth, width, resolution


def last_jobs(jobs: pd.DataFrame) -> pd.DataFrame:
    """Return each candidate's evaluations in its last rung."""
    rungs = _numbers(jobs["rung"]).fillna(0)
    return jobs[rungs == rungs.groupby(jobs["name"]).transform("max")]


def _numbers(column: pd.Series) -> pd.Series:
    """Return a column as floats, NaN where nothing is known."""
    return pd.Series(pd.to_numeric(column).to_numpy(dtype=float, na_value=np.nan), index=column.index)


def _kinds(frame: pd.DataFrame, jobs: pd.DataFrame) -> NDArray[np.str_]:
    failed = set(jobs.loc[_numbers(jobs["accuracy"]).isna(), "name"])
    conditions = {
        "diverged": frame["accuracy"].isna() | frame["name"].isin(failed),
        "dropped": frame["rung"] < frame["rung"].max(),
        "tie": frame["tied"].astype("boolean").fillna(False).astype(bool),
    }
    return np.select(list(conditions.values()), list(conditions), "other")


def _shares(frame: pd.DataFrame) -> dict[str, list[float]]:
    found = [shares(*point) for point in zip(frame["alpha"], frame["beta"], frame["gamma"], strict=True)]
    return {f"{name}_share": list(column) for name, column in zip(DIMENSIONS, zip(*found, strict=True), strict=True)}
