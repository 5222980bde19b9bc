"""Peak memory by formula: the layer tree read as what is allocated and released, in order.

The level of memory is followed through one step of the module that `scalenet.build` returns, run eagerly: a forward
pass without gradients in evaluation mode, or (`training`) forward pass, cross-entropy and backward pass. What is held
when:

- The images, all the time: the caller holds them.
- An operator holds its input until it has written its output. So does a sequence, a gate, a residual block, a stage:
  its input stays until it returns, for Python's frames refer to it. The stem's output so stays through all stages.
- An activation after a convolution, a normalisation or a linear layer works in place; flattening allocates nothing.
- A residual block holds its input, the main path's output, the projection's and their sum; stochastic depth two copies
  more of the main path's output. A gate holds its input, the gate's values and their product.
- Max pooling makes indices (8 bytes an output), which inference throws away at once.

In training autograd keeps, until the operator's own backward pass has run: the input of convolutions, linear layers,
normalisations (and their two statistics a channel), max pooling (and its indices) and products (both factors); the
output of relu and sigmoid; the input of other activations, which in place is a copy; dropout's mask. Backward, an
operator holds the gradient of its output until it has made those of its input and of its parameters. The gradient that
a residual sum hands to two paths is shared, and stays until both have used it; the product in a gate needs one more
map. Gradients of parameters come one by one and stay: most of them meet few activations.

What one kernel takes for itself and gives back before it returns is a matter of the implementation and not counted:
workspaces and reordered copies of convolutions, temporary statistics of normalisations. Nor are labels, the masks of
stochastic depth (a byte an image), the allocator's rounding and fragmentation, and the CUDA context.

A stage's repeated blocks are alike, so their levels rise and fall by equal steps, and the highest is in the first or
the last of them: numbers may be arrays, depths included.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

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
    Mask,
    MaxPool,
    Network,
    Residual,
    Sequence,
    Stage,
)
from scalenet.arch.spec import Architecture, Dimensions, Model, layer_tree
from scalenet.costs.formula import as_floats, check_exact, divided, each

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

_INDEX = 8
"""Bytes of an int64: max pooling's indices, and the batches that a normalisation has seen."""

_KEEPS_OUTPUT = ("relu", "sigmoid")
"""Activations of which autograd keeps the output; of others it keeps the input."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of one step; see the module for what is counted.

    `weights` are parameters and buffers; `activations` the peak of all else but the parameters' gradients;
    `gradients` all of those (0 for inference); `moments` what the optimiser keeps. `peak` is the most that is allocated
    at once, which in training is less than the sum: gradients come as activations go.
    """

    weights: int
    activations: int
    gradients: int
    moments: int
    peak: int


def memory(
    architecture: Architecture | Model,
    *,
    batch: int = 1,
    training: bool = False,
    bytes_per_element: int = 4,
    moments: int = 0,
) -> Memory:
    """Return the memory of one step with a batch of images.

    `moments` is how many numbers the optimiser keeps a parameter in training: 0 plain SGD, 1 with momentum, 2 Adam.
    """
    model = architecture.model if isinstance(architecture, Architecture) else architecture
    walked = partial(_Walker, model, batch=batch, element=bytes_per_element, training=training)
    whole = walked()
    without_gradients = walked(gradients=False) if training else whole
    kept = moments * training * whole.parameters
    return Memory(
        weights=cast("int", whole.weights),
        activations=cast("int", without_gradients.peak),
        gradients=cast("int", whole.parameters * training),
        moments=cast("int", kept),
        peak=cast("int", whole.weights + kept + whole.peak),
    )


def memory_many(
    model: Model,
    numbers: Dimensions,
    *,
    batch: int = 1,
    training: bool = False,
    bytes_per_element: int = 4,
    moments: int = 0,
    exact: bool = True,
) -> NDArray[Any]:
    """Return the peaks, in bytes, of many scaled versions of one model: as long as the arrays in `numbers`.

    They are exact below 2⁵³ bytes; a peak that is not below it raises OverflowError, or is a float64 without `exact`.
    """
    walker = _Walker(model, each(numbers, as_floats), batch=batch, element=bytes_per_element, training=training)
    peaks = np.atleast_1d(walker.weights + moments * training * walker.parameters + walker.peak)
    if not exact:
        return peaks
    check_exact(peaks.max(initial=0))
    return peaks.astype(np.int64)


def largest_batch(
    architecture: Architecture | Model,
    limit_bytes: float,
    *,
    training: bool = False,
    bytes_per_element: int = 4,
    moments: int = 0,
) -> int:
    """Return the largest batch whose peak is within the limit, 0 where one image is too much."""

    def fits(batch: int) -> bool:
        step = memory(
            architecture, batch=batch, training=training, bytes_per_element=bytes_per_element, moments=moments
        )
        return step.peak <= limit_bytes

    low, high = 0, 1
    while fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


@dataclass(frozen=True, slots=True)
class _Span:
    """How the level moves while something runs: to `net` at its end, to `peak` at most, both from where it starts."""

    net: Count
    peak: Count

    def repeated(self, times: Count) -> _Span:
        highest = self.peak + _larger(0, (times - 1) * self.net)
        return _Span(times * self.net, (times > 0) * highest)


def _step(makes: Count, frees: Count = 0) -> _Span:
    """Return what allocates first and releases afterwards."""
    return _Span(makes - frees, makes)


_NOTHING = _step(0)


def _together(spans: Iterable[_Span]) -> _Span:
    """Return spans one after another."""
    net = peak = cast("Count", 0)
    for span in spans:
        peak = _larger(peak, net + span.peak)
        net = net + span.net
    return _Span(net, peak)


@dataclass(frozen=True, slots=True)
class _Passed:
    """A layer's forward and backward passes, and what autograd keeps beyond what they count.

    Forward starts with the input allocated and ends with the output as well (unless it is the input, an `alias`);
    whoever called releases the input. Backward starts with the output's gradient and ends with the input's instead;
    an output that the layer itself keeps is released within, an input that it keeps by whoever called.
    """

    forward: tuple[_Span, ...] = ()
    backward: tuple[_Span, ...] = ()
    keeps_input: Mask = False
    keeps_output: Mask = False
    alias: bool = False


class _Walker:
    """Follows the map through the network, and the level of memory with it, in bytes."""

    def __init__(
        self,
        model: Model,
        numbers: Dimensions | None = None,
        *,
        batch: int,
        element: int,
        training: bool,
        gradients: bool = True,
    ) -> None:
        if min(batch, element) < 1:
            raise ScalenetError("a batch has at least one image, and an element at least one byte")
        network = layer_tree(model, numbers)
        self.batch, self.element, self.training, self.gradients = batch, element, training, gradients
        self.drop_path = training and model.regularization.drop_path > 0
        self.drops = False
        self.times: Count = 1
        self.parameters: Count = 0
        self.buffers: Count = 0
        self.channels: Count = network.channels
        self.height, self.width = network.height, network.width
        self.input_needs_gradient = False
        self.peak = self.map + self.step(network).peak

    @property
    def weights(self) -> Count:
        return self.parameters + self.buffers

    @property
    def map(self) -> Count:
        """Bytes of the map where the walk is."""
        return self.batch * self.element * self.channels * (self.height * self.width)

    def step(self, network: Network) -> _Span:
        """Return the whole step: forward, and in training the loss and backward."""
        stages = [partial(self.stage, stage, number > 0) for number, stage in enumerate(network.stages)]
        passed = self.chain(
            [
                partial(self.visit, network.stem),
                partial(self.chain, stages),
                partial(self.visit, network.head),
            ]
        )
        if not self.training:
            return _together(passed.forward)
        loss = (_step(self.map, self.map), _step(2 * self.map, 2 * self.map))
        return _together((*passed.forward, *loss, *passed.backward))

    def stage(self, stage: Stage, drops_first: bool) -> _Passed:
        self.drops = self.drop_path and drops_first
        return self.chain([partial(self.visit, stage.first), partial(self.repeats, stage.repeated, stage.depth - 1)])

    def repeats(self, block: Layer, times: Count) -> _Passed:
        """Return `times` blocks in a row, each of which lets go what enters it."""
        self.drops, self.times = self.drop_path, times
        entering = self.map
        passed = self.visit(block)
        self.times = 1
        free, later = _releases(entering, passed.keeps_output, passed.keeps_input)
        forward = _together((*passed.forward, free)).repeated(times)
        backward = _together((*passed.backward, later)).repeated(times)
        return _Passed((forward,), (backward,), alias=True)

    def chain(self, parts: Iterable[Callable[[], _Passed]]) -> _Passed:
        """Pass parts one after another: what enters the first one stays, what is made between two of them goes."""
        forward: list[_Span] = []
        backward: list[tuple[_Span, ...]] = []
        made = keeps_input = kept = cast("Mask", False)
        for part in parts:
            entering, passed = self.map, part()
            if passed.alias:
                free = later = _NOTHING
                kept = kept | passed.keeps_output
            else:
                free, later = _releases(entering * made, kept, passed.keeps_input)
                keeps_input = keeps_input if made else passed.keeps_input
                made, kept = True, passed.keeps_output
            forward += [*passed.forward, free]
            backward.append((*passed.backward, later))
        backwards = tuple(span for spans in reversed(backward) for span in spans)
        return _Passed(tuple(forward), backwards, keeps_input, kept, alias=not made)

    def visit(self, layer: Layer, *, in_place: bool = False) -> _Passed:  # noqa: PLR0911 - one return a kind of layer
        match layer:
            case Conv():
                return self.conv(layer)
            case BatchNorm():
                return self.norm(layer)
            case Activation():
                return self.activation(layer.kind, in_place=in_place)
            case MaxPool():
                return self.max_pool(layer)
            case GlobalPool():
                return self.global_pool()
            case Flatten():
                return _Passed(alias=True)
            case Dropout():
                return self.dropout(layer)
            case Linear():
                return self.linear(layer)
            case Sequence():
                return self.sequence(layer)
            case Gate():
                return self.gate(layer)
            case Residual():
                return self.residual(layer)
        raise ScalenetError(f"{type(layer).__name__}: a layer of an unknown kind has no known memory")

    def conv(self, layer: Conv) -> _Passed:
        weights = layer.out_channels * (layer.group_width * layer.kernel**2 + layer.bias)
        entering = self.map if self.input_needs_gradient else 0
        self.input_needs_gradient = True
        self.strided(layer.stride)
        self.channels = layer.out_channels
        return self.matrix(entering, weights)

    def linear(self, layer: Linear) -> _Passed:
        entering, self.channels = self.map, layer.out_features
        return self.matrix(entering, (layer.in_features + 1) * layer.out_features)

    def matrix(self, entering: Count, weights: Count) -> _Passed:
        backward = _step(entering + self.trainable(weights), self.map)
        return _Passed((_step(self.map),), (backward,), keeps_input=self.training)

    def norm(self, layer: BatchNorm) -> _Passed:
        statistics = 2 * layer.channels * self.element
        self.buffers = self.buffers + (statistics + _INDEX) * self.times
        gradients, kept = self.trainable(2 * layer.channels), statistics * self.training
        backward = _step(self.map + gradients, self.map + kept)
        return _Passed((_step(self.map + kept),), (backward,), keeps_input=self.training)

    def trainable(self, count: Count) -> Count:
        """Note parameters, and return the bytes of their gradients."""
        size = count * self.element
        self.parameters = self.parameters + size * self.times
        return size * self.gradients

    def activation(self, kind: str, *, in_place: bool) -> _Passed:
        in_place = in_place and kind != "sigmoid"
        keeps_output = self.training and kind in _KEEPS_OUTPUT
        keeps_input = self.training and not keeps_output
        copy = self.map * (keeps_input and in_place)
        forward = _step(copy if in_place else self.map)
        backward = _step(self.map, self.map + copy + self.map * keeps_output)
        return _Passed((forward,), (backward,), keeps_input and not in_place, keeps_output, alias=in_place)

    def max_pool(self, layer: MaxPool) -> _Passed:
        entering = self.map
        self.strided(layer.stride)
        indices = self.map // self.element * _INDEX
        forward = _step(self.map + indices, indices * (not self.training))
        return _Passed((forward,), (_step(entering, self.map + indices),), keeps_input=self.training)

    def global_pool(self) -> _Passed:
        entering = self.map
        self.height = self.width = 1
        return _Passed((_step(self.map),), (_step(entering, self.map),))

    def dropout(self, layer: Dropout) -> _Passed:
        if not (self.training and layer.rate):
            return _Passed(alias=True)
        mask = self.map
        return _Passed((_step(self.map + mask),), (_step(self.map, self.map + mask),))

    def sequence(self, layer: Sequence) -> _Passed:
        """An activation works in place on what the layer before it has just made, as in `scalenet.model.builder`."""
        inner = [one for _, one in layer.layers]
        fresh = [False, *(isinstance(one, Conv | BatchNorm | Linear) for one in inner)]
        return self.chain([partial(self.visit, one, in_place=new) for one, new in zip(inner, fresh, strict=False)])

    def gate(self, layer: Gate) -> _Passed:
        entering, place = self.map, (self.channels, self.height, self.width)
        branch = self.visit(layer.branch)
        values = self.map
        self.channels, self.height, self.width = place
        free, later = _releases(values, branch.keeps_output, self.training)
        product = _step(2 * entering + values, 2 * entering)
        return _Passed(
            (*branch.forward, _step(entering), free),
            (product, later, *branch.backward, _step(0, entering)),
            keeps_input=self.training,
        )

    def residual(self, layer: Residual) -> _Passed:
        entering, place, times = self.map, (self.channels, self.height, self.width), self.times
        main = self.visit(layer.main)
        if layer.matches is True:
            return self.added(layer, entering, main)
        plain = main
        if layer.projection is not None:
            self.channels, self.height, self.width = place
            self.times = times * (1 - 1 * layer.matches)  # 0 where they match, else 1
            plain = self.added(layer, entering, main, self.visit(layer.projection))
            self.times = times
        return plain if layer.matches is False else _chosen(layer.matches, self.added(layer, entering, main), plain)

    def added(self, layer: Residual, entering: Count, main: _Passed, projection: _Passed | None = None) -> _Passed:
        """Return the main path plus a shortcut: the identity unless there is a projection."""
        main, shortcut = self.dropped(main), projection or _Passed(keeps_output=True)  # the identity makes nothing
        act = self.activation(layer.activation.kind, in_place=True) if layer.activation else _Passed(alias=True)
        summed = _step(self.map, self.map * (2 - 1 * main.keeps_output - 1 * shortcut.keeps_output))
        first, *others = *shortcut.backward, *main.backward
        shared = _Span(self.map, self.map)  # the first path's first step is not the last to use the sum's gradient
        return _Passed(
            (*main.forward, *shortcut.forward, summed, *act.forward),
            (*act.backward, first, shared, *others, _step(0, entering)),
            keeps_input=main.keeps_input | shortcut.keeps_input,
            keeps_output=act.keeps_output,
        )

    def dropped(self, main: _Passed) -> _Passed:
        """Return a main path with stochastic depth: a product with the mask, and a quotient."""
        if not self.drops:
            return main
        forward = _step(2 * self.map, self.map * (2 - 1 * main.keeps_output))
        backward = _step(self.map, self.map)
        return _Passed((*main.forward, forward), (backward, backward, *main.backward), main.keeps_input)

    def strided(self, stride: int) -> None:
        self.height, self.width = divided(self.height, stride), divided(self.width, stride)


def _releases(size: Count, kept: Mask, used: Mask) -> tuple[_Span, _Span]:
    """Return when a map goes that its maker may keep and its user too: after the user's forward or backward pass."""
    both = 1 * (kept | used)
    return _step(0, size * (1 - both)), _step(0, size * (both - 1 * kept))


def _chosen(mask: Mask, one: _Passed, other: _Passed) -> _Passed:
    """Return `one` where the mask is true, `other` elsewhere."""
    forward, backward = (
        _Span(np.where(mask, first.net, second.net), np.where(mask, first.peak, second.peak))
        for first, second in (
            (_together(one.forward), _together(other.forward)),
            (_together(one.backward), _together(other.backward)),
        )
    )
    keeps_input = np.where(mask, one.keeps_input, other.keeps_input)
    return _Passed((forward,), (backward,), keeps_input, np.where(mask, one.keeps_output, other.keeps_output))


def _larger(one: Count, other: Count) -> Count:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return cast("Count", np.maximum(one, other))
    return max(one, other)
