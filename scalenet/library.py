"""The library's own calls: each takes a network by name, by path, as a config, an architecture or a model alike.

Here is what runs without torch; `scalenet.running` has the rest.
"""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from scalenet.arch import config, registry
from scalenet.arch.config import Config, loads
from scalenet.arch.errors import ScalenetError
from scalenet.checks import verification
from scalenet.costs import memory as memories
from scalenet.scaling import elasticity, explanation, many, scaler
from scalenet.scaling.presets import presets
from scalenet.scaling.scaler import find_config, load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scalenet.arch.spec import Architecture
    from scalenet.scaling.explanation import Explanation
    from scalenet.scaling.scaler import Network

P = ParamSpec("P")
R = TypeVar("R")


def of_any(function: Callable[Concatenate[Architecture, P], R]) -> Callable[Concatenate[Network, P], R]:
    """Return a function of architectures as one that `load`s its first argument; raise UnknownNameError there."""

    @wraps(function)
    def call(network: Network, /, *args: P.args, **options: P.kwargs) -> R:
        return function(load(network), *args, **options)

    own = inspect.signature(function)
    first = inspect.Parameter("network", inspect.Parameter.POSITIONAL_ONLY, annotation="Network")
    call.__signature__ = own.replace(parameters=[first, *list(own.parameters.values())[1:]])  # type: ignore[attr-defined]
    return call


cost = of_any(many.scaled_cost)
memory = of_any(memories.memory)
largest_batch = of_any(memories.largest_batch)
scale = of_any(scaler.scale)
scale_by = of_any(scaler.scale_by)
exponents = of_any(elasticity.exponents)
growth = of_any(elasticity.growth)


def explain(network: Network, base: Network | None = None) -> Explanation:
    """Explain a scaled network: the φ that it really has, and what each cause adds to the FLOPs of each part.

    A network that was never scaled is explained beside a `base` of as many stages; ScalenetError says where one is due.
    """
    return explanation.explain(find_config(network), None if base is None else load(base))


def verify(network: Network) -> list[str]:
    """Rebuild, count again and scale again what a config says; return a line for each difference, none if all holds.

    What records no cost is built and measured with fvcore.
    """
    return verification.verify(find_config(network))


def save(network: Network, path: str | Path) -> None:
    """Write a network's config file; an existing file is replaced at once or not at all."""
    config.save(find_config(network), path)


def register_baseline(network: Network, *, name: str | None = None, replace: bool = False) -> Config:
    """Register a network while the program runs, by its own name unless another is given; return its config.

    It is taken by that name wherever a network is, in this process; files that come from it hold all of its model. Text
    of several lines is the YAML of a config. The same network may be registered again, as when a notebook's cell is run
    twice; a name that has another one raises ScalenetError unless `replace`, installed names always.
    """
    is_text = isinstance(network, str) and "\n" in network
    found = loads(str(network), place="YAML text") if is_text else find_config(network)
    found = found.changed(name=(name or found.name).replace("-", "_"))
    if found.name in presets():
        raise ScalenetError(f"preset {found.name!r} is registered already", hint="give yours another name")
    registry.register(found, replace=replace)
    return found
