"""The primitive layers: frozen records of numbers and names, without behaviour.

A network is a tree of these. `scalenet.model.build` reads the tree as an `nn.Module`, `scalenet.costs.formula` reads it
as arithmetic. A `Count` is an `int` for one network, a `float` where rounding is left out to see its effect, or a NumPy
array for many networks at once, one element each; only the numbers that scaling moves (channels, sizes, depths) are so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

Count: TypeAlias = "float | NDArray[Any]"
Mask: TypeAlias = "bool | NDArray[Any]"
Sides: TypeAlias = "int | tuple[int, int]"
"""One number for height and width alike, or one for each."""

Padding: TypeAlias = "Literal['symmetric', 'same', 'valid'] | Sides"
"""`symmetric` is (kernel - 1) // 2 on each side, `same` TensorFlow's, by the size that enters, `valid` none."""


IN_PLACE = frozenset({"relu", "relu6", "silu", "hardswish", "hardsigmoid"})
"""Activations that can work in place, as they do where `is_made_anew`."""


@dataclass(frozen=True, slots=True)
class Conv:
    """A 2-d convolution.

    `group_width` is the number of input channels that one output channel sees: all of them in a dense convolution,
    1 in a depthwise one. `groups` follows as in_channels / group_width.
    """

    in_channels: Count
    out_channels: Count
    kernel: Sides
    stride: int
    group_width: Count
    bias: bool = False
    padding: Padding = "symmetric"


@dataclass(frozen=True, slots=True)
class Norm:
    """Normalisation with scale and shift.

    `batchnorm` has statistics of its own, whose `momentum` is PyTorch's (the weight of the new batch); `layernorm`
    normalises over the channels of each place, `groupnorm` each of `groups` groups of channels over all places.
    """

    channels: Count
    eps: float
    momentum: float = 0.1
    kind: Literal["batchnorm", "layernorm", "groupnorm"] = "batchnorm"
    groups: int = 1


@dataclass(frozen=True, slots=True)
class Activation:
    """An elementwise function: `relu`, `relu6`, `silu`, `hardswish`, `gelu`, `sigmoid`, `hardsigmoid`."""

    kind: str


@dataclass(frozen=True, slots=True)
class Pool:
    """Pooling in windows; `ceil` keeps a last window that is not whole.

    An average is over what lies in the map, or with `counts_padding` over the whole window.
    """

    kind: Literal["max", "avg"]
    kernel: int
    stride: int
    padding: Padding = "symmetric"
    ceil: bool = False
    counts_padding: bool = False


@dataclass(frozen=True, slots=True)
class GlobalPool:
    """The averages over a map, kept as a map of `side` × `side`.

    `kind` is how it is computed: `adaptive` (fvcore counts one operation per input element) or `mean` (fvcore counts
    none, and there is one average). The result is the same.
    """

    kind: Literal["adaptive", "mean"]
    side: int = 1


@dataclass(frozen=True, slots=True)
class Flatten:
    """All dimensions but the batch's become one."""


@dataclass(frozen=True, slots=True)
class Dropout:
    """Dropout with probability `rate` in training."""

    rate: float


@dataclass(frozen=True, slots=True)
class DropPath:
    """Stochastic depth: in training the map is zero for whole images, at the network's rate by the block's place."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A fully connected layer with bias, of what is flat."""

    in_features: Count
    out_features: Count


@dataclass(frozen=True, slots=True)
class Scale:
    """A factor a channel that is learned and starts at `start` (ConvNeXt's layer scale), or a constant one for all."""

    channels: Count
    start: float
    learned: bool = True


@dataclass(frozen=True, slots=True)
class Shuffle:
    """Channels of `groups` equal groups take turns (ShuffleNet)."""

    groups: int


@dataclass(frozen=True, slots=True)
class Attention:
    """Each place asks all others; queries, keys and values are a third of the channels each, in `heads` groups."""

    heads: Count


@dataclass(frozen=True, slots=True)
class Position:
    """A number a channel and place that is learned and added: `height` × `width` must be the map's."""

    channels: Count
    height: Count
    width: Count


@dataclass(frozen=True, slots=True)
class Sequence:
    """Named layers, one after another; the names become those of the module's children."""

    layers: tuple[tuple[str, Layer], ...]


IDENTITY = Sequence(())
"""What enters, as it is."""


@dataclass(frozen=True, slots=True)
class Branches:
    """Named paths side by side, then an activation if there is one: residual, gate, Inception, DenseNet, ShuffleNet.

    Each path takes `all` channels, or with `split` an equal part of them. Their maps are added, multiplied or put one
    behind the other. A gate's 1×1 map is multiplied with every place.
    """

    paths: tuple[tuple[str, Layer], ...]
    join: Literal["add", "multiply", "concat"]
    take: Literal["all", "split"] = "all"
    activation: Activation | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """`yes` where `where` is true, else `no`: the only node in which an array decides."""

    where: Mask
    yes: Layer
    no: Layer

    @property
    def chosen(self) -> Layer:
        """What one network has, where the condition is known."""
        return self.yes if self.where else self.no


Leaf: TypeAlias = (
    Conv
    | Norm
    | Activation
    | Pool
    | GlobalPool
    | Flatten
    | Dropout
    | DropPath
    | Linear
    | Scale
    | Shuffle
    | Attention
    | Position
)
Layer: TypeAlias = Leaf | Sequence | Branches | Choice


@dataclass(frozen=True, slots=True)
class Run:
    """A block that stands `times` times in a row."""

    block: Layer
    times: Count


@dataclass(frozen=True, slots=True)
class Part:
    """Stem, stage or head: runs of blocks, one after another.

    Behind the first one blocks leave channels and size as they are, but where they `grow` with their place, as
    DenseNet's do. There each block is a run of its own, and stands there once or, in shallower networks, not at all.
    """

    name: str
    runs: tuple[Run, ...]
    grows: bool = False

    @property
    def depth(self) -> Count:
        """How many blocks the part has."""
        return sum(run.times for run in self.runs)

    def blocks(self) -> list[Layer]:
        """Return each block that stands in one network, in order."""
        return [run.block for run in self.runs for _ in range(cast("int", run.times))]


@dataclass(frozen=True, slots=True)
class Network:
    """Stem, stages and head, for images of `height` × `width` pixels and `channels` colours."""

    height: Count
    width: Count
    channels: int
    parts: tuple[Part, ...]

    @property
    def stages(self) -> tuple[Part, ...]:
        """The parts between stem and head."""
        return self.parts[1:-1]


def both(sides: Sides) -> tuple[int, int]:
    """Return height and width."""
    return (sides, sides) if isinstance(sides, int) else sides


def is_made_anew(layer: Layer) -> bool:
    """Return whether an activation behind this layer works in place: a layer norm gives a view, where it costs more."""
    return isinstance(layer, Conv | Linear) or (isinstance(layer, Norm) and layer.kind != "layernorm")
