"""The specification of an architecture: the `model` block of a config file, typed and checked.

Every field is a number or a name. `layer_tree` turns a specification into layers; `Dimensions` are the numbers in it
that scaling moves.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias, cast

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    create_model,
    model_validator,
)

from scalenet.arch import blocks
from scalenet.arch.blocks import Block, Kernel, Positive, Share, Slot, Style
from scalenet.arch.bounds import MOST_STAGES
from scalenet.arch.errors import ScalenetError
from scalenet.arch.fitting import check_fit
from scalenet.arch.layers import (
    Count,
    Dropout,
    Flatten,
    GlobalPool,
    Layer,
    Linear,
    MaxPool,
    Network,
    Sequence,
    Stage,
)
from scalenet.arch.validation import PlainModel, as_python, plainly

if TYPE_CHECKING:
    from collections.abc import Mapping

ActivationName: TypeAlias = Literal["relu", "relu6", "silu", "hardswish"]
GateName: TypeAlias = Literal["sigmoid", "hardsigmoid"]


class Record(PlainModel):
    """A frozen record that takes no unknown keys and converts no types, but for numbers of NumPy and PyTorch.

    Made from Python, wrong values raise ScalenetError.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def changed(self, **changes: Any) -> Self:
        """Return this record with other values, as sound as one that was read; raise ScalenetError where it is not."""
        fields = type(self).model_fields
        own = {field.alias or name: getattr(self, name) for name, field in fields.items()}
        values = {**own, **as_python(changes)}
        with plainly(type(self).__name__, values):
            return self.model_validate(values)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, checked as `changed` does where it has other values: pydantic's own is not."""
        return self.changed(**update) if update else super().model_copy(deep=deep)


def as_tuple(value: Any) -> Any:
    """Return a list (as YAML and JSON have it) as a tuple, and anything else unchanged."""
    return tuple(value) if isinstance(value, list) else value


def as_size(value: Any) -> Any:
    """Return one number as it is and [height, width] as a tuple; refuse anything else."""
    if isinstance(value, int) or (isinstance(value, list | tuple) and len(value) == 2):
        return as_tuple(value)
    raise ValueError("expected one number of pixels or [height, width]")


Resolution: TypeAlias = Annotated[
    Positive | tuple[Positive, Positive],
    BeforeValidator(as_size),
    Field(description="input size in pixels: one number for a square, [height, width] otherwise"),
]


class Norm(Record):
    """Batch normalisation; `momentum` is PyTorch's, one minus TensorFlow's."""

    kind: Literal["batchnorm"] = "batchnorm"
    eps: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-5
    momentum: Annotated[float, Field(gt=0, le=1)] = 0.1


class SqueezeExcite(Record):
    """The form of every squeeze-excite in the network; its ratio stands in the stages.

    `pool` is how the means are computed, which changes fvcore's total (adaptive pooling is counted, `mean` is not) but
    neither the result nor `flops`.
    """

    pool: Literal["mean", "adaptive"] = "mean"
    gate: GateName = "sigmoid"


class StemPool(Record):
    """Max pooling after the stem's convolution."""

    kind: Literal["max"] = "max"
    kernel: Kernel = 3
    stride: Positive = 2


class Stem(Record):
    """Convolution, normalisation, activation and, where there is one, pooling."""

    kind: Literal["conv"] = "conv"
    width: Positive
    kernel: Kernel = 3
    stride: Positive = 2
    pool: StemPool | None = None


class StageSpec(Record):
    """`depth` blocks of one kind; the first one has `stride`. Further keys are the options of the block."""

    block: str
    depth: Positive
    width: Positive
    stride: Positive = 1

    def options(self) -> dict[str, Any]:
        """Return the options of the block by name."""
        return {name: getattr(self, name) for name in type(self).model_fields if name not in StageSpec.model_fields}

    def __reduce__(self) -> Any:
        """Pickle as plain data: the records of blocks are made while running, and pickle finds none of them."""
        return as_stage, (self.model_dump(),)


class ConvHead(Record):
    """1×1 convolution, normalisation, activation, global average pooling, dropout and a linear classifier."""

    kind: Literal["conv"]
    width: Positive
    classes: Positive


class LinearHead(Record):
    """Global average pooling, dropout and a linear classifier."""

    kind: Literal["linear"]
    classes: Positive


Head: TypeAlias = Annotated[ConvHead | LinearHead, Field(discriminator="kind")]


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
    fields: dict[str, Any] = {"block": (Literal[name], ...), **options}
    return create_model(f"{name}_stage", __base__=StageSpec, __doc__=inspect.getdoc(block), **fields)


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
    norm: Norm
    squeeze_excite: SqueezeExcite | None = None
    stem: Stem
    stages: Annotated[tuple[AnyStage, ...], BeforeValidator(as_tuple), Field(min_length=1, max_length=MOST_STAGES)]
    head: Head
    regularization: Regularization = Regularization()
    initialization: Literal["efficientnet", "resnet", "mobilenet"] = "resnet"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input, pixels."""
        resolution = self.resolution
        return (resolution, resolution) if isinstance(resolution, int) else resolution

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
            groups = stage.options().get("groups", 1)
            if stage.width % groups:
                raise ValueError(f"stages[{number}].width {stage.width} is not divisible by its {groups} groups")
        check_fit(self.layers)
        return self

    @cached_property
    def layers(self) -> Network:
        """The layer tree with the model's own numbers."""
        return _layers(self, dimensions(self))


DEFAULT_ROUNDING = "efficientnet"


@dataclass(frozen=True, slots=True)
class Architecture:
    """A named network and the rounding set that its family scales with."""

    name: str
    model: Model
    rounding: str = DEFAULT_ROUNDING

    def at(self, resolution: int | tuple[int, int]) -> Architecture:
        """Return this architecture for another input size, in pixels."""
        return replace(self, model=self.model.at(resolution))

    def with_classes(self, classes: int) -> Architecture:
        """Return this architecture for another number of classes, at least one."""
        return replace(self, model=self.model.with_classes(classes))

    def with_channels(self, channels: int) -> Architecture:
        """Return this architecture for images of another number of colours, at least one."""
        return replace(self, model=self.model.with_channels(channels))


@dataclass(frozen=True, slots=True)
class Dimensions:
    """The numbers of an architecture that scaling moves; arrays of equal length describe many architectures.

    `height` and `width` are the input's, in pixels; `stem`, `widths` and `head` are channels (`head` is None where the
    head has no convolution); `depths` are blocks a stage.
    """

    height: Count
    width: Count
    stem: Count
    widths: tuple[Count, ...]
    depths: tuple[Count, ...]
    head: Count | None


def dimensions(model: Model) -> Dimensions:
    """Return the numbers of `model` that scaling moves."""
    return Dimensions(
        *model.size,
        stem=model.stem.width,
        widths=tuple(stage.width for stage in model.stages),
        depths=tuple(stage.depth for stage in model.stages),
        head=model.head.width if isinstance(model.head, ConvHead) else None,
    )


def with_dimensions(model: Model, numbers: Dimensions) -> Model:
    """Return `model` with other widths, depths and resolution: the inverse of `dimensions`."""
    height, width = cast("int", numbers.height), cast("int", numbers.width)
    changes: dict[str, Any] = {
        "resolution": height if height == width else (height, width),
        "stem": model.stem.changed(width=numbers.stem),
        "stages": tuple(
            stage.changed(width=stage_width, depth=depth)
            for stage, stage_width, depth in zip(model.stages, numbers.widths, numbers.depths, strict=True)
        ),
        "head": model.head if numbers.head is None else model.head.changed(width=numbers.head),
    }
    return model.changed(**changes)


def layer_tree(model: Model, numbers: Dimensions | None = None) -> Network:
    """Return the layers of `model`, with its own numbers or with `numbers` in their place."""
    return model.layers if numbers is None else _layers(model, numbers)


def _layers(model: Model, numbers: Dimensions) -> Network:
    style = Style(model.activation, model.norm, model.squeeze_excite or SqueezeExcite())
    stem: tuple[tuple[str, Layer], ...] = style.conv(
        model.channels,
        numbers.stem,
        kernel=model.stem.kernel,
        stride=model.stem.stride,
        group_width=model.channels,
    ).layers
    if model.stem.pool is not None:
        stem = (*stem, ("pool", MaxPool(model.stem.pool.kernel, model.stem.pool.stride)))
    channels, stages = numbers.stem, []
    for spec, width, depth in zip(model.stages, numbers.widths, numbers.depths, strict=True):
        block, options = blocks.block(spec.block), spec.options()
        first = block(Slot(channels, width, spec.stride, style), **options)
        channels = blocks.out_channels(first, channels)
        stages.append(Stage(first, block(Slot(channels, width, 1, style), **options), depth))
    head = _head(model, numbers.head, channels, style)
    return Network(numbers.height, numbers.width, model.channels, Sequence(stem), tuple(stages), head)


def _head(model: Model, width: Count | None, channels: Count, style: Style) -> Sequence:
    layers: tuple[tuple[str, Layer], ...] = ()
    if width is not None:
        layers, channels = style.conv(channels, width).layers, width
    tail: tuple[tuple[str, Layer], ...] = (
        ("pool", GlobalPool("adaptive")),
        ("flatten", Flatten()),
        ("dropout", Dropout(model.regularization.dropout)),
        ("classifier", Linear(channels, model.head.classes)),
    )
    return Sequence((*layers, *tail))
