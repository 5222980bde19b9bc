"""Maps over images, as Figure 7 of the paper has them: a row an image, a column a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from scalenet.arch.plain import plain
from scalenet.report.columns import TEXT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from scalenet.studies.maps import ActivationMaps, ModelMaps

_SIDE, _BESIDE = 1.35, 0.6
"""Inches of an image, smaller where many are beside each other, and of what else is beside them."""

_COLOURS = "RdBu_r"
_MOST = 0.75
"""How opaque the strongest place is."""

_LONGEST = 22


def draw(found: ActivationMaps) -> Figure:
    """Return the figure: each row has one scale of colours, red for the class and blue against it."""
    columns = 1 + len(found.models)
    side = min(_SIDE, (TEXT - _BESIDE) / columns)
    drawn = Figure(figsize=(side * columns + _BESIDE, (side + 0.28) * found.rows + 0.3), layout="constrained")
    FigureCanvasAgg(drawn)
    grid = drawn.subplots(found.rows, columns, squeeze=False)
    for row, axes in enumerate(grid):
        _row(found, row, list(axes))
        axes[0].set_ylabel(_short(found.labels[row] or ""), fontsize="small")
    for axes, model in zip(grid[0, 1:], found.models, strict=True):
        axes.set_title(f"{_short(model.name)}\n{axes.get_title()}", fontsize="small")
    scale = ScalarMappable(Normalize(-1, 1), _COLOURS)
    bar = drawn.colorbar(scale, ax=grid.ravel().tolist(), fraction=0.02, pad=0.02, ticks=[-1, 0, 1])
    bar.ax.set_yticklabels(["against", "0", "for it"], fontsize="small")
    return drawn


def _row(found: ActivationMaps, row: int, axes: list[Axes]) -> None:
    largest = max(found.models, key=lambda model: model.inputs.shape[2])
    _image(axes[0], largest.inputs[row])
    axes[0].set_title(_short(Path(found.images[row]).name), fontsize="small")
    maps = [model.enlarged(row) for model in found.models]
    most = float(max(np.abs(one).max() for one in maps)) or 1.0
    for one, model, place in zip(maps, found.models, axes[1:], strict=True):
        _image(place, model.inputs[row])
        share = one / most
        place.imshow(share, cmap=_COLOURS, vmin=-1, vmax=1, alpha=_MOST * np.abs(share))
        place.set_title(_answer(model, row), fontsize="small")


def _image(axes: Axes, pixels: NDArray[np.uint8]) -> None:
    axes.imshow(pixels.transpose(1, 2, 0))
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _answer(model: ModelMaps, row: int) -> str:
    """Say what an image is taken for, and what is mapped where that is another class."""
    likely = model.probabilities[row]
    mapped, top = int(model.chosen[row]), int(model.top[row])
    answer = f"{_short(model.classes[top])} {likely[top]:.2f}"
    return answer if mapped == top else f"{answer}\nmapped: {_short(model.classes[mapped])} {likely[mapped]:.2f}"


def _short(text: str) -> str:
    line = plain(text)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
