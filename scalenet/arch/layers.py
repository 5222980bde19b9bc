"""The primitive layers: frozen records of numbers and names, without behaviour.

A network is a tree of these. `scalenet.model.build` reads the tree as an `nn.Module`, `scalenet.costs.formula` reads it
as arithmetic. A `Count` is an `int` for one network, a `float` where rounding is left out to see its effect, or a NumPy
array for many networks at once, one element each; only the numbers that scaling moves (channels, sizes, depths) are so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

Count: TypeAlias = "float | NDArray[Any]"
Mask: TypeAlias = "bool | NDArray[Any]"


@dataclass(frozen=True, slots=True)
class Conv:
    """A 2-d convolution, padded by (kernel - 1) // 2 on each side.

    `group_width` is the number of input channels that one output channel sees: all of them in a dense convolution,
    1 in a depthwise one. `groups` follows as in_channels / group_width.
    """

    in_channels: Count
    out_channels: Count
    kernel: int
    stride: int
    group_width: Count
    bias: bool = False


@dataclass(frozen=True, slots=True)
class BatchNorm:
    """Batch normalisation with scale and shift; `momentum` is PyTorch's (the weight of the new batch)."""

    channels: Count
    eps: float
    momentum: float


@dataclass(frozen=True, slots=True)
class Activation:
    """An elementwise function: `relu`, `relu6`, `silu`, `sigmoid`, …"""

    kind: str


@dataclass(frozen=True, slots=True)
class MaxPool:
    """Max pooling, padded by (kernel - 1) // 2 on each side."""

    kernel: int
    stride: int


@dataclass(frozen=True, slots=True)
class GlobalPool:
    """The average over height and width, kept as a 1×1 map.

    `kind` is how it is computed: `adaptive` (fvcore counts one operation per input element) or `mean` (fvcore counts
    none). The result is the same.
    """

    kind: str


@dataclass(frozen=True, slots=True)
class Flatten:
    """All dimensions but the batch's become one."""


@dataclass(frozen=True, slots=True)
class Dropout:
    """Dropout with probability `rate` in training."""

    rate: float


@dataclass(frozen=True, slots=True)
class Linear:
    """A fully connected layer with bias."""

    in_features: Count
    out_features: Count


@dataclass(frozen=True, slots=True)
class Sequence:
    """Named layers, one after another; the names become those of the module's children."""

    layers: tuple[tuple[str, Layer], ...]


@dataclass(frozen=True, slots=True)
class Gate:
    """The input times the branch's output, channel by channel: squeeze-and-excitation."""

    branch: Sequence


@dataclass(frozen=True, slots=True)
class Residual:
    """The main path plus a shortcut, then an activation if there is one.

    The shortcut is the identity where `matches` (input and output have the same shape); elsewhere it is the
    projection, and where there is no projection either, there is no shortcut.
    """

    main: Sequence
    matches: Mask
    projection: Sequence | None = None
    activation: Activation | None = None


Layer: TypeAlias = (
    Conv | BatchNorm | Activation | MaxPool | GlobalPool | Flatten | Dropout | Linear | Sequence | Gate | Residual
)


@dataclass(frozen=True, slots=True)
class Stage:
    """`depth` blocks: the first one changes width and stride, each of the others is `repeated`."""

    first: Layer
    repeated: Layer
    depth: Count


@dataclass(frozen=True, slots=True)
class Network:
    """Stem, stages and head, for images of `height` × `width` pixels and `channels` colours."""

    height: Count
    width: Count
    channels: int
    stem: Sequence
    stages: tuple[Stage, ...]
    head: Sequence
