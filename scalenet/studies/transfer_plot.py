"""Accuracy against parameters on other images, as Figure 6 of the paper: a panel a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from scalenet.arch.plain import plain
from scalenet.arch.words import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scalenet.studies.transfer import Transfers

_COLUMNS = 4
_WIDE, _HIGH = 2.4, 2.1
"""Inches of a panel."""

_COLOUR = "#0b6bb0"


def draw(found: Transfers) -> Figure:
    """Return the figure: means over seeds with their 95 % intervals."""
    columns = min(_COLUMNS, len(found.data))
    rows = -(-len(found.data) // columns)
    drawn = Figure(figsize=(_WIDE * columns + 0.5, _HIGH * rows), layout="constrained")
    FigureCanvasAgg(drawn)
    panels = drawn.subplots(rows, columns, squeeze=False).ravel()
    for axes, data in zip(panels, found.data, strict=False):
        _panel(axes, found, data)
    for axes in panels[len(found.data) :]:
        axes.set_visible(False)
    drawn.supylabel("top-1, %", fontsize="small")
    drawn.supxlabel("parameters without the classifier", fontsize="small")
    return drawn


def _panel(axes: Axes, found: Transfers, data: str) -> None:
    rows = sorted((row for row in found.table() if row["data"] == data), key=lambda row: row["params"])
    params = [row["params"] for row in rows]
    means = [100 * row["accuracy"] for row in rows]
    halves = [100 * (row["interval"] or 0.0) for row in rows]
    axes.errorbar(params, means, yerr=halves, marker="o", markersize=4, linewidth=0.9, capsize=2, color=_COLOUR)
    for row, mean in zip(rows, means, strict=True):
        axes.annotate(
            plain(row["model"]), (row["params"], mean), (3, 4), textcoords="offset points", fontsize="xx-small"
        )
    axes.set_xscale("log")
    axes.margins(x=0.25, y=0.2)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize="x-small")
    axes.set_title(plain(data), fontsize="small")
