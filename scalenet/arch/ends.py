"""Stems and heads: records whose `layers` are a function of a slot, as blocks are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from scalenet.arch.layers import Dropout, Flatten, GlobalPool, Layer, Linear, Pool, Sequence
from scalenet.arch.options import Kernel, Positive
from scalenet.arch.records import Record

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
        if self.pool is None:
            return conv
        return Sequence((*conv.layers, ("pool", Pool("max", self.pool.kernel, self.pool.stride))))

    @property
    def total_stride(self) -> int:
        """By what it divides the sides of an image."""
        return self.stride * (self.pool.stride if self.pool else 1)

    def __str__(self) -> str:
        return f"conv k{self.kernel}{f', pool k{self.pool.kernel}' if self.pool else ''}"


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


AnyStem: TypeAlias = Stem
Head: TypeAlias = Annotated[ConvHead | LinearHead, Field(discriminator="kind")]


def _pooled(dropout: float) -> tuple[tuple[str, Layer], ...]:
    return ("pool", GlobalPool("adaptive")), ("flatten", Flatten()), ("dropout", Dropout(dropout))
