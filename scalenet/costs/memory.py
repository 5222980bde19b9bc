"""Peak memory by formula: the layer tree read as what is allocated and released, in order.

The level of memory is followed through one step of the module that `scalenet.build` returns, run eagerly: a forward
pass without gradients in evaluation mode, or (`training`) forward pass, cross-entropy and backward pass. What is held
when:

- The images, all the time: the caller holds them.
- An operator holds its input until it has written its output. So does a sequence, a gate, a residual block, a stage:
  its input stays until it returns, for Python's frames refer to it. The stem's output so stays through all stages.
- An activation after a convolution, a linear layer or a normalisation (but a layer norm) works in place; flattening
  allocates nothing.
- A residual block holds its input, the main path's output, the projection's and their sum; stochastic depth two copies
  more of the main path's output. A gate holds its input, the gate's values and their product. Maps that are put one
  behind the other are copied, and all there until they are.
- Max pooling makes indices (8 bytes an output), which inference throws away at once. A layer normalisation copies what
  it normalises unless its channels come last in memory, as behind another one; shuffling copies too. Attention holds
  the scores of all places with all others twice, and copies queries, keys and values of several images.

In training autograd keeps, until the operator's own backward pass has run: the input of convolutions (with its padding
where that is TensorFlow's), linear layers, normalisations (and their two statistics a channel), max pooling (and its
indices) and products (both factors); the output of relu and sigmoid; the input of other activations, which in place is
a copy; dropout's mask. Backward, an operator holds the gradient of its output until it has made those of its input and
of its parameters. The gradient that a residual sum hands to two paths is shared, and stays until both have used it; the
product in a gate needs one more map. Gradients of parameters come one by one and stay: most of them meet few
activations.

What one kernel takes for itself and gives back before it returns is a matter of the implementation and not counted:
workspaces and reordered copies of convolutions, temporary statistics of normalisations. Nor are labels, the masks of
stochastic depth (a byte an image), the allocator's rounding and fragmentation, and the CUDA context.

Training is followed within 0.2 % of what PyTorch allocates in chains, residual and dense blocks; where more than two
paths are added, or split ones put together, which gradients are there at once is followed less closely: within 1 % in
ShuffleNetV2, 2 % in RepVGG and SqueezeNet, 4 % in Inception-v3, 7 % in MnasNet blocks with a pooled shortcut.

A stage's repeated blocks are alike, so their levels rise and fall by equal steps, and the highest is in the first or
the last of them: numbers may be arrays, depths included.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial, reduce
from operator import and_
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from scalenet.arch.errors import ScalenetError
from scalenet.arch.layers import (
    IDENTITY,
    IN_PLACE,
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
    Linear,
    Mask,
    Network,
    Norm,
    Part,
    Pool,
    Position,
    Run,
    Scale,
    Sequence,
    Shuffle,
    both,
    is_made_anew,
)
from scalenet.arch.shapes import Shape, after, chosen, entering_paths, joined, padded, passed, shape_of
from scalenet.arch.spec import Architecture, Dimensions, Model, layer_tree
from scalenet.costs.formula import as_floats, check_exact
from scalenet.costs.spans import (
    NOTHING,
    UNMADE,
    Passed,
    Span,
    any_of,
    chosen_where,
    either,
    moving,
    releases,
    together,
)

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
    walker = _Walker(model, numbers.each(as_floats), batch=batch, element=bytes_per_element, training=training)
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
        self.shape = shape_of(network)
        self.input_needs_gradient = False
        self.channels_last: Mask = False
        self.peak = self.map + self.step(network).peak

    @property
    def weights(self) -> Count:
        return self.parameters + self.buffers

    @property
    def map(self) -> Count:
        """Bytes of the map where the walk is."""
        return self.bytes(self.shape)

    def bytes(self, shape: Shape) -> Count:
        """Return the bytes of a batch of maps."""
        return self.batch * self.element * shape.channels * shape.places

    def step(self, network: Network) -> Span:
        """Return the whole step: forward, and in training the loss and backward."""
        stem, *stages, head = network.parts
        passed = self.chain(
            [
                partial(self.visit, stem.runs[0].block),
                partial(self.chain, [partial(self.stage, stage, stage is not stages[0]) for stage in stages]),
                partial(self.visit, head.runs[0].block),
            ]
        )
        if not self.training:
            return together(passed.forward)
        loss = (moving(self.map, self.map), moving(2 * self.map, 2 * self.map))
        return together((*passed.forward, *loss, *passed.backward))

    def stage(self, stage: Part, drops_first: bool) -> Passed:
        """Return a stage; the network's first block is never dropped."""
        self.drops = self.drop_path and drops_first
        first, *others = stage.runs
        return self.chain([partial(self.visit, first.block), *(partial(self.repeats, stage, run) for run in others)])

    def repeats(self, stage: Part, run: Run) -> Passed:
        """Return a run of blocks, each of which lets go what enters it."""
        self.drops, self.times = self.drop_path, run.times
        before = self.shape
        block = self.visit(run.block)
        self.times = 1
        free, later = releases(self.bytes(before), block.keeps_output, block.keeps_input)
        forward = together((*block.forward, free)).repeated(run.times)
        backward = together((*block.backward, later)).repeated(run.times)
        self.shape = passed(stage, before, self.shape, run.times)
        return Passed((forward,), (backward,), alias=True)

    def chain(self, parts: Iterable[Callable[[], Passed]]) -> Passed:
        """Pass parts one after another: what enters the first one stays, what is made between two of them goes."""
        forward: list[Span] = []
        backward: list[tuple[Span, ...]] = []
        made = keeps_input = kept = cast("Mask", False)
        for part in parts:
            entering, passed = self.map, part()
            makes = passed.alias ^ True
            free, later = releases(entering * (made & makes), kept, passed.keeps_input)
            keeps_input = keeps_input | (passed.keeps_input & makes & (made ^ True))
            kept = (kept & passed.alias) | passed.keeps_output
            made = made | makes
            forward += [*passed.forward, free]
            backward.append((*passed.backward, later))
        backwards = tuple(span for spans in reversed(backward) for span in spans)
        return Passed(tuple(forward), backwards, keeps_input, kept, alias=made ^ True)

    def visit(self, layer: Layer, *, in_place: bool = False) -> Passed:
        match layer:
            case Sequence():
                return self.sequence(layer)
            case Branches():
                return self.branches(layer)
            case Choice() if isinstance(layer.where, bool):
                return self.visit(layer.chosen)
            case Choice():
                return self.choice(layer, self.visit)
        entering = self.shape
        self.shape = after(layer, entering)
        return self.leaf(layer, entering, in_place=in_place)

    def leaf(self, layer: Layer, entering: Shape, *, in_place: bool) -> Passed:  # noqa: PLR0911, PLR0912
        match layer:
            case Conv():
                return self.conv(layer, entering)
            case Norm():
                return self.norm(layer)
            case Activation():
                return self.activation(layer.kind, in_place=in_place)
            case Pool():
                return self.pool(layer, entering)
            case GlobalPool():
                return Passed((moving(self.map),), (moving(self.bytes(entering), self.map),))
            case Flatten():
                return Passed(alias=True)
            case Dropout():
                return self.dropout(layer)
            case DropPath():
                return self.drop()
            case Linear():
                return self.matrix(self.bytes(entering), (layer.in_features + 1) * layer.out_features)
            case Scale() if layer.learned:
                return self.learned(layer.channels, multiplied=True)
            case Position():
                return self.learned(layer.channels * layer.height * layer.width, multiplied=False)
            case Shuffle():
                self.channels_last = False
                return Passed((moving(self.map),), (moving(self.map, self.map),))
            case Scale():
                return Passed((moving(self.map),), (moving(self.map, self.map),))
            case Attention():
                return self.attention(layer)
        raise ScalenetError(f"{type(layer).__name__}: a layer of an unknown kind has no known memory")

    def conv(self, layer: Conv, entering: Shape) -> Passed:
        tall, wide = both(layer.kernel)
        weights = layer.out_channels * (layer.group_width * (tall * wide) + layer.bias)
        needed, self.input_needs_gradient = self.input_needs_gradient, True
        gradient = self.bytes(entering) * needed
        if layer.padding != "same":
            return self.matrix(gradient, weights)
        copy = self.bytes(_uneven(entering, layer))  # in training it is kept instead of what enters
        convolved = self.matrix(copy * needed + gradient * (copy == 0), weights)
        forward = (moving(copy), *convolved.forward, moving(0, copy * (not self.training)))
        backward = (*convolved.backward, moving(0, copy), moving(gradient * (copy > 0), copy * needed))
        return replace(convolved, forward=forward, backward=backward, keeps_input=self.training & (copy == 0))

    def matrix(self, entering: Count, weights: Count) -> Passed:
        backward = moving(entering + self.trainable(weights), self.map)
        return Passed((moving(self.map),), (backward,), keeps_input=self.training)

    def norm(self, layer: Norm) -> Passed:
        gradients = self.trainable(2 * layer.channels)
        if layer.kind == "batchnorm":
            statistics, copy = 2 * layer.channels * self.element, cast("Count", 0)
            self.buffers = self.buffers + (statistics + _INDEX) * self.times
            passing = statistics * self.training
        else:
            places = layer.groups if layer.kind == "groupnorm" else self.shape.places
            passing = statistics = 2 * self.batch * self.element * places
            last = layer.kind == "layernorm"
            copy = self.map * (last & (self.channels_last ^ True))
            self.channels_last = self.channels_last | last
        kept = statistics * self.training
        backward = moving(self.map + gradients, self.map + kept)
        forward = moving(self.map + passing + copy, passing - kept + copy)
        return Passed((forward,), (backward,), keeps_input=self.training)

    def trainable(self, count: Count) -> Count:
        """Note parameters, and return the bytes of their gradients."""
        size = count * self.element
        self.parameters = self.parameters + size * self.times
        return size * self.gradients

    def activation(self, kind: str, *, in_place: bool) -> Passed:
        in_place = in_place and kind in IN_PLACE
        keeps_output = self.training and kind in _KEEPS_OUTPUT
        keeps_input = self.training and not keeps_output
        copy = self.map * (keeps_input and in_place)
        forward = moving(copy if in_place else self.map)
        backward = moving(self.map, self.map + copy + self.map * keeps_output)
        return Passed((forward,), (backward,), keeps_input and not in_place, keeps_output, alias=in_place)

    def pool(self, layer: Pool, entering: Shape) -> Passed:
        indices = self.map // self.element * _INDEX if layer.kind == "max" else 0
        forward = moving(self.map + indices, indices * (not self.training))
        backward = moving(self.bytes(entering), self.map + indices)
        return Passed((forward,), (backward,), keeps_input=self.training)

    def learned(self, count: Count, *, multiplied: bool) -> Passed:
        """Return what multiplies a map by parameters, or adds them."""
        gradients = self.trainable(count)
        backward = moving(self.map * multiplied + gradients, self.map * multiplied)
        return Passed((moving(self.map),), (backward,), keeps_input=self.training and multiplied)

    def attention(self, layer: Attention) -> Passed:
        """Queries, keys and values of several images are copied to be multiplied, and kept instead of what enters."""
        self.channels_last = False
        scores = self.batch * self.element * layer.heads * self.shape.places**2
        several = self.batch > 1
        copy, kept = self.map * several, self.training
        forward = moving(2 * scores + self.map + copy * (1 + 2 * kept), scores * (2 - kept) + copy * (1 - kept))
        backward = (
            moving(self.map + scores, self.map + copy),
            moving(2 * scores, 3 * scores),
            moving(scores, scores),
            moving(2 * self.map, scores + 2 * copy),
            moving(3 * self.map, 3 * self.map),
        )
        return Passed((forward,), backward, keeps_input=kept and not several)

    def drop(self) -> Passed:
        """Return stochastic depth: a product with the mask, and a quotient."""
        if not self.drops:
            return Passed(alias=True)
        return Passed((moving(2 * self.map, self.map),), (moving(self.map, self.map), moving(self.map, self.map)))

    def dropout(self, layer: Dropout) -> Passed:
        if not (self.training and layer.rate):
            return Passed(alias=True)
        mask = self.map
        return Passed((moving(self.map + mask),), (moving(self.map, self.map + mask),))

    def sequence(self, layer: Sequence) -> Passed:
        """An activation works in place on what the layer before it has just made, as in `scalenet.model.builder`."""
        inner = [one for _, one in layer.layers]
        fresh = [False, *map(is_made_anew, inner)]
        return self.chain([partial(self.visit, one, in_place=new) for one, new in zip(inner, fresh, strict=False)])

    def branches(self, layer: Branches) -> Passed:
        """Return paths side by side, and how they are joined."""
        entering, order = self.shape, self.channels_last
        parts = entering_paths(layer, entering)
        paths, shapes, orders = [], [], []
        for (_, path), part in zip(layer.paths, parts, strict=True):
            self.shape, self.channels_last = part, order
            paths.append(self.path(path))
            shapes.append(self.shape)
            orders.append(self.channels_last)
        self.shape = joined(layer, shapes)
        self.channels_last = reduce(and_, orders) if layer.join == "concat" else orders[0]
        whole = self.bytes(entering)
        if layer.join == "multiply":
            return self.multiplied(layer, whole, paths, shapes)
        join = self.added if layer.join == "add" else self.put_together
        act = Passed(alias=True)
        if layer.activation:
            act = self.activation(layer.activation.kind, in_place=layer.join == "add")
        free, later = (NOTHING, NOTHING) if act.alias else releases(self.map, kept=False, used=act.keeps_input)
        act = replace(act, forward=(*act.forward, free), backward=(*act.backward, later))
        return join(paths, [self.bytes(shape) for shape in shapes], whole, act)

    def path(self, layer: Layer) -> Passed:
        """Return one of the paths; the identity makes nothing."""
        if isinstance(layer, Choice) and not isinstance(layer.where, bool):
            return self.choice(layer, self.path)
        if isinstance(layer, Choice):
            return self.path(layer.chosen)
        return UNMADE if layer is IDENTITY else self.visit(layer)

    def multiplied(self, layer: Branches, entering: Count, paths: list[Passed], shapes: list[Shape]) -> Passed:
        if len(paths) != 2 or paths[0] is not UNMADE or layer.activation:
            raise ScalenetError("a product of other maps than what enters and one path has no known memory")
        gate, values = paths[1], self.bytes(shapes[1])
        free, later = releases(values, gate.keeps_output, self.training)
        product = moving(2 * entering + values, 2 * entering)
        return Passed(
            (*gate.forward, moving(entering), free),
            (product, later, *gate.backward, moving(0, entering)),
            keeps_input=self.training,
        )

    def added(self, paths: list[Passed], _: list[Count], entering: Count, act: Passed) -> Passed:
        """Return paths whose maps are added one after another."""
        first, *others = paths
        forward, kept = list(first.forward), first.keeps_output
        for other in others:
            summed = moving(self.map, self.map * (2 - 1 * kept - 1 * other.keeps_output))
            forward += [*other.forward, summed]
            kept = False
        backward: list[Span] = []
        begun: Mask = False
        for path in reversed(paths):
            first_step, *steps = path.backward or (NOTHING,)
            begins = (begun | path.alias) ^ True
            shared = self.map * begins  # the first step of all is not the last to use the sum's gradient
            backward += [first_step, Span(shared, shared), *steps]
            begun = begun | begins
        return Passed(
            (*forward, *act.forward),
            (*act.backward, *backward, *[moving(0, entering)] * len(others)),
            keeps_input=any_of(path.keeps_input for path in paths),
            keeps_output=act.keeps_output,
        )

    def put_together(self, paths: list[Passed], sizes: list[Count], entering: Count, act: Passed) -> Passed:
        """Return paths whose maps are copied one behind the other, and go afterwards."""
        made = [
            size * (path is not UNMADE) * (1 - 1 * path.keeps_output) for path, size in zip(paths, sizes, strict=True)
        ]
        forward = [span for path in paths for span in path.forward]
        backward = [span for path in reversed(paths) for span in path.backward]
        return Passed(
            (*forward, moving(self.map, sum(made)), *act.forward),
            (*act.backward, moving(self.map, self.map), *backward, moving(0, entering)),
            keeps_input=any_of(path.keeps_input for path in paths),
            keeps_output=act.keeps_output,
        )

    def choice(self, layer: Choice, visit: Callable[[Layer], Passed]) -> Passed:
        """Return what arrays choose: of each network its own side."""
        entering, order, times = self.shape, self.channels_last, self.times
        sides, shapes, orders = [], [], []
        for side, mask in ((layer.yes, layer.where), (layer.no, np.logical_not(layer.where))):
            self.shape, self.channels_last, self.times = entering, order, times * (1 * mask)
            sides.append(visit(side))
            shapes.append(self.shape)
            orders.append(self.channels_last)
        self.times = times
        self.shape = chosen(layer, *shapes)
        self.channels_last = either(layer.where, *orders)
        return chosen_where(layer.where, *sides)


def _uneven(shape: Shape, layer: Conv) -> Shape:
    """Return the copy of a map with `same` padding around it; nothing where none is needed."""
    sides = zip((shape.height, shape.width), both(layer.kernel), strict=True)
    tall, wide = (padded(size, kernel, layer.stride, "same") for size, kernel in sides)
    copied = 1 * ((tall + wide) > 0)
    return shape._replace(height=(shape.height + tall) * copied, width=shape.width + wide)
