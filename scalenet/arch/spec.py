"""The specification of an architecture: the `model` block of a config file, typed and checked.

Every field is a number or a name. `layer_tree` turns a specification into layers; `Dimensions` are the numbers in it
that scaling moves.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import accumulate, groupby
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Self,
    TypeAlias,
    cast,
    get_args,
    get_origin,
)

from pydantic import BeforeValidator, Discriminator, Field, SerializeAsAny, Tag, create_model, model_validator

from scalenet.arch import blocks
from scalenet.arch.apportionment import apportioned
from scalenet.arch.bounds import MOST_GROWING, MOST_STAGES
from scalenet.arch.ends import AnyStem, Head
from scalenet.arch.errors import ScalenetError
from scalenet.arch.factory import Factory
from scalenet.arch.layers import Count, Layer, Network, Part, Run
from scalenet.arch.options import ActivationName, Divides, Positive, Resolution, Share, both_sides
from scalenet.arch.records import Record, as_tuple
from scalenet.arch.shapes import Shape, after, fit
from scalenet.arch.slots import Slot
from scalenet.arch.style import AnyNorm, SqueezeExcite, Style

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalenet.arch.blocks import Block


class StageSpec(Record):
    """`depth` blocks of one kind; the first one has `stride`. Further keys are the options of the block."""

    block: str
    depth: Positive
    width: Positive
    stride: Positive = 1

    divisors: ClassVar[tuple[str, ...]] = ()
    """The options that the width must be divisible by."""

    by_block: ClassVar[tuple[str, ...]] = ()
    """The options that may differ from block to block: all but those that are rows of values themselves."""

    def options(self) -> dict[str, Any]:
        """Return the options of the block by name; one that differs from block to block is a tuple, a value each."""
        return {name: getattr(self, name) for name in type(self).model_fields if name not in StageSpec.model_fields}

    def options_of(self, number: int) -> dict[str, Any]:
        """Return the options of a block by its place in the stage."""
        return self.options() | {name: getattr(self, name)[number] for name in self._differing()}

    def kinds(self) -> list[tuple[dict[str, Any], int]]:
        """Return the options of blocks, and how many in a row have them."""
        if not self._differing():
            return [(self.options(), self.depth)]
        every = map(self.options_of, range(self.depth))
        return [(options, len(list(alike))) for options, alike in groupby(every)]

    @property
    def divisor(self) -> int:
        """What the width must be a multiple of."""
        kinds = self.kinds() if self.divisors else []
        return math.lcm(*(options[name] for options, _ in kinds for name in self.divisors))

    def block_in(self, slot: Slot, options: dict[str, Any]) -> Layer:
        """Return the layers of a block."""
        return blocks.block(self.block)(slot, **options)

    def resized(self, *, width: int, depth: int) -> Self:
        """Return this stage with another width and depth: options that differ are apportioned over it."""
        kinds = self.kinds()
        counts = apportioned([count for _, count in kinds], depth)
        differing = {name: _repeated([options[name] for options, _ in kinds], counts) for name in self._differing()}
        return self.changed(width=width, depth=depth, **differing)

    def _differing(self) -> list[str]:
        return [name for name in self.by_block if isinstance(getattr(self, name), tuple)]

    @model_validator(mode="after")
    def _as_many_as_blocks(self) -> Self:
        for name in self._differing():
            given = len(getattr(self, name))
            if given != self.depth:
                raise ValueError(f"{name} has {given} values for a depth of {self.depth}")
        return self

    def __reduce__(self) -> Any:
        """Pickle as plain data: the records of blocks are made while running, and pickle finds none of them."""
        return as_stage, (self.model_dump(),)


def _repeated(values: list[Any], counts: list[Any]) -> tuple[Any, ...]:
    return tuple(value for value, count in zip(values, counts, strict=True) for _ in range(count))


Runs: TypeAlias = tuple[Run, ...]


class Regularization(Record):
    """Dropout before the classifier, and stochastic depth: block i of N is dropped with drop_path · i / N."""

    dropout: Share = 0.0
    drop_path: Share = 0.0


class _BlockName(Record):
    block: str


def stage_record(name: str) -> type[StageSpec]:
    """Return the record of a stage of the block called `name`: common keys and the block's own options."""
    return _stage_record(name, blocks.block(name))


@cache
def _stage_record(name: str, block: Block) -> type[StageSpec]:
    try:
        parameters = inspect.signature(block, eval_str=True).parameters.values()
    except NameError as error:
        raise ScalenetError(f"block {name}: {error}", hint="its annotations must be importable at run time") from None
    options = {
        parameter.name: (
            parameter.annotation,
            ... if parameter.default is parameter.empty else parameter.default,
        )
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    taken = [key for key in options if hasattr(StageSpec, key) or key in StageSpec.model_fields]
    if taken:
        raise ScalenetError(
            f"block {name}: an option cannot be called {taken[0]!r}", hint="every stage has that already"
        )
    fields: dict[str, Any] = {
        "block": (Literal[name], ...),
        **{key: (_by_block(annotation), default) for key, (annotation, default) in options.items()},
    }
    record = create_model(f"{name}_stage", __base__=StageSpec, __doc__=inspect.getdoc(block), **fields)
    record.divisors = tuple(key for key, (annotation, _) in options.items() if Divides in get_args(annotation))
    record.by_block = tuple(key for key, (annotation, _) in options.items() if not _is_tuple(annotation))
    return record


def _is_tuple(annotation: Any) -> bool:
    """Return whether an option is a row of values itself."""
    plain = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return get_origin(plain) is tuple


def _by_block(annotation: Any) -> Any:
    """Return what an option may be: a value for all blocks, or a list of one each."""
    if _is_tuple(annotation):
        return Annotated[annotation, BeforeValidator(as_tuple)]
    each = Annotated[tuple[annotation, ...], BeforeValidator(as_tuple), Tag("a list")]
    return Annotated[Annotated[annotation, Tag("one value")] | each, Discriminator(_extent)]


def _extent(value: Any) -> str:
    return "a list" if isinstance(value, list | tuple) else "one value"


def as_stage(value: Any) -> Any:
    """Return a mapping as the record of its block, and a record unchanged."""
    if not isinstance(value, dict) or "block" not in value:
        return StageSpec.model_validate(value)
    try:
        record = stage_record(_BlockName.model_validate({"block": value["block"]}).block)
    except ScalenetError as error:
        raise ValueError(str(error)) from None
    return record.model_validate(value)


AnyStage: TypeAlias = Annotated[SerializeAsAny[StageSpec], BeforeValidator(as_stage)]


class Model(Record):
    """A network, resolved to numbers: all that building and costing it needs."""

    resolution: Resolution
    channels: Positive = 3
    activation: ActivationName
    norm: AnyNorm
    padding: Literal["same"] | None = Field(None, description="how convolutions pad, where not alike on both sides")
    squeeze_excite: SqueezeExcite | None = None
    stem: AnyStem
    stages: Annotated[tuple[AnyStage, ...], BeforeValidator(as_tuple), Field(min_length=1, max_length=MOST_STAGES)]
    head: Head
    regularization: Regularization = Regularization()
    initialization: Literal["efficientnet", "resnet", "mobilenet", "vit"] = "resnet"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input, pixels."""
        return both_sides(self.resolution)

    @property
    def classes(self) -> int:
        """The number of classes."""
        return self.head.classes

    def at(self, resolution: int | tuple[int, int]) -> Model:
        """Return this model for another input size, in pixels."""
        return self.changed(resolution=resolution)

    def with_classes(self, classes: int) -> Model:
        """Return this model for another number of classes, at least one."""
        return self.changed(head=self.head.changed(classes=classes))

    def with_channels(self, channels: int) -> Model:
        """Return this model for images of another number of colours, at least one."""
        return self.changed(channels=channels)

    @model_validator(mode="after")
    def _layers_must_fit(self) -> Model:
        for number, stage in enumerate(self.stages):
            if stage.width % stage.divisor:
                needed = " and ".join(f"{stage.options()[name]} {name}" for name in stage.divisors)
                raise ValueError(f"stages[{number}].width {stage.width} is not divisible by its {needed}")
        self.growing  # noqa: B018 - it is where layers that do not fit are found
        return self

    @cached_property
    def style(self) -> Style:
        """What all blocks share."""
        own = self.squeeze_excite or SqueezeExcite()
        return Style(self.activation, self.norm, own, self.padding or "symmetric", self.regularization.dropout)

    @property
    def divisors(self) -> tuple[int, ...]:
        """What the width of each part must be a multiple of: of stem, stages and head."""
        common = self.norm.divisor
        return common, *(math.lcm(common, stage.divisor) for stage in self.stages), common

    @cached_property
    def growing(self) -> tuple[bool, ...]:
        """Which stages have blocks that leave more channels than enter, wherever they stand.

        Raise ValueError that names part, block and layer where layers do not fit.
        """
        shape = Shape(self.channels, *self.size)
        shape = fit(_stem(self, self.stem.width, self.size), shape, "stem")
        found = []
        for number, spec in enumerate(self.stages):
            grows, shape = _fitted(spec, shape, f"stages[{number}] ({spec.block})", self.style)
            found.append(grows)
        fit(_head(self, self.head.width, shape.channels), shape, "head")
        return tuple(found)

    @cached_property
    def layers(self) -> Network:
        """The layer tree with the model's own numbers."""
        return _layers(self, dimensions(self))


Buildable: TypeAlias = Model | Factory
"""What a network is made from: a description of its layers, or a call of others' code."""

DEFAULT_ROUNDING, FACTORY_ROUNDING = "efficientnet", "fine"


def usual_rounding(network: Buildable) -> str:
    """Return the rounding set that a network scales with where none is named; a factory rounds by itself."""
    return FACTORY_ROUNDING if isinstance(network, Factory) else DEFAULT_ROUNDING


@dataclass(frozen=True, slots=True)
class Architecture:
    """A named network and the rounding set that its family scales with."""

    name: str
    network: Buildable
    rounding: str = DEFAULT_ROUNDING

    @property
    def model(self) -> Model:
        """The description of the network's layers; raise ScalenetError where a factory makes it."""
        return described(self.network)

    def at(self, resolution: int | tuple[int, int]) -> Architecture:
        """Return this architecture for another input size, in pixels."""
        return replace(self, network=self.network.at(resolution))

    def with_classes(self, classes: int) -> Architecture:
        """Return this architecture for another number of classes, at least one."""
        return replace(self, network=self.network.with_classes(classes))

    def with_channels(self, channels: int) -> Architecture:
        """Return this architecture for images of another number of colours, at least one."""
        return replace(self, network=self.network.with_channels(channels))


def described(network: Buildable) -> Model:
    """Return a network that is a description; raise ScalenetError where a factory makes it."""
    if isinstance(network, Factory):
        raise network.no_description()
    return network


class Dimensions(NamedTuple):
    """The numbers of an architecture that scaling moves; arrays of equal length describe many architectures.

    `depths` are blocks, a number a stage; `widths` are channels, a number a part: of the stem, the stages and the head,
    0 where the head has none of its own. `size` is the input's height and width, in pixels.
    """

    depths: tuple[Count, ...]
    widths: tuple[Count, ...]
    size: tuple[Count, ...]

    def each(self, function: Callable[..., Count], *others: Dimensions) -> Dimensions:
        """Return what a function makes of each number, and of those of others in its place."""
        axes = zip(self, *others, strict=True)
        return Dimensions(*(tuple(function(*numbers) for numbers in zip(*axis, strict=True)) for axis in axes))


def dimensions(model: Model) -> Dimensions:
    """Return the numbers of `model` that scaling moves."""
    return Dimensions(
        depths=tuple(stage.depth for stage in model.stages),
        widths=(model.stem.width, *(stage.width for stage in model.stages), model.head.width),
        size=model.size,
    )


def with_dimensions(model: Model, numbers: Dimensions) -> Model:
    """Return `model` with other depths, widths and size: the inverse of `dimensions`."""
    (stem, *widths, head), (height, width) = cast("Any", numbers.widths), numbers.size
    stages = zip(model.stages, widths, numbers.depths, strict=True)
    return model.changed(
        resolution=height if height == width else (height, width),
        stem=model.stem.changed(width=stem),
        stages=tuple(stage.resized(width=own, depth=cast("int", depth)) for stage, own, depth in stages),
        head=model.head.resized(head),
    )


def layer_tree(model: Model, numbers: Dimensions | None = None) -> Network:
    """Return the layers of `model`, with its own numbers or with `numbers` in their place."""
    return model.layers if numbers is None else _layers(model, numbers)


_SIDE = 4096
"""Pixels of the map on which a block shows how many channels leave it; the size makes no difference."""


def _layers(model: Model, numbers: Dimensions) -> Network:
    (height, width), (stem, *widths, head) = numbers.size, numbers.widths
    parts = [Part("stem", (Run(_stem(model, stem, (height, width)), 1),))]
    channels = stem
    for number, (spec, own, depth) in enumerate(zip(model.stages, widths, numbers.depths, strict=True)):
        stage = _growing_stage if model.growing[number] else _stage
        runs, channels = stage(spec, own, depth, channels, model.style)
        parts.append(Part(f"stages.{number}", runs, grows=model.growing[number]))
    parts.append(Part("head", (Run(_head(model, head, channels), 1),)))
    return Network(height, width, model.channels, tuple(parts))


def _stage(spec: StageSpec, width: Count, depth: Count, channels: Count, style: Style) -> tuple[Runs, Count]:
    """Return the runs of a stage, and the channels that leave it."""
    kinds = spec.kinds()
    first = spec.block_in(Slot(channels, width, spec.stride, style), kinds[0][0])
    runs, channels = [Run(first, 1)], _channels_after(first, channels)
    counts = apportioned([count for _, count in kinds], depth)
    for number, ((options, _), times) in enumerate(zip(kinds, counts, strict=True)):
        block = spec.block_in(Slot(channels, width, 1, style), options)
        runs.append(Run(block, times if number else times - 1))
    return tuple(runs), channels


def _fitted(spec: StageSpec, shape: Shape, place: str, style: Style) -> tuple[bool, Shape]:
    """Return whether a stage's blocks grow with their place, and what leaves it; raise ValueError where none fits."""

    def block(number: int, entering: Shape) -> Shape:
        slot = Slot(entering.channels, spec.width, 1 if number else spec.stride, style)
        return fit(spec.block_in(slot, spec.options_of(min(number, spec.depth - 1))), entering, place)

    entering, shape = shape, block(0, shape)
    if spec.stride > 1 and entering.height > 1 and shape.height == entering.height:
        raise ValueError(f"{place}: a stride of {spec.stride} leaves {entering} as {shape}; a block of its own strides")
    try:
        left = block(1, shape)
    except ValueError:
        if spec.depth > 1:
            raise
        return False, shape
    grows = left.channels != shape.channels
    if grows and len(spec.kinds()) > 1:
        raise ValueError(f"{place}: options of blocks that grow with their place cannot differ from block to block")
    starts = accumulate((count for _, count in spec.kinds()), initial=0)
    for number in range(1, spec.depth) if grows else [one for one in (1, *starts) if 0 < one < spec.depth]:
        left = block(number, shape)
        if left._replace(channels=0) != shape._replace(channels=0):
            raise ValueError(f"{place}: a block that is repeated makes {left} of {shape}")
        shape = left if grows else shape
    return grows, shape


def _growing_stage(spec: StageSpec, width: Count, depth: Count, channels: Count, style: Style) -> tuple[Runs, Count]:
    """Return the runs of a stage whose blocks grow with their place: there are some in some of many networks only."""
    import numpy as np  # noqa: PLC0415 - only arrays need it

    most = math.ceil(np.max(depth))
    if most > MOST_GROWING:
        raise ScalenetError(f"a stage whose blocks grow with their place has at most {MOST_GROWING:,} of them")
    runs: list[Run] = []
    for number in range(most):
        options = spec.options_of(min(number, spec.depth - 1))
        block = spec.block_in(Slot(channels, width, 1 if number else spec.stride, style), options)
        times = 1 if isinstance(depth, int) else cast("Count", np.clip(depth - number, 0, 1))
        runs.append(Run(block, times))
        left = _channels_after(block, channels)
        channels = np.where(times > 0, left, channels) if isinstance(times, np.ndarray) else left
    return tuple(runs), channels


def _channels_after(block: Layer, channels: Count) -> Count:
    return after(block, Shape(channels, _SIDE, _SIDE)).channels


def _stem(model: Model, width: Count, pixels: tuple[Count, Count]) -> Layer:
    return model.stem.layers(Slot(model.channels, width, model.stem.stride, model.style, pixels))


def _head(model: Model, width: Count, channels: Count) -> Layer:
    return model.head.layers(Slot(channels, width, 1, model.style))


def uses_blocks_of_this_program(model: Model) -> bool:
    """Return whether a model has blocks that this program registered, which other processes do not know."""
    return any(blocks.is_of_this_program(stage.block) for stage in model.stages)
