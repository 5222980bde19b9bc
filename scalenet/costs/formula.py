"""Costs by formula: the layer tree read as arithmetic.

Conventions, everywhere in scalenet: `flops` are multiply-adds of convolutions and linear layers for a batch of one, as
in the paper; `flops_by_operator` has fvcore's operators (`conv`, `linear`, `matmul`, `batch_norm` with 2 per element
in evaluation mode, `layer_norm` and `group_norm` with 5, `adaptive_avg_pool2d` with 1 per input element); `params` are
trainable numbers; `activations` are elements of the outputs of
convolutions, linear layers and matrix products.

The walk takes `int`s for one network, or arrays for many at once. A part costs the sum of its runs, each a block times
how often it stands there, so depths are arrays as well.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from scalenet.arch.config import CostRecord
from scalenet.arch.convention import CONVENTION, OF_CONVNETS
from scalenet.arch.errors import ScalenetError
from scalenet.arch.layers import (
    IDENTITY,
    Activation,
    Attention,
    Branches,
    Choice,
    Conv,
    Count,
    Dropout,
    DropPath,
    Flatten,
    GlobalPool,
    Layer,
    Leaf,
    Linear,
    Network,
    Norm,
    Part,
    Pool,
    Position,
    Scale,
    Sequence,
    Shuffle,
)
from scalenet.arch.shapes import MisfitError, Shape, after, chosen, entering_paths, joined, least, passed, shape_of
from scalenet.arch.spec import Architecture, Dimensions, Model, dimensions, layer_tree
from scalenet.costs.program import Program, inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pandas as pd
    from numpy.typing import NDArray

    from scalenet.costs.tables import By

CONV, LINEAR, MATMUL, ADAPTIVE_POOL = "conv", "linear", "matmul", "adaptive_avg_pool2d"
NORMS = {"batchnorm": ("batch_norm", 2), "layernorm": ("layer_norm", 5), "groupnorm": ("group_norm", 5)}
"""fvcore's operator of each normalisation, and what it counts an element."""

MULTIPLYING = (CONV, LINEAR, MATMUL)
"""The operators that `flops` are."""

OPERATORS = (*MULTIPLYING, *(operator for operator, _ in NORMS.values()), ADAPTIVE_POOL)
_EXACT = 2**53
_BLOCK, _COLUMNS = 16_384, 1_024


@dataclass(slots=True)
class Tally:
    """Counts of a part of a network; `operators` are fvcore's, by name."""

    operators: dict[str, Count] = field(default_factory=dict)
    params: Count = 0
    activations: Count = 0

    @property
    def flops(self) -> Count:
        """Multiply-adds of convolutions, linear layers and matrix products."""
        return sum(self.operators[name] for name in MULTIPLYING if name in self.operators)

    def add(self, operator: str, flops: Count) -> None:
        """Add `flops` of one operator."""
        self.operators[operator] = self.operators.get(operator, 0) + flops

    def add_all(self, other: Tally, times: Count = 1) -> None:
        """Add another tally, `times` over."""
        for operator, flops in other.operators.items():
            self.add(operator, flops * times)
        self.params = self.params + other.params * times
        self.activations = self.activations + other.activations * times


@dataclass(frozen=True, slots=True)
class CostedRun:
    """What one of `times` equal blocks in a row costs."""

    tally: Tally
    times: Count


@dataclass(frozen=True, slots=True)
class CostedPart:
    """A part of a network, `stem`, `stages.0`, …, `head`, by its runs.

    `channels`, `height` and `width` are those of the map that leaves it.
    """

    name: str
    runs: tuple[CostedRun, ...]
    channels: Count
    height: Count
    width: Count

    @property
    def depth(self) -> Count:
        """How many blocks it has."""
        return sum(run.times for run in self.runs)

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
    parts: tuple[CostedPart, ...] = field(default=(), repr=False)
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
        convention=CONVENTION if MATMUL in counts.flops_by_operator else OF_CONVNETS,
    )


def cost_many(model: Model, numbers: Dimensions, *, threads: int = 2, exact: bool = True) -> Cost:
    """Count many scaled versions of one model: int64 arrays as long as those in `numbers`, and no `parts`.

    Of one network's `numbers` every figure is an int, in microseconds.
    The arrays are worked through in blocks that fit the cache, in float64, whose sums and products are exact below
    2⁵³; a figure that is not below it raises OverflowError. Without `exact` figures are float64, however large.
    """
    names = _operators(model)
    evaluated = _evaluator(_whole, model, numbers)
    if all(isinstance(value, int) for value in _flat(numbers)):
        figures = evaluated(_flat(numbers))
        if exact:
            check_exact(max(figures))
        return _costed(names, [int(figure) for figure in figures])
    given = _arrays(numbers)
    length = max(np.size(value) for value in given)
    result = np.empty((len(names) + 2, length), np.int64 if exact else np.float64)

    def work(start: int) -> None:
        block = [one[start : start + _BLOCK] if isinstance(one, np.ndarray) else one for one in given]
        for row, figure in zip(result, evaluated(block), strict=True):
            if exact:
                check_exact(np.max(figure, initial=0))
            row[start : start + _BLOCK] = figure

    if length <= _BLOCK:
        work(0)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(0, length, _BLOCK)))
    return _costed(names, result)


def _costed(operators: tuple[str, ...], figures: Any) -> Cost:
    """Return figures in the order of `_whole` as costs."""
    whole = Tally(dict(zip(operators, figures, strict=False)), figures[-2], figures[-1])
    return Cost(whole.flops, whole.operators, whole.params, whole.activations)


Counted: TypeAlias = "Callable[[Model, Dimensions], list[Any]]"


def _whole(model: Model, numbers: Dimensions) -> list[Any]:
    """Return FLOPs by operator, as one network of the model has them, parameters and activations."""
    whole = total(walk(layer_tree(model, numbers)))
    return [*(whole.operators[name] for name in _operators(model)), whole.params, whole.activations]


@lru_cache(maxsize=64)
def _operators(model: Model) -> tuple[str, ...]:
    """Return the operators that one network of the model has."""
    return tuple(cost(model).flops_by_operator)


def _runs(model: Model, numbers: Dimensions) -> list[Any]:
    """Return the FLOPs of one block of each run."""
    return [run.tally.flops for part in walk(layer_tree(model, numbers)) for run in part.runs]


def _evaluator(counted: Counted, model: Model, numbers: Dimensions) -> Callable[[list[Any]], list[Any]]:
    """Return what counts for numbers in the order of `_flat`: a program where there is one, or the walk itself.

    Of images in which a window finds nothing to read, the walk says so; a program would count them all the same.
    """
    program, smallest = _program(counted, model)
    if program is None or min(map(least, numbers.size)) < smallest:
        return lambda numbers: counted(model, _like(model, numbers))
    return program


@lru_cache(maxsize=64)
def _program(counted: Counted, model: Model) -> tuple[Program | None, int]:
    """Return what is counted as a program, and the smallest size of images that it counts.

    There is none where blocks grow with their place or look into their numbers.
    """
    if any(model.growing):
        return None, 1
    numbers = inputs(len(_flat(dimensions(model))))
    try:
        return Program(counted(model, _like(model, numbers)), len(numbers)), smallest_size(model)
    except (TypeError, AttributeError):
        return None, 1


def smallest_size(model: Model) -> int:
    """Return the smallest square input, pixels a side, that leaves every window of the network something to read."""
    low, high = 0, min(model.size)
    while high - low > 1:
        middle = (low + high) // 2 if low else 1
        low, high = (low, middle) if _fits(model, middle) else (middle, high)
    return high


def _fits(model: Model, size: int) -> bool:
    try:
        list(walk(layer_tree(model, dimensions(model)._replace(size=(size, size)))))
    except MisfitError:
        return False
    return True


def _flat(numbers: Dimensions) -> list[Count]:
    return [*chain(*numbers)]


def _arrays(numbers: Dimensions) -> list[Count]:
    """Return the `_flat` numbers, arrays as float64 and of one length."""
    flat = _flat(numbers.each(as_floats))
    shape = np.broadcast_shapes(*map(np.shape, flat))
    return [np.broadcast_to(one, shape) if isinstance(one, np.ndarray) else one for one in flat]


def _like(model: Model, numbers: list[Any]) -> Dimensions:
    """Return the dimensions whose `_flat` numbers are these."""
    rest = iter(numbers)
    return dimensions(model).each(lambda _: next(rest))


def cost_box(model: Model, depths: tuple[Count, ...], numbers: Dimensions, *, threads: int = 2) -> NDArray[np.int64]:
    """Count the FLOPs of every depth with every width and resolution: int64 [depths, widths and resolutions].

    `depths` holds an array of repeats a stage; `numbers` the widths and resolutions, its own depths are not read.
    A network costs the sum of its blocks, each times how often it stands there, so the box is one matrix product. Where
    blocks grow with their place (DenseNet) there is no box, and ScalenetError says so.
    """
    if any(model.growing):
        raise ScalenetError("a network whose blocks grow with their place is not the product of depths and widths")
    numbers = numbers._replace(depths=(2.0,) * len(depths))  # every run is there to be counted
    flops = _evaluator(_runs, model, numbers)(_arrays(numbers))
    columns = [row.ravel() for row in np.broadcast_arrays(*flops)]
    deep = dimensions(model)._replace(depths=tuple(np.asarray(depth, np.float64) for depth in depths))
    times = [run.times for part in layer_tree(model, deep).parts for run in part.runs]
    fixed = sum(row * count for row, count in zip(columns, times, strict=True) if np.ndim(count) == 0)
    rows = np.stack([fixed, *(row for row, count in zip(columns, times, strict=True) if np.ndim(count))])
    counts = np.broadcast_arrays(np.ones(1), *(count for count in times if np.ndim(count)))
    repeats = np.stack(counts, axis=1)
    check_exact(repeats.max(axis=0) @ rows.max(axis=1))
    result = np.empty((len(repeats), rows.shape[1]), np.int64)

    def work(start: int) -> None:
        result[:, start : start + _COLUMNS] = repeats @ rows[:, start : start + _COLUMNS]

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(0, rows.shape[1], _COLUMNS)))
    return result


def walk(network: Network, *, smooth: bool = False, gates: bool = True) -> Iterator[CostedPart]:
    """Yield the parts of a network with their costs, in order.

    With `smooth`, strides divide a map's size without rounding up: the cost as if sizes need not be whole.
    Without `gates`, squeeze-excite costs nothing.
    """
    walker = Walker(shape_of(network, smooth=smooth), gates=gates)
    for part in network.parts:
        yield walker.part(part)


class Walker:
    """Follows the map through the network, and sums what its layers cost *a pixel* until the map's size changes.

    `weights`, `outputs` and `normalized` are weights, output channels and normalised channels at the present size:
    multiplied by the area they are FLOPs and activations, by themselves parameters.
    """

    def __init__(self, shape: Shape, *, gates: bool = True) -> None:
        self.shape, self.area, self.gates = shape, shape.places, gates
        self.tally = Tally()
        self.weights = self.outputs = cast("Count", 0)
        self.normalized: dict[str, Count] = {}

    def part(self, part: Part) -> CostedPart:
        """Return the costs of a part, and leave the map as it does."""
        runs = []
        for number, run in enumerate(part.runs):
            if isinstance(run.times, int) and not run.times:
                runs.append(CostedRun(Tally(), 0))
                continue
            entering = self.shape
            runs.append(CostedRun(self.counted(run.block), run.times))
            if number:
                self.move(passed(part, entering, self.shape, run.times))
        return CostedPart(part.name, tuple(runs), self.shape.channels, self.shape.height, self.shape.width)

    def counted(self, layer: Layer) -> Tally:
        """Return the counts of a layer, and leave the map as the layer does."""
        outer, self.tally = self.tally, Tally()
        self.visit(layer)
        self.flush()
        tally, self.tally = self.tally, outer
        return tally

    def visit(self, layer: Layer) -> None:
        match layer:
            case Conv():
                self.move(after(layer, self.shape))
                self.convolution(layer)
            case Norm():
                if layer.kind == "groupnorm":
                    after(layer, self.shape)  # refuses what has too few values
                self.normalized[layer.kind] = self.normalized.get(layer.kind, 0) + layer.channels
            case Activation() | Dropout() | DropPath():
                pass  # they cost nothing, and leave the map as it is
            case Sequence():
                for _, inner in layer.layers:
                    self.visit(inner)
            case Branches():
                self.branches(layer)
            case Choice():
                self.choice(layer)
            case _:
                entering = self.shape
                self.move(after(layer, entering))
                self.leaf(layer, entering)

    def convolution(self, layer: Conv) -> None:
        kernel = layer.kernel**2 if isinstance(layer.kernel, int) else layer.kernel[0] * layer.kernel[1]
        self.weights = self.weights + layer.out_channels * (layer.group_width * kernel)
        self.outputs = self.outputs + layer.out_channels
        if layer.bias:
            self.tally.params = self.tally.params + layer.out_channels

    def leaf(self, layer: Leaf, entering: Shape) -> None:
        """Count a leaf, behind which the map is: all that the formula knows of kinds of layers."""
        match layer:
            case Linear():
                weights = layer.in_features * layer.out_features
                self.tally.add(LINEAR, weights)
                self.tally.params = self.tally.params + weights + layer.out_features
                self.tally.activations = self.tally.activations + layer.out_features
            case GlobalPool():
                if layer.kind == "adaptive":
                    self.tally.add(ADAPTIVE_POOL, entering.channels * entering.places)
            case Attention():
                self.tally.add(MATMUL, 2 * self.shape.channels * self.area**2)
                made = layer.heads * self.area**2 + self.shape.channels * self.area
                self.tally.activations = self.tally.activations + made
            case Scale():
                self.tally.params = self.tally.params + layer.learned * layer.channels
            case Position():
                self.tally.params = self.tally.params + layer.channels * (layer.height * layer.width)
            case Flatten() | Pool() | Shuffle():
                pass  # they cost nothing
            case _:
                raise ScalenetError(f"{type(layer).__name__}: a layer of an unknown kind has no known cost")

    def branches(self, layer: Branches) -> None:
        """Count paths side by side."""
        entering, left = self.shape, []
        for (_, path), part in zip(layer.paths, entering_paths(layer, entering), strict=True):
            if path is IDENTITY or (layer.join == "multiply" and not self.gates):
                left.append(part)
                continue
            self.move(part)
            self.visit(path)
            left.append(self.shape)
        self.move(joined(layer, left))

    def choice(self, layer: Choice) -> None:
        """Count both of what arrays choose between, each as often as it is chosen."""
        if isinstance(layer.where, bool):
            self.visit(layer.chosen)
            return
        self.flush()
        entering, left = self.shape, []
        for side, times in ((layer.yes, 1 * layer.where), (layer.no, 1 - 1 * layer.where)):
            self.move(entering)
            self.tally.add_all(self.counted(side), times)
            left.append(self.shape)
        self.move(chosen(layer, *left))

    def move(self, shape: Shape) -> None:
        """Have the map of another shape."""
        if shape.height is not self.shape.height or shape.width is not self.shape.width:
            self.flush()
            self.area = shape.places
        self.shape = shape

    def flush(self) -> None:
        """Turn what was summed a pixel into counts."""
        tally = self.tally
        if not (isinstance(self.weights, int) and self.weights == 0):
            tally.add(CONV, self.weights * self.area)
            tally.params = tally.params + self.weights
            tally.activations = tally.activations + self.outputs * self.area
        for kind, channels in self.normalized.items():
            operator, each_element = NORMS[kind]
            tally.add(operator, channels * (each_element * self.area))
            tally.params = tally.params + 2 * channels
        self.weights = self.outputs = 0
        self.normalized = {}


def total(parts: Iterable[CostedPart]) -> Tally:
    """Return the counts of all parts together."""
    result = Tally()
    for part in parts:
        for run in part.runs:
            result.add_all(run.tally, run.times)
    return result


def _ordered(operators: dict[str, Count]) -> dict[str, Count]:
    return {name: operators[name] for name in OPERATORS if operators.get(name)}


def as_floats(value: Count) -> Count:
    """Return an array as float64, and a number as it is."""
    return value.astype(np.float64, copy=False) if isinstance(value, np.ndarray) else value


def check_exact(largest: float) -> None:
    """Raise OverflowError for what float64 cannot hold exactly."""
    if largest >= _EXACT:
        raise OverflowError("a count reaches 2**53, where float64 is no longer exact")
