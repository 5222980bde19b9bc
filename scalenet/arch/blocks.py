"""Blocks: functions from a slot in the network to a small tree of layers.

A block's keyword-only parameters are its options in a config; their annotations are the check. Whoever adds a block
writes one such function, and scaling, cost, building, schema and tables work for it. A third party's package registers
blocks through the entry point group `scalenet.blocks`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, cast

from pydantic import AfterValidator, Field, WithJsonSchema

from scalenet.arch.bounds import LARGEST
from scalenet.arch.errors import ScalenetError, UnknownNameError
from scalenet.arch.layers import (
    IDENTITY,
    Activation,
    Branches,
    Choice,
    Conv,
    Count,
    DropPath,
    GlobalPool,
    Layer,
    Mask,
    Norm,
    Sequence,
)

if TYPE_CHECKING:
    from scalenet.arch.spec import AnyNorm, SqueezeExcite


def odd(kernel: int) -> int:
    """Return an odd kernel size as it is; an even one cannot be padded evenly."""
    if kernel % 2 == 0:
        raise ValueError("a kernel size must be odd")
    return kernel


Kernel: TypeAlias = Annotated[
    int,
    Field(ge=1, le=LARGEST),
    AfterValidator(odd),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": LARGEST, "not": {"multipleOf": 2}}),
]
Positive: TypeAlias = Annotated[int, Field(ge=1, le=LARGEST)]


class Divides:
    """Marks an option that a stage's width must be divisible by: every rounding keeps it so."""


Groups: TypeAlias = Annotated[int, Field(ge=1, le=LARGEST), Divides]
Ratio: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class Style:
    """What all blocks of a network share: activation, normalisation and the form of its squeeze-excite."""

    activation: str
    norm: AnyNorm
    squeeze_excite: SqueezeExcite

    def normalize(self, channels: Count) -> Norm:
        """Return the network's normalisation for `channels`."""
        return self.norm.layer(channels)

    def conv(
        self,
        in_channels: Count,
        out_channels: Count,
        *,
        kernel: int = 1,
        stride: int = 1,
        group_width: Count | None = None,
        activate: bool = True,
    ) -> Sequence:
        """Return convolution, normalisation and, unless `activate` is false, activation."""
        width = in_channels if group_width is None else group_width
        layers: tuple[tuple[str, Layer], ...] = (
            ("conv", Conv(in_channels, out_channels, kernel, stride, width)),
            ("norm", self.normalize(out_channels)),
        )
        return Sequence((*layers, ("act", Activation(self.activation))) if activate else layers)


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a block stands: the channels that come in, its stage's width, its stride, and the network's style."""

    in_channels: Count
    width: Count
    stride: int
    style: Style

    def matches(self, out_channels: Count) -> Mask:
        """Return whether input and output have the same shape."""
        return self.stride == 1 and (self.in_channels is out_channels or self.in_channels == out_channels)


Block: TypeAlias = Callable[..., Layer]


def mbconv(slot: Slot, *, kernel: Kernel = 3, expand: Ratio = 6, se: Share = 0) -> Layer:
    """Mobile inverted bottleneck: expand, depthwise, squeeze-excite, project; `width` is the output's.

    The squeeze width is `se` times the block's *input* width, rounded down, at least 1 (MobileNetV2, section 3;
    official EfficientNet code, `MBConvBlock`). There is no expansion when `expand` is 1.
    """
    style, inner = slot.style, scaled(slot.in_channels, expand)
    layers: list[tuple[str, Layer]] = []
    if expand != 1:
        layers.append(("expand", style.conv(slot.in_channels, inner)))
    layers.append(("depthwise", style.conv(inner, inner, kernel=kernel, stride=slot.stride, group_width=1)))
    if se:
        layers.append(("se", squeeze_excite(inner, scaled(slot.in_channels, se), style)))
    layers.append(("project", style.conv(inner, slot.width, activate=False)))
    return linked(Sequence(tuple(layers)), matches=slot.matches(slot.width))


def separable(slot: Slot, *, kernel: Kernel = 3) -> Sequence:
    """Depthwise separable convolution, each half normalised and activated (MobileNetV1, table 1)."""
    style, channels = slot.style, slot.in_channels
    return Sequence(
        (
            ("depthwise", style.conv(channels, channels, kernel=kernel, stride=slot.stride, group_width=1)),
            ("pointwise", style.conv(channels, slot.width)),
        )
    )


def basic(slot: Slot, *, kernel: Kernel = 3) -> Layer:
    """Two convolutions and a shortcut (ResNet, figure 5 left); `width` is the output's."""
    style, width = slot.style, slot.width
    main = (
        ("conv1", style.conv(slot.in_channels, width, kernel=kernel, stride=slot.stride)),
        ("conv2", style.conv(width, width, kernel=kernel, activate=False)),
    )
    return shortcut(slot, Sequence(main), width)


def bottleneck(slot: Slot, *, kernel: Kernel = 3, expansion: Positive = 4, groups: Groups = 1) -> Layer:
    """1×1, k×k and 1×1 convolutions and a shortcut (ResNet, figure 5 right; grouped: ResNeXt).

    `width` is the inner width; the output has `expansion` times as many channels. The stride stands in the k×k
    convolution ("v1.5", as in torchvision), not in the first 1×1.
    """
    style, inner, out = slot.style, slot.width, slot.width * expansion
    main = (
        ("conv1", style.conv(slot.in_channels, inner)),
        ("conv2", style.conv(inner, inner, kernel=kernel, stride=slot.stride, group_width=scaled(inner, 1 / groups))),
        ("conv3", style.conv(inner, out, activate=False)),
    )
    return shortcut(slot, Sequence(main), out)


def squeeze_excite(channels: Count, squeeze: Count, style: Style) -> Branches:
    """Return a gate from the channels' means through `squeeze` channels (SENet; 1×1 convolutions with bias)."""
    branch = (
        ("pool", GlobalPool(style.squeeze_excite.pool)),
        ("reduce", Conv(channels, squeeze, 1, 1, channels, bias=True)),
        ("act", Activation(style.activation)),
        ("expand", Conv(squeeze, channels, 1, 1, squeeze, bias=True)),
        ("gate", Activation(style.squeeze_excite.gate)),
    )
    return Branches((("input", IDENTITY), ("branch", Sequence(branch))), "multiply")


def shortcut(slot: Slot, main: Sequence, out_channels: Count) -> Branches:
    """Return `main` plus the identity, or a strided 1×1 projection where the shape changes, then activated."""
    projection = slot.style.conv(slot.in_channels, out_channels, stride=slot.stride, activate=False)
    link = Choice(slot.matches(out_channels), IDENTITY, projection)
    return residual(main, link, activation=Activation(slot.style.activation))


def linked(main: Sequence, *, matches: Mask) -> Layer:
    """Return `main` plus the identity where shapes match, and `main` alone elsewhere."""
    return Choice(matches, residual(main), Sequence((("main", main),)))


def residual(main: Sequence, link: Layer = IDENTITY, *, activation: Activation | None = None) -> Branches:
    """Return `main`, which stochastic depth may drop, plus a shortcut, the identity unless given."""
    dropped = Sequence((*main.layers, ("drop_path", DropPath())))
    return Branches((("main", dropped), ("shortcut", link)), "add", activation=activation)


def scaled(channels: Count, ratio: float) -> Count:
    """Return `channels` × `ratio` rounded down, at least 1, as the official code's squeeze widths are.

    Noise of 1e-9 is rounded away first: 0.29 × 100 is 28.999999999999996 in binary. A `float` is not rounded.
    """
    if ratio == int(ratio):
        return channels * int(ratio)
    if isinstance(channels, float):
        return channels * ratio
    if isinstance(channels, int):
        return max(1, int(round(channels * ratio, 9)))
    import numpy as np  # noqa: PLC0415 - only arrays need it

    return cast("Count", np.maximum(1, np.floor(np.round(channels * ratio, 9))))


BUILT_IN: dict[str, Block] = {
    "mbconv": mbconv,
    "separable": separable,
    "basic": basic,
    "bottleneck": bottleneck,
}

_registered: dict[str, Block] = {}


def register(block: Block, *, name: str | None = None) -> Block:
    """Register a block while the program runs, by its function's name unless another is given; return it.

    A function that was defined again, as in a notebook's cell, takes the place of its former self; any other block of
    that name raises ScalenetError. Processes that are started afresh register their blocks themselves.
    """
    name = name or str(getattr(block, "__name__", ""))
    if not (callable(block) and name.isidentifier()):
        raise ScalenetError("no block", hint="give a function of a slot, or the name of what is none: name=…")
    known = _registered.get(name)
    if known is None and name in names():
        raise ScalenetError(f"block {name!r} is registered already", hint="give yours another name")
    if known is not None and _home(known) != _home(block):
        raise ScalenetError(f"block {name!r} is {_home(known)} already", hint="give yours another name")
    _registered[name] = block
    return block


def _home(block: Block) -> str:
    made = block if hasattr(block, "__qualname__") else type(block)
    return f"{made.__module__}.{made.__qualname__}"


@cache
def _others() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="scalenet.blocks") if point.name not in BUILT_IN}


def names() -> list[str]:
    """Return the names of the registered blocks: built-in, of this program, and of installed packages."""
    return list({**BUILT_IN, **_registered, **_others()})


def block(name: str) -> Block:
    """Return the block called `name`; raise UnknownNameError, or ScalenetError where its package is broken."""
    known = BUILT_IN.get(name) or _registered.get(name)
    if known is not None:
        return known
    if name not in _others():
        raise UnknownNameError("block", name, names(), listing=f"known: {', '.join(names())}")
    return cast("Block", _loaded(_others()[name]))


@cache
def _loaded(point: EntryPoint) -> Any:
    return load_point(point)


def load_point(point: EntryPoint) -> Any:
    """Return what an entry point names, or raise ScalenetError that names the package."""
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        package = point.dist.name if point.dist else point.value
        raise ScalenetError(f"package {package}: {point.group} {point.name} cannot be loaded: {error}") from None
