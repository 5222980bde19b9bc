"""The library's own calls: each takes a network by name, by path, as a config, an architecture or a model alike.

Here is what runs without torch; `scalenet.running` has the rest.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from scalenet.arch import config
from scalenet.arch.config import Config
from scalenet.costs import formula
from scalenet.costs import memory as memories
from scalenet.scaling import scaler

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scalenet.arch.spec import Architecture
    from scalenet.scaling.scaler import Network

P = ParamSpec("P")
R = TypeVar("R")


def of_any(function: Callable[Concatenate[Architecture, P], R]) -> Callable[Concatenate[Network, P], R]:
    """Return a function of architectures as one that `load`s its first argument; raise UnknownNameError there."""

    @wraps(function)
    def call(network: Network, /, *args: P.args, **options: P.kwargs) -> R:
        return function(scaler.load(network), *args, **options)

    return call


cost = of_any(formula.cost)
memory = of_any(memories.memory)
largest_batch = of_any(memories.largest_batch)
scale = of_any(scaler.scale)
scale_by = of_any(scaler.scale_by)


def save(network: Network, path: str | Path) -> None:
    """Write a network's config file; an existing file is replaced at once or not at all."""
    config.save(network if isinstance(network, Config) else scaler.load(network), path)
