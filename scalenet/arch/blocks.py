"""Blocks: functions from a slot in the network to a small tree of layers.

A block's keyword-only parameters are its options in a config; their annotations are the check. Whoever adds a block
writes one such function, and scaling, cost, building, schema and tables work for it. A third party's package registers
blocks through the entry point group `scalenet.blocks`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeAlias, cast

from scalenet.arch.errors import ScalenetError, UnknownNameError
from scalenet.arch.families.convnext import convnext
from scalenet.arch.families.densenet import dense
from scalenet.arch.families.inception import inception_a, inception_c, inception_e
from scalenet.arch.families.inception_resnet import inception_resnet_a, inception_resnet_b, inception_resnet_c
from scalenet.arch.families.mnasnet import mnas_conv, mnas_mbconv, mnas_separable
from scalenet.arch.families.mobile import fused_mbconv, mbconv, separable
from scalenet.arch.families.repvgg import repvgg
from scalenet.arch.families.resnet import basic, bottleneck, regnet
from scalenet.arch.families.shufflenet import shuffle
from scalenet.arch.families.squeezenet import fire
from scalenet.arch.families.transformer import transformer
from scalenet.arch.families.vgg import vgg
from scalenet.arch.families.xception import separated, xception
from scalenet.arch.layers import Layer

Block: TypeAlias = Callable[..., Layer]


BUILT_IN: dict[str, Block] = {
    "mbconv": mbconv,
    "fused_mbconv": fused_mbconv,
    "separable": separable,
    "basic": basic,
    "bottleneck": bottleneck,
    "regnet": regnet,
    "dense": dense,
    "convnext": convnext,
    "shuffle": shuffle,
    "fire": fire,
    "vgg": vgg,
    "repvgg": repvgg,
    "inception_a": inception_a,
    "inception_c": inception_c,
    "inception_e": inception_e,
    "inception_resnet_a": inception_resnet_a,
    "inception_resnet_b": inception_resnet_b,
    "inception_resnet_c": inception_resnet_c,
    "xception": xception,
    "separated": separated,
    "transformer": transformer,
    "mnas_conv": mnas_conv,
    "mnas_separable": mnas_separable,
    "mnas_mbconv": mnas_mbconv,
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


def is_of_this_program(name: str) -> bool:
    """Return whether a block was registered while the program runs, so that other processes do not know it."""
    return name in _registered


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
