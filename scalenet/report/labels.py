"""Labels beside points, where they hide neither points nor each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from numpy.typing import NDArray

_PLACES = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)]
_SIDES = {1: "left", 0: "center", -1: "right"}
_HEIGHTS = {1: "bottom", 0: "center", -1: "top"}
_DISTANCE, _RADIUS, _APART, _EDGE = 7.0, 4.5, 6.0, 5.0
"""Points from a mark's centre to its label, half a mark's width, between two labels, and from the axes' edge."""


def label(axes: Axes, wanted: Sequence[tuple[float, float, str]], marks: NDArray[np.float64]) -> None:
    """Write labels at points of the data, most important first: the first anyhow, others where a place is free.

    `marks` are boxes in data coordinates that no label may cover, a row each: left, bottom, right, top.
    """
    drawn = _figure(axes)
    drawn.draw_without_rendering()
    pixels = drawn.dpi / 72 * np.array([-1, -1, 1, 1])
    taken = axes.transData.transform(marks.reshape(-1, 2)).reshape(-1, 4) + _RADIUS * pixels
    for number, (x, y, text) in enumerate(wanted):
        tried = [_write(axes, x, y, text, place) for place in _PLACES]
        hidden = [_hidden(_box(written), axes, taken) for written in tried]
        best = tried.pop(int(np.argmin(hidden)))
        if number == 0 or min(hidden) == 0:
            taken = np.vstack([taken, _box(best) + _APART * pixels])
        else:
            tried.append(best)
        for written in tried:
            written.remove()


def _write(axes: Axes, x: float, y: float, text: str, place: tuple[int, int]) -> Annotation:
    written = axes.annotate(
        text,
        (x, y),
        xytext=(_DISTANCE * place[0], _DISTANCE * place[1]),
        textcoords="offset points",
        ha=_SIDES[place[0]],
        va=_HEIGHTS[place[1]],
        fontsize="small",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.5},
        zorder=8,
    )
    written.set_in_layout(False)  # labels lie inside the axes
    return written


def _figure(axes: Axes) -> Figure:
    drawn = axes.get_figure(root=True)
    assert drawn is not None
    return drawn


def _box(written: Annotation) -> NDArray[np.float64]:
    return np.asarray(written.get_window_extent().extents, dtype=np.float64)


def _hidden(box: NDArray[np.float64], axes: Axes, taken: NDArray[np.float64]) -> int:
    """Return how many boxes a label would cover; beyond the axes, or at their edge, it is worse than on all of them."""
    room = np.asarray(axes.get_window_extent().padded(-_EDGE * _figure(axes).dpi / 72).extents, dtype=np.float64)
    outside = (box[:2] < room[:2]).any() or (box[2:] > room[2:]).any()
    apart = (taken[:, 2:] < box[:2]).any(axis=1) | (taken[:, :2] > box[2:]).any(axis=1)
    return int((~apart).sum() + outside * (len(taken) + 1))
