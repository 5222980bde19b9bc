"""Figures 1 and 5 of the paper: accuracy against parameters and against FLOPs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scalenet.arch.errors import ScalenetError
from scalenet.report.figures import MARKS, WIDTH, style, written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from scalenet.scaling.comparators import Comparator

FORMS = ("svg", "png", "pdf")

_NEAR = 0.45
"""Points below which the labels of two marks would lie on each other."""

_PLACES = (((6, -3), "left"), ((-6, -3), "right"), ((0, 6), "center"))
"""Where such labels stand, in turn: offset in points, and how they are aligned."""


def draw(found: Sequence[Comparator], form: str) -> bytes:
    """Draw accuracies as printed over costs, computed where the network exists here, as `svg`, `png` or `pdf`."""
    if form not in FORMS:
        raise ScalenetError(f"no figure as {form!r}", hint=f"as {', '.join(FORMS)}")
    with style():
        drawn = Figure(figsize=(2 * WIDTH, 0.75 * WIDTH), layout="constrained")
        FigureCanvasAgg(drawn)
        left, right = drawn.subplots(1, 2, sharey=True)
        _panel(left, [(row, (row.params or row.published_params) / 1e6) for row in found])
        costs = [(row, row.flops or row.published_flops) for row in found]
        _panel(right, [(row, cost / 1e9) for row, cost in costs if cost is not None])
        left.set_xlabel("parameters, millions")
        right.set_xlabel("FLOPs (multiply-adds), billions")
        left.set_ylabel("ImageNet top-1 as printed, %")
        return written(drawn, form)


def _panel(axes: Axes, points: list[tuple[Comparator, float]]) -> None:
    """Draw one figure: the family as a line, others as marks, filled where their cost is computed."""
    family = [(cost, row.top1) for row, cost in points if row.model.startswith("EfficientNet")]
    axes.plot(*zip(*family, strict=True), marker="o", markersize=5, color=MARKS["best"].colour, linewidth=1)
    last, place = 0.0, 0
    for row, cost in sorted(points, key=lambda point: point[0].top1):
        if row.model.startswith("EfficientNet"):
            label, aside, align = row.model.removeprefix("EfficientNet-"), (-6, 2), "right"
        else:
            place = (place + 1) % len(_PLACES) if row.top1 - last < _NEAR else 0
            last = row.top1
            label, (aside, align) = row.model, _PLACES[place]
            mark = MARKS["tie"]
            axes.plot(cost, row.top1, **mark.line(markerfacecolor=mark.colour if row.name else "white"))
        axes.annotate(label, (cost, row.top1), aside, textcoords="offset points", ha=align, fontsize=7)
    axes.set_xscale("log")
    least, most = 0.4 * min(cost for _, cost in points), 4 * max(cost for _, cost in points)
    ticks = [value for value in (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if least <= value <= most]
    axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
    axes.set_xlim(least, most)
    axes.minorticks_off()
