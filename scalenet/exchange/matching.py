"""Which of a file's tensors is which of a network's?"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from scalenet.arch.errors import ScalenetError
from scalenet.exchange.naming import TITLES, names_in
from scalenet.model.builder import build
from scalenet.scaling.scaler import load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Size, Tensor, nn

    from scalenet.arch.spec import Architecture, Model
    from scalenet.exchange.naming import Library

POSITIONS = "stem.positions.weight"


def matched(
    tensors: Mapping[str, Tensor], library: Library, architecture: Architecture, place: str
) -> dict[str, Tensor]:
    """Return tensors by our names, in our shapes; raise ScalenetError that names both where one does not fit."""
    network = on_meta(architecture.model)
    names = names_in(library, network, architecture.model)
    if (wrong := mismatch(tensors, names, shapes(network), f"{TITLES[library]}'s {architecture.name}")) is not None:
        raise ScalenetError(f"{place}: {wrong}")
    state = network.state_dict()
    found = {ours: as_ours(tensors[theirs], ours, state[ours].shape) for ours, theirs in names.items()}
    counts = {name: torch.zeros((), dtype=value.dtype) for name, value in state.items() if name not in names}
    return {name: (found | counts)[name] for name in state}


def mismatch(
    tensors: Mapping[str, Tensor], names: Mapping[str, str], wanted: Mapping[str, Size], network: str
) -> str | None:
    """Say what keeps tensors from being a network's, the first in its order; the number of classes is any."""
    for ours, theirs in names.items():
        if theirs not in tensors:
            return f"no tensor {theirs}, which is {ours} ({_sides(wanted[ours])}) of {network}"
        shape = tensors[theirs].shape
        if not fits(shape, wanted[ours], any_first=ours.startswith("head.classifier.")):
            return f"{theirs} is {_sides(shape)}, and {ours} of {network} is {_sides(wanted[ours])}"
    weight, bias = (tensors[names[f"head.classifier.{part}"]].shape for part in ("weight", "bias"))
    if bias != weight[:1]:
        return f"{names['head.classifier.bias']} is {_sides(bias)} for {weight[0]} classes"
    unknown = [name for name in tensors if name not in set(names.values())]
    if unknown:
        return f"{unknown[0]} ({_sides(tensors[unknown[0]].shape)}) has no place in {network}"
    return None


def agreeing(tensors: Mapping[str, Tensor], names: Mapping[str, str], wanted: Mapping[str, Size]) -> int:
    """Return how many first tensors of a network fit."""
    for number, (ours, theirs) in enumerate(names.items()):
        if theirs not in tensors or not fits(tensors[theirs].shape, wanted[ours]):
            return number
    return len(names)


def fits(shape: Size, wanted: Size, *, any_first: bool = False) -> bool:
    """Return whether a tensor is another's but for sides of one, and for maps that are flattened."""
    if any_first:
        shape, wanted = shape[1:], wanted[1:]
    plain, own = ([side for side in one if side != 1] for one in (shape, wanted))
    flattened = len(own) == 2 and len(plain) == 4 and [plain[0], math.prod(plain[1:])] == own
    positions = len(own) == 3 and len(plain) == 2 and [math.prod(own[1:]), own[0]] == plain
    return plain == own or flattened or positions


def as_ours(value: Tensor, name: str, wanted: Size) -> Tensor:
    """Return a tensor in our shape: sides of one, flattened maps, and places in a row with channels last."""
    if name == POSITIONS:
        return value.reshape(-1, value.shape[-1]).T.reshape(wanted).contiguous()
    return value.reshape(value.shape[0], *wanted[1:]).contiguous()


def shapes(network: nn.Module) -> dict[str, Size]:
    """Return the shapes of a network's tensors."""
    return {name: value.shape for name, value in network.state_dict().items()}


@lru_cache(maxsize=64)
def on_meta(model: Model) -> nn.Module:
    """Return a network without values."""
    with torch.device("meta"):
        return build(model)


@lru_cache(maxsize=64)
def known_network(name: str) -> Architecture:
    """Return one of our networks by name."""
    return load(name)


def _sides(shape: Size) -> str:
    return "×".join(map(str, shape)) or "one number"
