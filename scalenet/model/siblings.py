"""Equal modules that follow one another in a container, repeated or left out."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from torch import nn

from scalenet.model.channels import drawn

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Siblings:
    """Equal modules that follow one another in a container: the container's name, and the first's place of `number`."""

    container: str
    start: int
    number: int


def siblings_of(module: nn.Module) -> tuple[Siblings, ...]:
    """Return the runs of equal siblings in a module's containers; none of those inside of siblings."""
    found: list[Siblings] = []
    for name, container in module.named_modules():
        if not isinstance(container, nn.Sequential | nn.ModuleList) or _is_within(name, found, module):
            continue
        children = list(container.children())
        place = 0
        for likeness, run in groupby(children, key=_likeness):
            number = len(list(run))
            if number > 1 and likeness[0]:
                found.append(Siblings(name, place, number))
            place += number
    return tuple(found)


def _is_within(name: str, found: list[Siblings], module: nn.Module) -> bool:
    for run in found:
        children = [own for own, _ in module.get_submodule(run.container).named_children()]
        prefix = f"{run.container}." if run.container else ""
        inside = [f"{prefix}{own}" for own in children[run.start : run.start + run.number]]
        if any(f"{name}.".startswith(f"{one}.") for one in inside):
            return True
    return False


def _likeness(module: nn.Module) -> tuple[bool, str, tuple[Any, ...]]:
    """Return whether a module has weights, and what it has in common with those that could stand in its place."""
    shapes = tuple((name, tuple(one.shape)) for name, one in module.named_parameters())
    return bool(shapes), _text(module), shapes


def _text(module: nn.Module) -> str:
    """Return a module as text; rates of stochastic depth differ from block to block, and make no difference here."""
    lines = (line for line in str(module).splitlines() if "drop" not in line.lower())
    return "\n".join(lines)


def deepen(module: nn.Module, runs: tuple[Siblings, ...], depth: float) -> None:
    """Repeat the last of equal siblings, or leave out the last ones, so that there are `depth` times as many."""
    for name in dict.fromkeys(run.container for run in runs):
        container = module.get_submodule(name)
        children = list(container.named_children())
        for run in reversed([one for one in runs if one.container == name]):
            wanted = max(1, math.floor(run.number * depth + 0.5))
            own = children[run.start : run.start + run.number]
            children[run.start : run.start + run.number] = [*own[:wanted], *_copies(own[-1], wanted - run.number)]
        _refill(container, children)


def _copies(last: tuple[str, nn.Module], number: int) -> Iterator[tuple[str, nn.Module]]:
    name, module = last
    for place in range(number):
        copy = deepcopy(module)
        for layer in copy.modules():
            drawn(layer)
        yield f"{name}_{place + 1}", copy


def _refill(container: nn.Module, children: list[tuple[str, nn.Module]]) -> None:
    """Give a container other children; those that were called by their place still are."""
    numbered = all(name.split("_")[0].isdigit() for name, _ in children)
    for name, _ in list(container.named_children()):
        delattr(container, name)
    for place, (name, child) in enumerate(children):
        container.add_module(str(place) if numbered else name, child)
