"""Costs by formula: the layer tree read as arithmetic.

Conventions, everywhere in scalenet: `flops` are multiply-adds of convolutions and linear layers for a batch of one, as
in the paper; `flops_by_operator` has fvcore's operators (`conv`, `linear`, `batch_norm` with 2 per element in
evaluation mode, `adaptive_avg_pool2d` with 1 per input element); `params` are trainable numbers; `activations` are
elements of the outputs of convolutions and linear layers.

The walk takes `int`s for one network, or arrays for many at once. A stage costs its first block plus (depth - 1) times
its repeated block, so depths are arrays as well.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from scalenet.arch.config import CostRecord
from scalenet.arch.errors import ScalenetError
from scalenet.arch.layers import (
    Activation,
    BatchNorm,
    Conv,
    Count,
    Dropout,
    Flatten,
    Gate,
    GlobalPool,
    Layer,
    Linear,
    MaxPool,
    Network,
    Residual,
    Sequence,
)
from scalenet.arch.spec import Architecture, Dimensions, Model, layer_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pandas as pd
    from numpy.typing import NDArray

    from scalenet.costs.tables import By

CONV, LINEAR, BATCH_NORM, ADAPTIVE_POOL = "conv", "linear", "batch_norm", "adaptive_avg_pool2d"
OPERATORS = (CONV, LINEAR, BATCH_NORM, ADAPTIVE_POOL)
_EXACT = 2**53
_BLOCK, _COLUMNS = 32_768, 1_024


@dataclass(slots=True)
class Tally:
    """Counts of a part of a network; `operators` are fvcore's, by name."""

    operators: dict[str, Count] = field(default_factory=dict)
    params: Count = 0
    activations: Count = 0

    @property
    def flops(self) -> Count:
        """Multiply-adds of convolutions and linear layers."""
        return self.operators.get(CONV, 0) + self.operators.get(LINEAR, 0)

    def add(self, operator: str, flops: Count) -> None:
        """Add `flops` of one operator."""
        self.operators[operator] = _plus(self.operators.get(operator, 0), flops)

    def add_all(self, other: Tally, times: Count = 1) -> None:
        """Add another tally, `times` over."""
        for operator, flops in other.operators.items():
            self.add(operator, flops * times)
        self.params = _plus(self.params, other.params * times)
        self.activations = _plus(self.activations, other.activations * times)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a network: `stem`, `stages.0`, …, `head`, costing `first` + (depth - 1) · `repeated`.

    `channels`, `height` and `width` are those of the map that leaves it. Stem and head have depth 1.
    """

    name: str
    first: Tally
    repeated: Tally
    depth: Count
    channels: Count
    height: Count
    width: Count

    @property
    def cost(self) -> Tally:
        """Counts of the whole part."""
        return total([self])


@dataclass(frozen=True, slots=True)
class Cost:
    """Counts of a network for a batch of one, as integers; of many candidates, as int64 arrays.

    `flops` are multiply-adds of convolutions and linear layers. `flops_by_operator` has fvcore's operators, of which
    `batch_norm` and `adaptive_avg_pool2d` are not in `flops`. `params` are trainable numbers, `activations` elements of
    the outputs of convolutions and linear layers. `parts` are stem, stages and head of one network, `model` its
    description; `candidates` are the multipliers of many.
    """

    flops: Any
    flops_by_operator: dict[str, Any]
    params: Any
    activations: Any
    parts: tuple[Part, ...] = field(default=(), repr=False)
    model: Model | None = field(default=None, repr=False, compare=False)
    candidates: dict[str, NDArray[np.float64]] = field(default_factory=dict, repr=False, compare=False)

    def frame(self, by: By | None = None) -> pd.DataFrame:
        """Return a table: one network's by `stage` (the default), `layer` or `operator`; a row a `candidate` of many.

        Layers are called as their modules; those that cost nothing are left out. `flops`, `params` and `activations` of
        stages and of layers add up to the network's.
        """
        from scalenet.costs.tables import frame  # noqa: PLC0415 - tables are made of counts

        return frame(self, by)


def cost(architecture: Architecture | Model) -> Cost:
    """Count one architecture; every figure is an exact int, equal to fvcore's."""
    model = architecture.model if isinstance(architecture, Architecture) else architecture
    parts = tuple(walk(layer_tree(model)))
    whole = total(parts)
    return Cost(whole.flops, _ordered(whole.operators), whole.params, whole.activations, parts, model)


def cost_record(model: Model) -> CostRecord:
    """Return the counts of a model as a config file holds them."""
    counts = cost(model)
    return CostRecord(
        flops=counts.flops,
        flops_by_operator=counts.flops_by_operator,
        params=counts.params,
        activations=counts.activations,
    )


def cost_many(model: Model, numbers: Dimensions, *, threads: int = 2, exact: bool = True) -> Cost:
    """Count many scaled versions of one model: int64 arrays as long as those in `numbers`, and no `parts`.

    The arrays are worked through in blocks that fit the cache, in float64, whose sums and products are exact below
    2⁵³; a figure that is not below it raises OverflowError. Without `exact` figures are float64, however large.
    """
    length = max(np.size(value) for value in _fields(numbers))
    numbers = each(numbers, as_floats)
    result = np.zeros((len(OPERATORS) + 2, length))

    def work(start: int) -> None:
        block = each(numbers, lambda value: value[start : start + _BLOCK] if isinstance(value, np.ndarray) else value)
        whole = total(walk(layer_tree(model, block)))
        figures = (*(whole.operators.get(name, 0) for name in OPERATORS), whole.params, whole.activations)
        for row, figure in zip(result, figures, strict=True):
            row[start : start + _BLOCK] = figure

    if length <= _BLOCK:
        work(0)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(0, length, _BLOCK)))
    if exact:
        check_exact(result.max(initial=0))
        result = result.astype(np.int64)
    operators = {name: row for name, row in zip(OPERATORS, result, strict=False) if row.any()}
    return Cost(result[0] + result[1], operators, result[-2], result[-1])


def cost_box(model: Model, depths: tuple[Count, ...], numbers: Dimensions, *, threads: int = 2) -> NDArray[np.int64]:
    """Count the FLOPs of every depth with every width and resolution: int64 [depths, widths and resolutions].

    `depths` holds an array of repeats a stage; `numbers` the widths and resolutions, its own depths are not read.
    A network costs base(w, r) + Σ (depth - 1) · block(w, r), so the box is one matrix product.
    """
    parts = list(walk(layer_tree(model, each(numbers, as_floats))))
    base = sum(part.first.flops for part in parts)
    rows = np.stack([row.ravel() for row in np.broadcast_arrays(base, *(part.repeated.flops for part in parts[1:-1]))])
    rounds = np.broadcast_arrays(np.ones(1), *(np.asarray(depth, np.float64) - 1 for depth in depths))
    repeats = np.stack(rounds, axis=1)
    check_exact(repeats.max(axis=0) @ rows.max(axis=1))
    result = np.empty((len(repeats), rows.shape[1]), np.int64)

    def work(start: int) -> None:
        result[:, start : start + _COLUMNS] = repeats @ rows[:, start : start + _COLUMNS]

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(0, rows.shape[1], _COLUMNS)))
    return result


def walk(network: Network, *, smooth: bool = False, gates: bool = True) -> Iterator[Part]:
    """Yield the parts of a network with their costs, in order.

    With `smooth`, strides divide a map's size without rounding up: the cost as if sizes need not be whole.
    Without `gates`, squeeze-excite costs nothing.
    """
    walker = Walker(network, smooth=smooth, gates=gates)
    yield walker.part("stem", network.stem)
    for number, stage in enumerate(network.stages):
        yield walker.part(f"stages.{number}", stage.first, stage.repeated, stage.depth)
    yield walker.part("head", network.head)


class Walker:
    """Follows the map through the network, and sums what its layers cost *a pixel* until the map's size changes.

    `weights`, `outputs` and `normalized` are weights, output channels and normalised channels at the present size:
    multiplied by the area they are FLOPs and activations, by themselves parameters.
    """

    def __init__(self, network: Network, *, smooth: bool = False, gates: bool = True) -> None:
        self.channels: Count = network.channels
        self.height, self.width = network.height, network.width
        self.area = network.height * network.width
        self.smooth, self.gates = smooth, gates
        self.tally = Tally()
        self.weights = self.outputs = self.normalized = cast("Count", 0)

    @property
    def map(self) -> tuple[Count, Count, Count]:
        """Channels, height and width of the present map."""
        return self.channels, self.height, self.width

    @map.setter
    def map(self, value: tuple[Count, Count, Count]) -> None:
        self.channels, height, width = value
        self.resize(height, width)

    def part(self, name: str, first: Layer, repeated: Layer | None = None, depth: Count = 1) -> Part:
        tally = self.counted(first)
        again = Tally() if repeated is None else self.counted(repeated)
        return Part(name, tally, again, depth, self.channels, self.height, self.width)

    def counted(self, layer: Layer) -> Tally:
        """Return the counts of a layer, and leave the map as the layer does."""
        outer, self.tally = self.tally, Tally()
        self.visit(layer)
        self.flush()
        tally, self.tally = self.tally, outer
        return tally

    def visit(self, layer: Layer) -> None:  # noqa: PLR0912 - one branch a kind of layer
        match layer:
            case Conv():
                self.stride(layer.stride)
                self.weights = _plus(self.weights, layer.out_channels * (layer.group_width * layer.kernel**2))
                self.outputs = _plus(self.outputs, layer.out_channels)
                if layer.bias:
                    self.tally.params = self.tally.params + layer.out_channels
                self.channels = layer.out_channels
            case BatchNorm():
                self.normalized = _plus(self.normalized, layer.channels)
            case Linear():
                weights = layer.in_features * layer.out_features
                self.tally.add(LINEAR, weights)
                self.tally.params = self.tally.params + weights + layer.out_features
                self.tally.activations = self.tally.activations + layer.out_features
                self.channels = layer.out_features
            case MaxPool():
                self.stride(layer.stride)
            case GlobalPool():
                if layer.kind == "adaptive":
                    self.tally.add(ADAPTIVE_POOL, self.channels * self.area)
                self.resize(1, 1)
            case Sequence():
                for _, inner in layer.layers:
                    self.visit(inner)
            case Gate() if self.gates:
                self.aside(layer.branch)
            case Residual():
                if layer.projection is not None and layer.matches is not True:
                    self.flush()
                    outer, self.tally = self.tally, Tally()
                    self.aside(layer.projection)
                    projection, self.tally = self.tally, outer
                    self.tally.add_all(projection, times=1 - 1 * layer.matches)  # 0 where they match, else 1
                self.visit(layer.main)
            case Activation() | Flatten() | Dropout() | Gate():
                pass  # they cost nothing, a gate where it is left out
            case _:
                raise ScalenetError(f"{type(layer).__name__}: a layer of an unknown kind has no known cost")

    def aside(self, branch: Layer) -> None:
        """Count a branch, and have the map as it was."""
        entering = self.map
        self.visit(branch)
        self.map = entering

    def stride(self, stride: int) -> None:
        """Divide the map's sides, rounding up: kernels are odd and padded by (kernel - 1) // 2."""
        if stride == 1:
            return
        if self.smooth:
            self.resize(np.divide(self.height, stride), np.divide(self.width, stride))
        else:
            self.resize(divided(self.height, stride), divided(self.width, stride))

    def resize(self, height: Count, width: Count) -> None:
        self.flush()
        self.height, self.width = height, width
        self.area = height * width

    def flush(self) -> None:
        """Turn what was summed a pixel into counts."""
        tally = self.tally
        tally.add(CONV, self.weights * self.area)
        scales_and_shifts = 2 * self.normalized
        tally.add(BATCH_NORM, scales_and_shifts * self.area)
        tally.params = _plus(tally.params, self.weights + scales_and_shifts)
        tally.activations = _plus(tally.activations, self.outputs * self.area)
        self.weights = self.outputs = self.normalized = 0


def total(parts: Iterable[Part]) -> Tally:
    """Return the counts of all parts together."""
    result = Tally()
    for part in parts:
        result.add_all(part.first)
        result.add_all(part.repeated, part.depth - 1)
    return result


def _ordered(operators: dict[str, Count]) -> dict[str, Count]:
    return {name: operators[name] for name in OPERATORS if operators.get(name)}


def _fields(numbers: Dimensions) -> list[Count]:
    single = [numbers.height, numbers.width, numbers.stem, *numbers.widths, *numbers.depths]
    return single if numbers.head is None else [*single, numbers.head]


def each(numbers: Dimensions, function: Callable[[Count], Count]) -> Dimensions:
    """Return the dimensions that a function makes of each of them."""
    return Dimensions(
        height=function(numbers.height),
        width=function(numbers.width),
        stem=function(numbers.stem),
        widths=tuple(map(function, numbers.widths)),
        depths=tuple(map(function, numbers.depths)),
        head=None if numbers.head is None else function(numbers.head),
    )


def as_floats(value: Count) -> Count:
    """Return an array as float64, and a number as it is."""
    return value.astype(np.float64) if isinstance(value, np.ndarray) else value


def check_exact(largest: float) -> None:
    """Raise OverflowError for what float64 cannot hold exactly."""
    if largest >= _EXACT:
        raise OverflowError("a count reaches 2**53, where float64 is no longer exact")


def divided(size: Count, stride: int) -> Count:
    """Return size / stride rounded up; `np.ceil` is ten times faster on float arrays than `//`."""
    return -(-size // stride) if isinstance(size, int) else np.ceil(size / stride)


def _plus(total: Count, more: Count) -> Count:
    """Return the sum; nothing plus an array is that array, not a new one."""
    return more if isinstance(total, int) and total == 0 else total + more
