"""The curves of a training as a picture: loss and top-1 over the epochs."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.style import context
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

_PANELS = {
    "loss": ({"training": "loss", "held out": "held_out_loss"}, 1.0),
    "top-1, %": ({"training": "accuracy", "held out": "held_out_top1"}, 100.0),
}


def curves_png(curve: Sequence[dict[str, float]]) -> bytes:
    """Return a PNG of a curve's records, one an epoch; values that a record lacks are left out."""
    file = io.BytesIO()
    with context("default"):  # whatever a user's matplotlibrc says
        figure = Figure(figsize=(9.6, 3.2), layout="constrained")
        FigureCanvasAgg(figure)
        for axes, (title, (columns, factor)) in zip(figure.subplots(1, 2), _PANELS.items(), strict=True):
            for name, column in columns.items():
                _line(axes, name, [(one["epoch"], factor * one[column]) for one in curve if column in one])
            axes.set(title=title, xlabel="epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(alpha=0.3)
            axes.legend(frameon=False)
        figure.savefig(file, format="png", dpi=100, metadata={"Software": None})
    return file.getvalue()


def _line(axes: Axes, name: str, points: list[tuple[float, float]]) -> None:
    if points:
        axes.plot(*zip(*points, strict=True), marker=".", label=name)
