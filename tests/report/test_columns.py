"""Figures for papers: one column wide, with letters that can be read and fonts that journals take."""

from __future__ import annotations

import re

import pytest

from scalenet.report import columns, figures
from scalenet.report.columns import Line, Panel
from scalenet.studies.transfer import Transfers
from scalenet.studies.transfer_plot import figure_of

POINTS = 72
LINES = [Line(name, [1, 2, 4], [40, 45, 50], [1, 0, 2]) for name in ("depth", "width", "日本", "$x_1$")]


def of_a_study():
    return columns.draw([Panel("FLOPs", LINES), Panel("parameters", LINES)])


def of_a_transfer():
    rows = [
        {"data": data, "model": model, "learning_rate": 0.1, "weight_decay": 0, "seed": 0, "accuracy": 0.5, "loss": 1}
        for data in ("pets", "cars", "food")
        for model in ("small", "large")
    ]
    numbers = {"small": 100, "large": 10**8}
    return figure_of(Transfers(("small", "large"), ("pets", "cars", "food"), numbers, numbers, tuple(rows)))


@pytest.mark.parametrize("made", [of_a_study, of_a_transfer])
def test_letters_of_a_column_can_be_read_and_are_in_the_file(made):
    with columns.style():
        drawn = made()
        svg, pdf = (figures.written(drawn, form) for form in ("svg", "pdf"))
    (width,) = re.findall(rb'<svg [^>]*width="([0-9.]+)pt"', svg)
    assert float(width) == columns.COLUMN * POINTS
    sizes = [float(size) for size in re.findall(rb"font-size: ([0-9.]+)px", svg)]
    assert len(sizes) > 10
    assert min(sizes) >= 6
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf


def test_other_figures_have_such_fonts_too():
    with figures.style():
        drawn, axes = figures.figure(2)
        axes.set_title("a title")
        assert b"/Type3" not in figures.written(drawn, "pdf")
