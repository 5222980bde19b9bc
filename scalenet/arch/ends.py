"""Stems and heads: records whose `layers` are a function of a slot, as blocks are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from scalenet.arch.layers import Activation, Dropout, Flatten, GlobalPool, Layer, Linear, Pool, Sequence
from scalenet.arch.options import Kernel, Positive, Ratio
from scalenet.arch.records import Record
from scalenet.arch.slots import divisible, scaled

if TYPE_CHECKING:
    from scalenet.arch.slots import Slot


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

    def layers(self, slot: Slot) -> Sequence:
        """Return the layers, of images to `width` channels."""
        conv = slot.style.conv(slot.in_channels, slot.width, kernel=self.kernel, stride=slot.stride)
        return Sequence((*conv.layers, *self.pooling()))

    def pooling(self) -> tuple[tuple[str, Layer], ...]:
        """Return the pooling, if there is one."""
        return () if self.pool is None else (("pool", Pool("max", self.pool.kernel, self.pool.stride)),)

    @property
    def total_stride(self) -> int:
        """By what it divides the sides of an image."""
        return self.stride * (self.pool.stride if self.pool else 1)

    def __str__(self) -> str:
        return f"conv k{self.kernel}{f', pool k{self.pool.kernel}' if self.pool else ''}"


class DeepStem(Stem):
    """Three convolutions, of which the first strides, instead of one: two of half the width, then the last."""

    kind: Literal["deep"]  # type: ignore[assignment]

    def layers(self, slot: Slot) -> Sequence:
        """Return the layers, of images to `width` channels."""
        style, half = slot.style, scaled(slot.width, 0.5)
        convs: tuple[tuple[str, Layer], ...] = (
            ("conv1", style.conv(slot.in_channels, half, kernel=self.kernel, stride=slot.stride)),
            ("conv2", style.conv(half, half, kernel=self.kernel)),
            ("conv3", style.conv(half, slot.width, kernel=self.kernel)),
        )
        return Sequence((*convs, *self.pooling()))

    def __str__(self) -> str:
        return f"3 × {super().__str__()}"


class ConvHead(Record):
    """1×1 convolution, normalisation, activation, global average pooling, dropout and a linear classifier."""

    kind: Literal["conv"]
    width: Positive
    classes: Positive

    def layers(self, slot: Slot, dropout: float) -> Sequence:
        """Return the layers, of a map to `classes` features."""
        conv = slot.style.conv(slot.in_channels, slot.width)
        return Sequence((*conv.layers, *_pooled(dropout), ("classifier", Linear(slot.width, self.classes))))

    def __str__(self) -> str:
        return "conv, pool, linear"


class LinearHead(Record):
    """Global average pooling, dropout and a linear classifier."""

    kind: Literal["linear"]
    classes: Positive
    width: ClassVar[None] = None

    def layers(self, slot: Slot, dropout: float) -> Sequence:
        """Return the layers, of a map to `classes` features."""
        return Sequence((*_pooled(dropout), ("classifier", Linear(slot.in_channels, self.classes))))

    def __str__(self) -> str:
        return "pool, linear"


class MlpHead(Record):
    """1×1 convolution, normalisation, activation, pooling, a hidden layer, activation, dropout and a classifier.

    `width` is the hidden layer's; the convolution has `expand` times the channels that enter, in multiples of
    `multiple_of` (MobileNetV3, section 5.1).
    """

    kind: Literal["mlp"]
    width: Positive
    expand: Ratio = 6
    multiple_of: Positive = 8
    classes: Positive

    def layers(self, slot: Slot, dropout: float) -> Sequence:
        """Return the layers, of a map to `classes` features."""
        inner = divisible(slot.in_channels, self.expand, self.multiple_of)
        pool, flatten, drop = _pooled(dropout)
        hidden: tuple[tuple[str, Layer], ...] = (
            ("hidden", Linear(inner, slot.width)),
            ("hidden_act", Activation(slot.style.activation)),
        )
        classifier = ("classifier", Linear(slot.width, self.classes))
        conv = slot.style.conv(slot.in_channels, inner)
        return Sequence((*conv.layers, pool, flatten, *hidden, drop, classifier))

    def __str__(self) -> str:
        return "conv, pool, 2 × linear"


Head: TypeAlias = Annotated[ConvHead | LinearHead | MlpHead, Field(discriminator="kind")]


def _stem_kind(value: Any) -> str:
    return str(value.get("kind", "conv") if isinstance(value, dict) else getattr(value, "kind", "conv"))


AnyStem: TypeAlias = Annotated[
    Annotated[Stem, Tag("conv")] | Annotated[DeepStem, Tag("deep")], Discriminator(_stem_kind)
]


def _pooled(dropout: float) -> tuple[tuple[str, Layer], ...]:
    return ("pool", GlobalPool("adaptive")), ("flatten", Flatten()), ("dropout", Dropout(dropout))
