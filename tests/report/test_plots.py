"""The plots of a report: what they are drawn from, and that odd searches draw as well."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalenet.report.figures import figure, style
from scalenet.report.findings import shares, standings
from scalenet.report.labels import label
from scalenet.report.page import write_report
from scalenet.report.plots import MOST_ROWS, plots
from scalenet.scaling.rules import PAPER_COEFFICIENTS

if TYPE_CHECKING:
    from scalenet.report.figures import Plot
    from scalenet.report.findings import Findings

part = st.floats(0, 1)


def drawn(findings: Findings) -> dict[str, Plot]:
    with style():
        return {plot.name: plot for plot in plots(findings, standings(findings))}


def kinds(findings: Findings) -> dict[str, int]:
    return standings(findings)["kind"].value_counts().to_dict()


@given(part, part, st.floats(0.2, 4))
def test_shares_are_those_that_coefficients_were_made_of(one, other, phi):
    depth, width = sorted((one, other))[0], abs(one - other)
    resolution = 1 - depth - width
    found = shares(2 ** (phi * depth), 2 ** (phi * width / 2), 2 ** (phi * resolution / 2))
    assert found == pytest.approx((depth, width, resolution), abs=1e-9)


def test_the_papers_shares_are_published():
    assert [round(100 * part) for part in shares(**PAPER_COEFFICIENTS)] == [28, 29, 43]
    assert all(map(math.isnan, shares(1, 1, 1)))


def test_candidates_stand_best_first_and_those_that_dropped_out_last(invent):
    frame = standings(invent(27, rungs=3, diverged=(5,)))
    order = ["best", "tie", "other", "dropped", "diverged"]
    found = list(frame["kind"])
    assert found[0] == "best"
    assert found.count("best") == found.count("diverged") == 1
    assert found.count("dropped") == 27 - 3 - 1
    assert [order.index(kind) < 3 for kind in found] == 3 * [True] + 24 * [False]
    assert list(frame["rank"][:3]) == [1, 2, 3]


def test_one_diverged_seed_is_enough_not_to_be_ranked(invent):
    findings = invent(4)
    findings.jobs.loc[0, "accuracy"] = math.nan
    findings.candidates.loc[0, "rank"] = pd.NA
    frame = standings(findings).set_index("name")
    assert frame.loc["net0", "kind"] == "diverged"
    assert frame.loc["net0", "accuracy"] > 0


@pytest.mark.parametrize(
    "search",
    [
        {"count": 1, "seeds": 1},
        {"count": 1, "seeds": 1, "curves": True},
        {"count": 2, "seeds": 1, "margin": math.inf},
        {"count": 7, "accuracy": 0.5},
        {"count": 7, "accuracy": 0.5, "margin": 0.0},
        {"count": 7, "accuracy": 1.0, "curves": True},
        {"count": 6, "diverged": (0, 1, 2, 3, 4)},
        {"count": 6, "diverged": (0, 1, 2, 3, 4), "curves": True},
        {"count": 2, "diverged": (0, 1)},
        {"count": 300, "rungs": 4, "curves": True},
        {"count": 300, "accuracy": 0.6},
        {"count": 5, "name": 80 * "long_", "curves": True},
    ],
    ids=str,
)
def test_odd_searches_draw_as_well(tmp_path, invent, search):
    count = search.pop("count")
    assert write_report(invent(count, **search), tmp_path).stat().st_size > 1000


def test_columns_as_a_file_gives_them_draw_as_well(tmp_path, invent):
    findings = invent(9, rungs=2)
    findings.candidates.to_csv(tmp_path / "candidates.csv", index=False)
    read = replace(findings, candidates=pd.read_csv(tmp_path / "candidates.csv"))
    assert kinds(read) == kinds(findings)
    assert write_report(read, tmp_path).read_bytes() == write_report(findings, tmp_path / "other").read_bytes()


def test_candidates_of_the_same_shares_are_drawn_once(invent):
    findings = invent(3)
    findings.candidates[["alpha", "beta", "gamma"]] = [[2, 1, 1], [1.9, 1, 1], [1, 1, 1]]
    caption, shown = drawn(findings)["shares"].caption, drawn(findings)["shares"].shown
    assert "with 1 points" in shown
    assert "Not drawn: 1 " in caption


def test_there_is_no_triangle_without_extra_flops(invent):
    findings = invent(1)
    findings.candidates[["alpha", "beta", "gamma"]] = 1.0
    assert "shares" not in drawn(findings)


def test_curves_are_of_the_largest_budget_else_of_the_budgets(invent):
    halved = invent(9, rungs=2, curves=True)
    axes = drawn(halved)["curves"].figure.axes[0]
    assert axes.get_xlabel() == "epoch"
    assert max(len(line.get_xdata()) for line in axes.lines) == 9
    assert drawn(invent(9, rungs=2))["curves"].figure.axes[0].get_xlabel() == "budget"
    assert "curves" not in drawn(invent(9))


def test_the_best_of_many_are_shown_and_the_rest_counted(invent):
    ties = drawn(invent(300))["ties"]
    assert f"The best {MOST_ROWS} of 300 are shown." in ties.caption
    assert "Not here" not in ties.caption
    assert "Not here: 6 that dropped out." in drawn(invent(9, rungs=2))["ties"].caption


def test_the_band_holds_those_tied_with_the_best_and_no_other(invent):
    findings = invent(9)
    frame = standings(findings)
    inside = frame["kind"].isin(["best", "tie"])
    lowest = {}
    for margin in (math.nan, 0.01):
        axes = drawn(replace(findings, margin=margin))["ties"].figure.axes[0]
        ends = axes.transData.inverted().transform(axes.patches[0].get_window_extent())[:, 0]
        assert list(inside) == [ends[0] - 1e-9 <= score <= ends[1] + 1e-9 for score in frame["score"]]
        lowest[margin] = ends[0]
    assert lowest[0.01] == pytest.approx(frame["score"].max() - 1)


def test_labels_cover_neither_marks_nor_each_other():
    places = np.random.default_rng(0).uniform(0, 1, (25, 2))
    with style():
        canvas, axes = figure(3)
        axes.set(xlim=(-0.1, 1.1), ylim=(-0.1, 1.1))
        label(axes, [(x, y, "1, 1.41, 1") for x, y in places], np.hstack([places, places]))
        canvas.draw_without_rendering()
        boxes = [text.get_window_extent() for text in axes.texts]
        points = axes.transData.transform(places)
    assert len(boxes) > 5
    assert not any(one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number])
    assert not any(box.contains(*point) for box in boxes for point in points)


def test_the_best_is_labelled_even_in_a_crowd():
    with style():
        _, axes = figure(3)
        label(axes, [(0.5, 0.5, "best"), (0.5, 0.5, "next")], np.array([[0.0, 0.0, 1.0, 1.0]]))
    assert [text.get_text() for text in axes.texts] == ["best"]
