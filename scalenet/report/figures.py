"""How the figures of a report look, and how they become PNG and SVG: the same bytes for the same findings."""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.style import context

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    import pandas as pd
    from matplotlib.axes import Axes

WIDTH = 5.2
"""Inches: so narrow that letters stay legible on a phone."""

INK, MUTED, FAINT, BAND = "#1f2328", "#69707a", "#e4e7eb", "#e3eef7"
_BEST, _TIE, _OTHER, _DROPPED = "#c2410c", "#0b6bb0", "#7d858f", "#a3abb5"

_STYLE: dict[str, Any] = {
    "figure.dpi": 200,  # as fine as the PNG, so that text is measured as it is written
    "font.size": 9,
    "font.sans-serif": [
        "DejaVu Sans",
        "Helvetica",
        "Arial",
    ],  # the first comes with matplotlib, and is what is measured
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.handletextpad": 0.3,
    "legend.columnspacing": 1.2,
    "svg.fonttype": "none",
    "svg.hashsalt": "scalenet",
    "pdf.fonttype": 42,  # journals refuse the other kind, Type 3
    "text.parse_math": False,
}


@dataclass(frozen=True, slots=True)
class Mark:
    """How a kind of candidate is drawn: told apart by shape, and by colour besides. `size` is in points."""

    shape: str
    size: float
    colour: str
    hollow: bool = False
    order: int = 3

    def line(self, **changes: Any) -> dict[str, Any]:
        """Return the mark as keywords of `plot`."""
        face = "white" if self.hollow else self.colour
        own = {"marker": self.shape, "markersize": self.size, "color": self.colour, "markeredgecolor": self.colour}
        return own | {"markerfacecolor": face, "markeredgewidth": 0.9, "linestyle": "", "zorder": self.order} | changes


MARKS = {
    "best": Mark("*", 13, _BEST, order=7),
    "tie": Mark("D", 5.5, _TIE, order=6),
    "other": Mark("o", 5.5, _OTHER, order=5),
    "dropped": Mark("o", 3.5, _DROPPED, hollow=True, order=4),
    "diverged": Mark("x", 5, _OTHER, order=4),
}
_NAMES = {
    "best": "best",
    "tie": "tied with it",
    "other": "others",
    "dropped": "trained shortly",
    "diverged": "diverged or failed",
}


@dataclass(frozen=True, slots=True, eq=False)
class Plot:
    """A figure, the name of its files, and what is written beside it; `shown` says in words what it shows."""

    name: str
    title: str
    caption: str
    shown: str
    figure: Figure

    def _repr_png_(self) -> bytes:
        """Show it in a notebook."""
        with style():
            return png(self.figure)


def style() -> AbstractContextManager[None]:
    """Return the context in which figures are made and written, whatever a user's matplotlibrc says."""
    return context(["default", _STYLE])


def figure(height: float) -> tuple[Figure, Axes]:
    """Return an empty figure of the report's width; `height` is in inches."""
    drawn = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(drawn)
    return drawn, drawn.add_subplot()


def crowded(count: int) -> float:
    """Return by how much marks shrink where they are many."""
    return min(1.0, math.sqrt(math.sqrt(60 / count)))


def handles(kinds: Iterable[str], **changes: Any) -> list[Line2D]:
    """Return the legend's marks of those kinds that there are, in their order."""
    there = set(kinds)
    return [Line2D([], [], label=_NAMES[kind], **mark.line(**changes)) for kind, mark in MARKS.items() if kind in there]


def legend(drawn: Figure, entries: list[Line2D]) -> None:
    """Put a legend above the axes, where it hides nothing."""
    drawn.legend(handles=entries, loc="outside upper left", ncols=len(entries))


def coefficients(row: pd.Series) -> str:
    """Return α, β, γ of a candidate for a label."""
    return ", ".join(f"{row[name]:.3g}" for name in ("alpha", "beta", "gamma"))


def svg(drawn: Figure) -> bytes:
    """Return a figure as SVG, with its text as text."""
    return written(drawn, "svg")


def png(drawn: Figure) -> bytes:
    """Return a figure as PNG."""
    return written(drawn, "png")


def written(drawn: Figure, form: str) -> bytes:
    """Return a figure as `svg`, `png` or `pdf`, without a date."""
    dated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # names of others are in any letters
        drawn.savefig(file, format=form, metadata=dated.get(form, {}))
    return file.getvalue()
