"""Resolutions: sizes that fill every feature map, and sizes at which the cost jumps.

A strided layer divides a map's side and rounds up, so that a size one pixel above a multiple of the total stride pays
for a row of outputs in every stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import numpy as np

from scalenet.arch.spec import dimensions, layer_tree
from scalenet.costs.formula import smallest_size, total, walk

if TYPE_CHECKING:
    from scalenet.arch.spec import Model

Side: TypeAlias = Literal["both", "height", "width"]

NOTABLE = 0.05
"""A cliff costs this share more than its additional pixels do."""

NEAR = 0.02
"""Sizes at most this share smaller, or one pixel, are as good as the given one."""


_FARTHEST = 10_000
"""Sizes that are looked at below a size: no total stride comes near."""
_LARGE = 2.0**20
"""Pixels a side at which windows that are not padded make no difference."""


@dataclass(frozen=True, slots=True)
class Cliff:
    """A size, pixels, and a smaller one that saves notably more than the pixels between them.

    `side` says which side of the input has the size, both at once where it is square; `flops_ratio` is the FLOPs at
    `size` over those at `below`.
    """

    side: Side
    size: int
    below: int
    flops_ratio: float

    @property
    def excess(self) -> float:
        """The FLOPs beyond those of the additional pixels, as a share."""
        sides = 2 if self.side == "both" else 1
        return self.flops_ratio / (self.size / self.below) ** sides - 1

    def __str__(self) -> str:
        """Return the cliff as a sentence."""
        place = "" if self.side == "both" else f"of {self.side} "
        more, pixels = 100 * (self.flops_ratio - 1), 100 * (self.size / self.below - 1)
        pixels_text = f"{pixels:.1f} % more pixels {'per side' if self.side == 'both' else 'on that side'}"
        return f"{self.size} px {place}costs {more:.0f} % more than {self.below} px for {pixels_text}"


def total_stride(model: Model) -> int:
    """Return by what the network divides the side of its input before the head: 32 in EfficientNet.

    Sizes that it divides are tight: no feature map of theirs has a ragged row.
    """
    large = dimensions(model)._replace(size=(_LARGE, _LARGE))
    *_, last, _ = walk(layer_tree(model, large), smooth=True)
    return round(_LARGE / cast("float", last.height))


def cliffs(model: Model, sizes: range) -> list[Cliff]:
    """Return the sizes that cost notably more than the one before them in `sizes`, for the pixels that they add.

    Square inputs have one size; of others one side changes at a time, and the other one is the model's.
    """
    found: list[Cliff] = []
    for side in _sides(model):
        flops = _flops(model, side, sizes)
        pairs = zip(pairwise(sizes), pairwise(flops), strict=True)
        found += [Cliff(side, size, below, after / before) for (below, size), (before, after) in pairs]
    return [cliff for cliff in found if cliff.excess >= NOTABLE]


def cliffs_below(model: Model) -> list[Cliff]:
    """Return for each side of a model's input the near smaller size that saves most for its pixels, if notably."""
    found: list[Cliff] = []
    for side, size in _sides(model).items():
        nearest = min(ceil(size * (1 - NEAR)), size - 1)  # of few pixels even one is more than this share
        sizes = range(max(nearest, smallest_size(model), size - _FARTHEST), size + 1)
        *flops, own = _flops(model, side, sizes)
        near = [Cliff(side, size, below, own / saved) for below, saved in zip(sizes, flops, strict=False)]
        found += sorted(near, key=lambda cliff: cliff.excess)[-1:]
    return [cliff for cliff in found if cliff.excess >= NOTABLE]


def _sides(model: Model) -> dict[Side, int]:
    height, width = model.size
    return {"both": height} if height == width else {"height": height, "width": width}


def _flops(model: Model, side: Side, sizes: range) -> list[float]:
    """Return the FLOPs of a model with each of these sizes on a side."""
    height, width = model.size
    pixels = np.array(sizes, np.float64)
    size = (height if side == "width" else pixels, width if side == "height" else pixels)
    counted = total(walk(layer_tree(model, dimensions(model)._replace(size=size))))
    flops: list[float] = np.asarray(counted.flops).tolist()
    return flops
