"""Figures of one column of a paper: accuracy against costs, a line a series, in `paper.mplstyle`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.style import context
from matplotlib.ticker import FixedLocator, NullLocator

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from matplotlib.axes import Axes

COLUMN = 3.25
"""Inches: the width of a column."""

TEXT = 6.9
"""Inches: the width of two columns and what is between them."""

_COLOURS = ("#0b6bb0", "#c2410c", "#2f855a", "#6b46c1", "#b7791f", "#b83280", "#4a5568")
_SHAPES = "osD^v*PX"
_MOST_TICKS = 6
_ASIDE = 0.012
"""By how much lines stand beside each other, a fraction of a cost: else one hides the other's interval."""


@dataclass(frozen=True, slots=True)
class Line:
    """A series: costs across, accuracies in percent, and half of their intervals, 0 where nothing is known."""

    label: str
    costs: Sequence[float]
    accuracies: Sequence[float]
    halves: Sequence[float]


@dataclass(frozen=True, slots=True)
class Panel:
    """A pair of axes: what is across, in words, its lines, and what stands above it."""

    across: str
    lines: Sequence[Line]
    title: str = ""


def style() -> AbstractContextManager[None]:
    """Return the context in which such figures are made and written, whatever a user's matplotlibrc says."""
    return context(["default", str(resources.files("scalenet.report") / "paper.mplstyle")])


def draw(panels: Sequence[Panel], *, alike: bool = True) -> Figure:
    """Draw panels, two beside each other where there are several, with one legend, and one scale where `alike`."""
    rows, columns = (1, 1) if len(panels) == 1 else (-(-len(panels) // 2), 2)
    drawn = Figure(figsize=(COLUMN, 2.5 if rows == 1 else 0.35 + 1.75 * rows), layout="constrained")
    FigureCanvasAgg(drawn)
    places = drawn.subplots(rows, columns, squeeze=False, sharey=alike).flatten()
    for axes, panel in zip(places, panels, strict=False):
        _panel(axes, panel)
    for number, axes in enumerate(places):
        axes.set_visible(number < len(panels))
        if number % columns == 0:
            axes.set_ylabel("held-out top-1, %")
    labels = [line.label for line in panels[0].lines]
    handles, _ = places[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside upper left", ncols=min(4, len(labels)))
    return drawn


def _panel(axes: Axes, panel: Panel) -> None:
    """Draw lines over costs, of which each is twice as far right as half of it."""
    for number, line in enumerate(panel.lines):
        aside = 1 + _ASIDE * (number - (len(panel.lines) - 1) / 2)
        look: dict[str, Any] = {"color": _COLOURS[number % len(_COLOURS)], "marker": _SHAPES[number % len(_SHAPES)]}
        axes.errorbar(
            [cost * aside for cost in line.costs],
            line.accuracies,
            line.halves,
            label=line.label,
            elinewidth=0.6,
            **look,
        )
    axes.set_xscale("log", base=2)
    axes.set_xlabel(panel.across)
    axes.set_title(panel.title)
    costs = [cost for line in panel.lines for cost in line.costs]
    ticks = _ticks(min(costs), max(costs))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])


def _ticks(least: float, most: float) -> list[float]:
    """Return round ticks between two costs, no more than a narrow panel holds."""
    for steps in ((1, 2, 4, 8, 16, 32), (1, 2, 5), (1, 5), (1,)):
        base = 64 if 32 in steps else 10
        powers = range(math.floor(math.log(least, base)) - 1, math.ceil(math.log(most, base)) + 1)
        ticks = [step * float(base) ** power for power in powers for step in steps]
        found = [tick for tick in ticks if 0.97 * least <= tick <= 1.05 * most]
        if 2 <= len(found) <= _MOST_TICKS and (base == 10 or least > 0.9):
            return found
    return [float(f"{least:.2g}"), float(f"{most:.2g}")]
