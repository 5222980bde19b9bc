"""What all blocks of a network share: activation, normalisation and the form of its squeeze-excite."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from scalenet.arch import layers
from scalenet.arch.errors import ScalenetError
from scalenet.arch.layers import Activation, Conv, Layer, Sequence
from scalenet.arch.options import ActivationName, GateName, Positive
from scalenet.arch.records import Record, kind_or

if TYPE_CHECKING:
    from scalenet.arch.layers import Count, Padding, Sides

Eps: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Norm(Record):
    """Batch normalisation; `momentum` is PyTorch's, one minus TensorFlow's."""

    divisor: ClassVar[int] = 1
    """What widths must be a multiple of."""

    kind: Literal["batchnorm"] = "batchnorm"
    eps: Eps = 1e-5
    momentum: Annotated[float, Field(gt=0, le=1)] = 0.1

    def layer(self, channels: Count) -> layers.Norm:
        """Return the layer for a number of channels."""
        return layers.Norm(channels, self.eps, self.momentum)


class LayerNorm(Record):
    """Normalisation over the channels of each place."""

    divisor: ClassVar[int] = 1

    kind: Literal["layernorm"]
    eps: Eps = 1e-6

    def layer(self, channels: Count) -> layers.Norm:
        """Return the layer for a number of channels."""
        return layers.Norm(channels, self.eps, kind="layernorm")


class GroupNorm(Record):
    """Normalisation of each of `groups` groups of channels over all places."""

    kind: Literal["groupnorm"]
    groups: Positive = 32
    eps: Eps = 1e-5

    @property
    def divisor(self) -> int:
        """What widths must be a multiple of."""
        return self.groups

    def layer(self, channels: Count) -> layers.Norm:
        """Return the layer for a number of channels."""
        return layers.Norm(channels, self.eps, kind="groupnorm", groups=self.groups)


class NoNorm(Record):
    """No normalisation: convolutions have biases instead."""

    divisor: ClassVar[int] = 1

    kind: Literal["none"]

    def layer(self, channels: Count) -> layers.Norm:
        """Refuse: whoever asks for normalisation by itself cannot do without."""
        raise ScalenetError(f"a block normalises {channels} channels", hint="give the network a norm of a kind")


AnyNorm: TypeAlias = Annotated[
    Annotated[Norm, Tag("batchnorm")]
    | Annotated[LayerNorm, Tag("layernorm")]
    | Annotated[GroupNorm, Tag("groupnorm")]
    | Annotated[NoNorm, Tag("none")],
    Discriminator(kind_or("batchnorm")),
]


class SqueezeExcite(Record):
    """The form of every squeeze-excite in the network; its ratio stands in the stages.

    `pool` is how the means are computed, which changes fvcore's total (adaptive pooling is counted, `mean` is not) but
    neither the result nor `flops`. `activation` is what stands inside, where it is not the block's.
    """

    pool: Literal["mean", "adaptive"] = "mean"
    gate: GateName = "sigmoid"
    activation: ActivationName | None = None


@dataclass(frozen=True, slots=True)
class Style:
    """What all blocks of a network share: activation, normalisation, squeeze-excite, how convolutions pad, and dropout.

    `dropout` is that before the classifier.
    """

    activation: str
    norm: AnyNorm
    squeeze_excite: SqueezeExcite
    padding: Padding = "symmetric"
    dropout: float = 0.0

    def with_activation(self, activation: str | None) -> Style:
        """Return this style with another activation, or as it is for None."""
        return self if activation is None else replace(self, activation=activation)

    def normalize(self, channels: Count) -> layers.Norm:
        """Return the network's normalisation for `channels`."""
        return self.norm.layer(channels)

    def conv(
        self,
        in_channels: Count,
        out_channels: Count,
        *,
        kernel: Sides = 1,
        stride: int = 1,
        group_width: Count | None = None,
        activate: bool = True,
        bias: bool = False,
        padding: Padding | None = None,
    ) -> Sequence:
        """Return convolution, normalisation if there is one and, unless `activate` is false, activation.

        The convolution has a `bias` where there is no normalisation, or where it is asked for, and pads as all do
        unless it has a `padding` of its own.
        """
        width = in_channels if group_width is None else group_width
        plain = isinstance(self.norm, NoNorm)
        conv = Conv(in_channels, out_channels, kernel, stride, width, bias or plain, padding or self.padding)
        parts: tuple[tuple[str, Layer], ...] = (("conv", conv),)
        if not plain:
            parts = (*parts, ("norm", self.normalize(out_channels)))
        return Sequence((*parts, ("act", Activation(self.activation))) if activate else parts)
