"""The networks that a baseline can be scaled to, as three growing sequences of depths, widths and input sizes.

A place on an axis is measured in *doublings* of the nominal FLOPs: log₂ d, 2 log₂ w, 2 log₂ r. A rounded network's
stages are not all multiplied alike, so a choice has a mean and a spread (the variance) over the stages that scale,
weighted by the base's blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scalenet.arch.errors import ScalenetError
from scalenet.arch.spec import Dimensions, dimensions
from scalenet.costs.formula import smallest_size
from scalenet.scaling.multiply import scale_dimensions, unrounded
from scalenet.scaling.resolutions import total_stride

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scalenet.arch.layers import Count
    from scalenet.arch.spec import Model
    from scalenet.scaling.rounding import Rounding

_WIDTH_STEPS = 1024
_MOST = 2e7


@dataclass(frozen=True, slots=True)
class Axis:
    """Choices along one axis, each at least as large as the last: numbers [choices, columns], mean and spread."""

    numbers: NDArray[np.int64]
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.mean)

    def where(self, wanted: NDArray[np.bool_]) -> Axis:
        """Return the wanted choices."""
        return Axis(self.numbers[wanted], self.mean[wanted], self.spread[wanted])

    def between(self, low: float, high: float) -> Axis:
        """Return the choices whose means lie in a range."""
        return self.where((low <= self.mean) & (self.mean <= high))


Axes: TypeAlias = tuple[Axis, Axis, Axis]
Index: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Cells:
    """Boxes of 2^`shift` [3, 1] neighbouring choices on each axis; `index` [3, cells] numbers them along it."""

    axes: Axes
    shift: Index
    index: Index

    def __len__(self) -> int:
        return int(self.index.shape[1])

    @property
    def least(self) -> Index:
        """The first choices of each cell."""
        return self.index << self.shift

    @property
    def most(self) -> Index:
        """The last choices of each cell."""
        last: Index = np.minimum((self.index + 1) << self.shift, _lengths(self.axes)) - 1
        return last

    @property
    def spread(self) -> NDArray[np.float64]:
        """The least spread that a choice of each cell may have."""
        starts = (np.arange(0, len(axis), 1 << shift) for axis, shift in zip(self.axes, self.shift.flat, strict=True))
        least = (np.minimum.reduceat(axis.spread, start) for axis, start in zip(self.axes, starts, strict=True))
        return _summed(least, self.index)

    def places(self, choices: Index) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the means [3, networks] and the spreads of combined choices."""
        means = np.stack([axis.mean[chosen] for axis, chosen in zip(self.axes, choices, strict=True)])
        return means, _summed((axis.spread for axis in self.axes), choices)

    def where(self, wanted: NDArray[np.bool_]) -> Cells:
        """Return the wanted cells."""
        return replace(self, index=self.index[:, wanted])

    def halved(self) -> Cells:
        """Return the halves of each cell on every axis that has more than single choices."""
        shift = np.maximum(self.shift - 1, 0)
        halves = np.indices((1 + self.shift - shift).ravel().tolist()).reshape(3, 1, -1)
        index = ((self.index << (self.shift - shift))[:, :, None] + halves).reshape(3, -1)
        return Cells(self.axes, shift, index[:, ((index << shift) < _lengths(self.axes)).all(axis=0)])


@dataclass(frozen=True, slots=True)
class Lattice:
    """Every network that a rounding set gives of a model, at sizes that are multiples of `step` pixels.

    `per_stage` adds the widths of which one stage's is a step of the divisor off the uniform multiple.
    """

    model: Model
    rounding: Rounding
    step: int = 1
    per_stage: bool = False

    def near(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> Axes:
        """Return the depths, widths and sizes between two places."""
        return (
            self._depths(low[0], high[0]).between(low[0], high[0]),
            self._widths(low[1], high[1]).between(low[1], high[1]),
            self._sizes(low[2], high[2]).between(low[2], high[2]),
        )

    def least(self) -> Dimensions:
        """Return the smallest network."""
        smallest = scale_dimensions(self.model, self.rounding, depth=1e-6, width=1e-6, resolution=1.0)
        return smallest._replace(size=tuple(self._sizes(-64.0, 0.0).numbers[0].tolist()))

    def at_least(self, numbers: Dimensions) -> Dimensions:
        """Return unrounded dimensions, none below the smallest network's."""
        return numbers.each(np.maximum, self.least())

    def cells(self, axes: Axes) -> Cells:
        """Return few cells that hold all choices; of widths `per_stage`, which do not just grow, each holds one."""
        bits = [len(axis).bit_length() - (0 if self.per_stage else 4) for axis in axes]
        if self.per_stage:
            bits[1] = 0
        shift = np.maximum(np.array([bits]).T, 0)
        counts = -(-_lengths(axes) >> shift)
        return Cells(axes, shift, np.indices(counts.ravel().tolist()).reshape(3, -1))

    def numbers(self, axes: Axes, index: Index) -> Dimensions:
        """Return the dimensions of combinations of choices, as arrays."""
        return Dimensions(*(tuple(axis.numbers[chosen].T) for axis, chosen in zip(axes, index, strict=True)))

    def place(self, numbers: Dimensions) -> tuple[NDArray[np.float64], float]:
        """Return the means of one network on the three axes, and the sum of its spreads."""
        axes = self._axes(numbers)
        return np.array([axis.mean[0] for axis in axes]), float(sum(axis.spread[0] for axis in axes))

    def means(self, numbers: Dimensions) -> NDArray[np.float64]:
        """Return the means [3, networks] of networks on the three axes; they may be unrounded."""
        return np.stack(np.broadcast_arrays(*(axis.mean for axis in self._axes(numbers))))

    def _axes(self, numbers: Dimensions) -> Axes:
        return (
            self._depth_axis(_stacked(*numbers.depths)),
            self._width_axis(_stacked(*numbers.widths)),
            self._size_axis(_stacked(*numbers.size)),
        )

    def _depths(self, low: float, high: float) -> Axis:
        """Return depths that grow block by block: all stages at one multiple of the base's, rounded to the nearest.

        Where several reach their next block at one multiple, the last stage goes first. It is apportionment after
        Webster and Sainte-Laguë, so a deeper network has no stage less than a shallower one.
        """
        base, free = self._blocks(), self._free()
        start = np.where(free, np.maximum(1, np.floor(base * 2.0 ** (low - 1) + 0.5)), base).astype(np.int64)
        most = np.floor(base * 2.0 ** (high + 1) + 0.5)
        _check_choices(float((most - start)[free].sum()) * len(base))
        steps = [_next_blocks(base[stage], start[stage], high + 1) for stage in np.flatnonzero(free)]
        stages = np.repeat(np.flatnonzero(free), list(map(len, steps)))
        added = np.zeros((len(stages) + 1, len(base)), np.int64)
        added[np.arange(1, len(stages) + 1), stages[np.lexsort((-stages, np.concatenate([[], *steps])))]] = 1
        return self._depth_axis(start + added.cumsum(axis=0))

    def _widths(self, low: float, high: float) -> Axis:
        """Return the widths of stem, stages and head at every multiple of the base's, in steps of 0.07 %."""
        first, last = math.floor(_WIDTH_STEPS * (low - 1) / 2), math.ceil(_WIDTH_STEPS * (high + 1) / 2)
        factor = 2.0 ** (np.arange(first, last + 1) / _WIDTH_STEPS)
        scaled = scale_dimensions(self.model, self.rounding, depth=1.0, width=factor, resolution=1.0)
        rows, own = _rows(*scaled.widths), _rows(*dimensions(self.model).widths)
        # the base's own widths need not be multiples of the divisor: what grows past them on the wrong side is left out
        rows = rows[np.where(factor < 1, (rows <= own).all(axis=1), (rows >= own).all(axis=1))]
        rows = rows[np.append(True, (np.diff(rows, axis=0) != 0).any(axis=1))]
        return self._width_axis(self._varied(rows) if self.per_stage else rows)

    def _varied(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows, and each of them with one stage a step wider or narrower."""
        _check_choices(2.0 * len(self.model.stages) * rows.size)
        result = [rows]
        for number, divisor in enumerate(self.model.divisors[1:-1], start=1):
            step = math.lcm(self.rounding.divisor, divisor)
            for change in (-step, step):
                varied = rows.copy()
                varied[:, number] += change
                result.append(varied[varied[:, number] > 0])
        return np.unique(np.concatenate(result), axis=0)

    def _sizes(self, low: float, high: float) -> Axis:
        """Return the admissible input sizes: multiples of `step` from the least on, in the base's proportion."""
        height, width = self.model.size
        first, last = (height * 2.0 ** (end / 2) / self.step for end in (low, high))
        _check_choices(last - first)
        heights = self.step * np.arange(math.floor(first), math.ceil(last) + 1)
        rows = _rows(heights, self.step * np.floor(heights * (width / height / self.step) + 0.5))
        smallest = max(min(total_stride(self.model), height, width), smallest_size(self.model))
        return self._size_axis(rows[(rows >= smallest).all(axis=1)])

    def _depth_axis(self, rows: NDArray[np.int64]) -> Axis:
        weights = self._blocks() * (self._free() if self._free().any() else 1)
        return _axis(rows, np.log2(rows / self._blocks()), weights)

    def _width_axis(self, rows: NDArray[np.int64]) -> Axis:
        base = np.array([stage.width for stage in self.model.stages])
        return _axis(rows, 2 * np.log2(rows[:, 1:-1] / base), self._blocks())

    def _size_axis(self, rows: NDArray[np.int64]) -> Axis:
        mean = np.log2(rows / self.model.size).sum(axis=1)
        return Axis(rows, mean, np.zeros_like(mean))

    def _blocks(self) -> NDArray[np.int64]:
        return np.array([stage.depth for stage in self.model.stages])

    def _free(self) -> NDArray[np.bool_]:
        """Return which stages' depths scale."""
        doubled = unrounded(self.model, self.rounding, depth=2.0, width=1.0, resolution=1.0).depths
        free: NDArray[np.bool_] = np.array(doubled) != self._blocks()
        return free


def _check_choices(numbers: float) -> None:
    """Refuse an axis that would fill the memory."""
    if numbers > _MOST:
        raise ScalenetError(
            "more networks than can be looked at lie near this budget", hint="scale by --phi or by multipliers instead"
        )


def _lengths(axes: Axes) -> Index:
    return np.array([[len(axis)] for axis in axes])


def _summed(values: Iterable[NDArray[np.float64]], index: Index) -> NDArray[np.float64]:
    """Return the sums of the values that an index [3, networks] takes from three axes."""
    total: NDArray[np.float64] = np.sum([own[chosen] for own, chosen in zip(values, index, strict=True)], axis=0)
    return total


def _next_blocks(base: int, blocks: int, high: float) -> NDArray[np.float64]:
    """Return the multiples of `base` blocks at which a stage of `blocks` gets one more, up to 2^high."""
    return (np.arange(blocks, max(blocks, math.floor(base * 2.0**high + 0.5))) + 0.5) / base


def _rows(*columns: Count) -> NDArray[np.int64]:
    return _stacked(*columns).astype(np.int64)


def _stacked(*columns: Count) -> NDArray[Any]:
    return np.stack(np.broadcast_arrays(*map(np.atleast_1d, columns)), axis=1)


def _axis(rows: NDArray[np.int64], doublings: NDArray[np.float64], weights: NDArray[np.int64]) -> Axis:
    shares = weights / weights.sum()
    mean = doublings @ shares
    return Axis(rows, mean, (doublings - mean[:, None]) ** 2 @ shares)
