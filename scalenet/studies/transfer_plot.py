"""Accuracy against parameters on other images, as Figure 6 of the paper: a panel a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalenet.arch.plain import plain
from scalenet.report.columns import Line, Panel, draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from scalenet.studies.transfer import Transfers


def figure_of(found: Transfers) -> Figure:
    """Return the figure: means over seeds with their 95 % intervals."""
    return draw([_panel(found, data) for data in found.data], alike=False)


def _panel(found: Transfers, data: str) -> Panel:
    lines = [
        Line(plain(row["model"]), [row["params"] / 1e6], [100 * row["accuracy"]], [100 * (row["interval"] or 0.0)])
        for row in found.table()
        if row["data"] == data
    ]
    return Panel("parameters, millions", lines, title=plain(data))
