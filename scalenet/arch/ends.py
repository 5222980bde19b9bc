"""Stems and heads: records whose `layers` are a function of a slot, as blocks are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, Tag

from scalenet.arch.families.inception import inception_stem
from scalenet.arch.families.repvgg import repvgg
from scalenet.arch.layers import (
    Activation,
    Conv,
    Dropout,
    Flatten,
    GlobalPool,
    Layer,
    Linear,
    Pool,
    Position,
    Sequence,
)
from scalenet.arch.options import Kernel, Positive, Ratio
from scalenet.arch.records import Record, kind_or
from scalenet.arch.shapes import patches
from scalenet.arch.slots import divisible, scaled

if TYPE_CHECKING:
    from scalenet.arch.layers import Count
    from scalenet.arch.slots import Slot
    from scalenet.arch.style import Style


class StemPool(Record):
    """Max pooling after the stem's convolution; `valid` windows read no padding, with `ceil` the last may be cut."""

    kind: Literal["max"] = "max"
    kernel: Kernel = 3
    stride: Positive = 2
    padding: Literal["valid"] | None = None
    ceil: Literal[True] | None = None

    def layer(self) -> Pool:
        """Return the layer."""
        return Pool("max", self.kernel, self.stride, self.padding or "symmetric", bool(self.ceil))


class Stem(Record):
    """Convolution, normalisation, activation and, where there is one, pooling."""

    kind: Literal["conv"] = "conv"
    width: Positive
    kernel: Kernel = 3
    stride: Positive = 2
    padding: Literal["valid"] | None = None
    bias: Literal[True] | None = None
    pool: StemPool | None = None

    def layers(self, slot: Slot) -> Sequence:
        """Return the layers, of images to `width` channels."""
        conv = self._conv(slot.style, slot.in_channels, slot.width, slot.stride)
        return Sequence((*conv.layers, *self.pooling()))

    def _conv(self, style: Style, entering: Count, width: Count, stride: int) -> Sequence:
        return style.conv(
            entering,
            width,
            kernel=self.kernel,
            stride=stride,
            bias=bool(self.bias),
            padding=self.padding,
        )

    def pooling(self) -> tuple[tuple[str, Layer], ...]:
        """Return the pooling, if there is one."""
        return () if self.pool is None else (("pool", self.pool.layer()),)

    @property
    def total_stride(self) -> int:
        """By what it divides the sides of an image."""
        return self.stride * (self.pool.stride if self.pool else 1)

    def __str__(self) -> str:
        return f"conv k{self.kernel}{f', pool k{self.pool.kernel}' if self.pool else ''}"


class DeepStem(Stem):
    """Three convolutions instead of one, or two: the first strides, and all but the last have half the width."""

    kind: Literal["deep"]  # type: ignore[assignment]
    convs: Literal[2] | None = None

    def layers(self, slot: Slot) -> Sequence:
        """Return the layers, of images to `width` channels."""
        half = scaled(slot.width, 0.5)
        widths = [*[half] * (self._count - 1), slot.width]
        convs: list[tuple[str, Layer]] = []
        entering, stride = slot.in_channels, slot.stride
        for number, width in enumerate(widths, 1):
            convs.append((f"conv{number}", self._conv(slot.style, entering, width, stride)))
            entering, stride = width, 1
        return Sequence((*convs, *self.pooling()))

    @property
    def _count(self) -> int:
        return self.convs or 3

    def __str__(self) -> str:
        return f"{self._count} × {super().__str__()}"


class PatchStem(Record):
    """A convolution as wide as its stride, and normalisation (ConvNeXt) or a learned number a place (ViT)."""

    kind: Literal["patch"]
    width: Positive
    stride: Positive
    then: Literal["norm", "positions"]

    def layers(self, slot: Slot) -> Sequence:
        """Return the layers, of images to `width` channels."""
        conv = Conv(
            slot.in_channels, slot.width, slot.stride, slot.stride, slot.in_channels, bias=True, padding="valid"
        )
        if self.then == "norm":
            return Sequence((("conv", conv), ("norm", slot.style.normalize(slot.width))))
        height, width = (patches(side, slot.stride) for side in slot.pixels)
        return Sequence((("conv", conv), ("positions", Position(slot.width, height, width))))

    @property
    def total_stride(self) -> int:
        """By what it divides the sides of an image."""
        return self.stride

    def __str__(self) -> str:
        return f"patch k{self.stride}, {self.then}"


class RepvggStem(Record):
    """A block of RepVGG: k×k and 1×1 convolutions, each normalised, added and activated."""

    kind: Literal["repvgg"]
    width: Positive
    kernel: Kernel = 3
    stride: Positive = 2

    def layers(self, slot: Slot) -> Layer:
        """Return the layers, of images to `width` channels."""
        return repvgg(slot, kernel=self.kernel)

    @property
    def total_stride(self) -> int:
        """By what it divides the sides of an image."""
        return self.stride

    def __str__(self) -> str:
        return f"repvgg k{self.kernel}"


class InceptionStem(Record):
    """The five convolutions and two poolings of Inception-v3 that leave an eighth of the side, `width` channels."""

    kind: Literal["inception"]
    width: Positive
    stride: ClassVar[int] = 8

    def layers(self, slot: Slot) -> Sequence:
        """Return the layers, of images to `width` channels."""
        return inception_stem(slot)

    @property
    def total_stride(self) -> int:
        """By what it divides the sides of an image."""
        return self.stride

    def __str__(self) -> str:
        return "5 conv, 2 pool"


class WideHead(Record):
    """A head with channels of its own, between those that enter and the classes."""

    def resized(self, width: int) -> Self:
        """Return this head with so many channels of its own."""
        return self.changed(width=width)


class HeadOfClasses(Record):
    """A head with no channels but those that enter and the classes: its width is 0, and nothing scales it."""

    width: ClassVar[int] = 0

    def resized(self, width: int) -> Self:  # noqa: ARG002 - other heads have one
        """Return this head."""
        return self


class ConvHead(WideHead):
    """1×1 convolution, normalisation, activation, global average pooling, dropout and a linear classifier."""

    kind: Literal["conv"]
    width: Positive
    classes: Positive

    def layers(self, slot: Slot) -> Sequence:
        """Return the layers, of a map to `classes` features."""
        conv = slot.style.conv(slot.in_channels, slot.width)
        return Sequence((*conv.layers, *_pooled(slot.style), ("classifier", Linear(slot.width, self.classes))))

    def __str__(self) -> str:
        return "conv, pool, linear"


class LinearHead(HeadOfClasses):
    """Global average pooling, dropout and a linear classifier.

    Normalisation stands `before` the pooling or `after` it, or before it and `activated`, where there is one.
    """

    kind: Literal["linear"]
    classes: Positive
    norm: Literal["before", "activated", "after"] | None = None

    def layers(self, slot: Slot) -> Sequence:
        """Return the layers, of a map to `classes` features."""
        pool, *flat = _pooled(slot.style)
        first: tuple[tuple[str, Layer], ...] = (pool,)
        if self.norm is not None:
            norm = ("norm", slot.style.normalize(slot.in_channels))
            act = (("act", Activation(slot.style.activation)),) if self.norm == "activated" else ()
            first = (pool, norm) if self.norm == "after" else (norm, *act, pool)
        return Sequence((*first, *flat, ("classifier", Linear(slot.in_channels, self.classes))))

    def __str__(self) -> str:
        names = {None: "pool", "before": "norm, pool", "activated": "norm, act, pool", "after": "pool, norm"}
        return f"{names[self.norm]}, linear"


class VggHead(WideHead):
    """Max pooling, a map of 7 × 7 places, and three linear layers, `width` between them with dropout."""

    kind: Literal["vgg"]
    width: Positive
    classes: Positive

    def layers(self, slot: Slot) -> Sequence:
        """Return the layers, of a map to `classes` features."""
        act, drop, side = Activation(slot.style.activation), Dropout(slot.style.dropout), 7
        return Sequence(
            (
                ("reduce", Pool("max", 2, 2, "valid")),
                ("pool", GlobalPool("adaptive", side)),
                ("flatten", Flatten()),
                ("hidden1", Linear(slot.in_channels * side**2, slot.width)),
                ("act1", act),
                ("dropout1", drop),
                ("hidden2", Linear(slot.width, slot.width)),
                ("act2", act),
                ("dropout2", drop),
                ("classifier", Linear(slot.width, self.classes)),
            )
        )

    def __str__(self) -> str:
        return "pool, pool 7×7, 3 linear"


class MapsHead(HeadOfClasses):
    """Dropout, a 1×1 convolution to a map a class with bias and activation, and each map's mean (SqueezeNet)."""

    kind: Literal["maps"]
    classes: Positive

    def layers(self, slot: Slot) -> Sequence:
        """Return the layers, of a map to `classes` features."""
        pool, flatten, drop = _pooled(slot.style)
        conv = Conv(slot.in_channels, self.classes, 1, 1, slot.in_channels, bias=True)
        act = Activation(slot.style.activation)
        return Sequence((drop, ("classifier", conv), ("act", act), pool, flatten))

    def __str__(self) -> str:
        return "conv, pool"


class MlpHead(WideHead):
    """1×1 convolution, normalisation, activation, pooling, a hidden layer, activation, dropout and a classifier.

    `width` is the hidden layer's; the convolution has `expand` times the channels that enter, in multiples of
    `multiple_of` (MobileNetV3, section 5.1).
    """

    kind: Literal["mlp"]
    width: Positive
    expand: Ratio = 6
    multiple_of: Positive = 8
    classes: Positive

    def layers(self, slot: Slot) -> Sequence:
        """Return the layers, of a map to `classes` features."""
        inner = divisible(slot.in_channels, self.expand, self.multiple_of)
        pool, flatten, drop = _pooled(slot.style)
        hidden: tuple[tuple[str, Layer], ...] = (
            ("hidden", Linear(inner, slot.width)),
            ("hidden_act", Activation(slot.style.activation)),
        )
        classifier = ("classifier", Linear(slot.width, self.classes))
        conv = slot.style.conv(slot.in_channels, inner)
        return Sequence((*conv.layers, pool, flatten, *hidden, drop, classifier))

    def __str__(self) -> str:
        return "conv, pool, 2 × linear"


AnyStem: TypeAlias = Annotated[
    Annotated[Stem, Tag("conv")]
    | Annotated[DeepStem, Tag("deep")]
    | Annotated[PatchStem, Tag("patch")]
    | Annotated[RepvggStem, Tag("repvgg")]
    | Annotated[InceptionStem, Tag("inception")],
    Discriminator(kind_or("conv")),
]
Head: TypeAlias = Annotated[ConvHead | LinearHead | MlpHead | VggHead | MapsHead, Field(discriminator="kind")]


def _pooled(style: Style) -> tuple[tuple[str, Layer], ...]:
    return ("pool", GlobalPool("adaptive")), ("flatten", Flatten()), ("dropout", Dropout(style.dropout))
