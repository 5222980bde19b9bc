"""The triangle of shares: which part of the extra FLOPs goes into depth, width and resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Polygon

from scalenet.report.figures import BAND, FAINT, INK, MARKS, MUTED, Plot, crowded, figure, handles
from scalenet.report.findings import DIMENSIONS, FINAL, shares
from scalenet.scaling.rules import PAPER_COEFFICIENTS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]])
_QUARTERS = (0.25, 0.5, 0.75)
_FEW = 150  # candidates up to which each is coloured and shaded: a page of thousands shall stay small
_HALO = 0.2  # of the triangle's sides: the most that is shaded around what may be the best
_COLUMNS = [f"{name}_share" for name in DIMENSIONS]
_COLOURS = "viridis"
_RING: dict[str, Any] = {
    "linestyle": "",
    "marker": "o",
    "color": INK,
    "markerfacecolor": "none",
    "markeredgewidth": 0.8,
    "zorder": 8,
}


def shares_plot(frame: pd.DataFrame) -> Plot | None:
    """Draw the candidates on the triangle of shares; those of the same shares once, as the best of them."""
    known = frame.dropna(subset=_COLUMNS)
    placed = known[~known[_COLUMNS].round(4).duplicated().to_numpy()]
    if placed.empty:
        return None
    drawn, axes = figure(4.2)
    _grid(axes)
    placed = placed.assign(shown=placed["expected"].where(placed["expected"].notna(), placed["accuracy"]))
    colours = ScalarMappable(_scale(placed), _COLOURS)
    if len(placed) <= _FEW:
        _region(axes, placed)
    _marks(axes, placed, colours)
    _legend(axes, set(placed["kind"]))
    if placed["kind"].isin(FINAL).any():
        _colour_bar(axes, colours)
    return Plot("shares", "Where the extra FLOPs go", _caption(placed, len(known)), _shown(placed), drawn)


def _grid(axes: Axes) -> None:
    """Draw the triangle with gridlines at quarters; each percent stands where its dimension's gridline ends."""
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set(xlim=(-0.16, 1.16), ylim=(-0.1, 0.97))
    axes.fill(*_CORNERS.T, facecolor="none", edgecolor=MUTED, linewidth=0.8, zorder=1)
    for number, name in enumerate(DIMENSIONS):
        corner, before, after = (_CORNERS[number - turn] for turn in range(3))
        for quarter in _QUARTERS:
            _gridline(axes, quarter * corner + (1 - quarter) * np.array([before, after]), f"{100 * quarter:.0f} %")
        x, y = corner + np.array([0, 0.05 if corner[1] > 0 else -0.06])
        axes.text(x, y, name, ha="center", va="center", fontweight="bold")


def _gridline(axes: Axes, ends: NDArray[np.float64], text: str) -> None:
    """Draw a gridline that goes a little beyond its first end, to its percent."""
    outward = (ends[0] - ends[1]) / np.linalg.norm(ends[0] - ends[1])
    axes.plot(*ends.T, color=FAINT, linewidth=0.8, zorder=0.5)
    axes.plot(*np.array([ends[0], ends[0] + 0.03 * outward]).T, color=MUTED, linewidth=0.6, zorder=0.5)
    x, y = ends[0] + 0.065 * outward
    axes.text(x, y, text, ha="center", va="center", fontsize="small", color=MUTED)


def _region(axes: Axes, placed: pd.DataFrame) -> None:
    """Shade where the best may lie: around the best and all that may be as good."""
    places = _places(placed).T
    apart = np.linalg.norm(places[:, None] - places, axis=-1) + 9 * np.eye(len(places))
    around = min(_HALO, 0.6 * float(np.median(apart.min(axis=1))))  # so that neighbours' circles meet
    inside = Polygon(_CORNERS, transform=axes.transData)
    for place in places[placed["tied"].astype("boolean").fillna(False).to_numpy(dtype=bool)]:
        shade = axes.add_patch(Circle((place[0], place[1]), around, facecolor=BAND, edgecolor="none", zorder=0.2))
        shade.set_clip_path(inside)


def _scale(placed: pd.DataFrame) -> Normalize:
    """Return the scale of colours, no narrower than one percent: equal accuracies have a scale too."""
    accuracies = placed.loc[_coloured(placed), "shown"]
    low, high = accuracies.min(), accuracies.max()
    around = max(0.0, 0.5 - (high - low) / 2)
    return Normalize(low - around, high + around)


def _marks(axes: Axes, placed: pd.DataFrame, colours: ScalarMappable) -> None:
    """Draw the best last; a ring is the larger, the longer its candidate was trained before it was dropped."""
    crowd, last = crowded(len(placed)), placed["rung"].max() or 1.0
    trained = placed["rung"].fillna(0) / last
    final = placed["kind"].isin(FINAL)
    coloured = _coloured(placed)
    for _, alike in placed[~final].groupby(["kind", trained]):
        mark = MARKS[alike["kind"].iloc[0]]
        size = crowd * mark.size * (1 + trained[alike.index[0]])
        axes.plot(*_places(alike), **mark.line(markersize=size))
        if (inside := alike[coloured[alike.index]]).size:
            across, up = _places(inside)
            axes.scatter(across, up, (0.6 * size) ** 2, colours.to_rgba(inside["shown"].to_numpy()), zorder=5)
    for kind, alike in placed[final].iloc[::-1].groupby("kind"):
        mark = MARKS[str(kind)]
        size = 1.25 * mark.size * (1 if kind == "best" else crowd)
        look: dict[str, Any] = {"marker": mark.shape, "edgecolors": INK, "linewidths": 0.7, "zorder": mark.order}
        across, up = _places(alike)
        axes.scatter(across, up, size**2, colours.to_rgba(alike["shown"].to_numpy()), **look)


def _coloured(placed: pd.DataFrame) -> pd.Series:
    """Return which candidates have a colour: those trained to the end, and of not too many the expected others too."""
    final = placed["kind"].isin(FINAL)
    if len(placed) > _FEW:
        return final
    return final | (placed["kind"].eq("dropped") & placed["expected"].notna())


def _places(placed: pd.DataFrame) -> NDArray[np.float64]:
    """Return where candidates lie, across and up."""
    return _place(placed[_COLUMNS].to_numpy()).T


def _place(parts: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    place: NDArray[np.float64] = np.asarray(parts) @ _CORNERS
    return place


def _legend(axes: Axes, kinds: Collection[str]) -> None:
    """Mark the paper's coefficients by a ring, and say what the marks mean."""
    words = ", ".join(f"{value:g}" for value in PAPER_COEFFICIENTS.values())
    axes.plot(*_place(shares(**PAPER_COEFFICIENTS)), markersize=15, **_RING)
    paper = Line2D([], [], markersize=9, label=f"the paper's {words}", **_RING)
    final = handles([kind for kind in kinds if kind in FINAL], markerfacecolor="white", markeredgecolor=INK)
    rest = handles([kind for kind in kinds if kind not in FINAL])
    axes.legend(handles=[*final, *rest, paper], loc="upper left", borderaxespad=0, labelspacing=0.6)


def _colour_bar(axes: Axes, colours: ScalarMappable) -> None:
    beside = axes.inset_axes((0.9, 0.55, 0.025, 0.37))
    axes.figure.colorbar(colours, cax=beside)
    beside.grid(visible=False)
    for spine in beside.spines.values():
        spine.set_visible(False)
    beside.set_title("accuracy, %", fontsize="small", loc="right", pad=8)


def _caption(placed: pd.DataFrame, known: int) -> str:
    sentences = [
        "Each point is a candidate, by the shares of its extra FLOPs that go into depth, width and resolution; a",
        "corner scales one dimension alone. Colour is accuracy, as it is expected of a training to the end.",
    ]
    if len(placed) <= _FEW:
        sentences.append("The best may lie in the shaded part.")
    if "dropped" in set(placed["kind"]):
        sentences.append("Small rings were trained shortly: the smaller, the shorter.")
    if len(placed) < known:
        sentences.append(f"Not drawn: {known - len(placed)} with the same shares as a better one.")
    return " ".join(sentences)


def _shown(placed: pd.DataFrame) -> str:
    parts = ", ".join(f"{name} {100 * placed.iloc[0][f'{name}_share']:.0f} %" for name in DIMENSIONS)
    return f"Triangle of the shares of depth, width and resolution with {len(placed)} points. The best: {parts}."
