"""Width and depth of any module: its layers are made anew with other sizes, and repeated siblings more or fewer times.

Torch-Pruning (Fang et al. 2023, "DepGraph") finds which channels of which layers must change together. A group of C
channels that becomes C′ changes each axis that it is coupled with by (C′ - C) · n / C, where n is how many places of
that axis the group takes: that holds for concatenations and flattened maps too. Depth is runs of equal siblings in a
container. Values are drawn anew where a layer has other sizes, as its `reset_parameters` draws them.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from scalenet.arch.errors import PlainError, RunError, ScalenetError, one_line
from scalenet.arch.words import number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

_STEP = 8
"""Channels of a group are rounded to a multiple of this, and of the groups of its convolutions."""
_LAYERS = (nn.Conv2d, nn.Linear)
_TRIED = (2.0, 0.5)
"""How much wider or deeper a module must run."""
_LONGEST = 300
_WRAP = "write a function of width and depth that makes it"


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis that a group of channels is coupled with: a layer's or a parameter's `out` or `in`, and its places."""

    name: str
    side: str
    places: int


@dataclass(frozen=True, slots=True)
class Group:
    """Channels that change together, what they must be a multiple of, and the axes that they are on."""

    channels: int
    step: int
    axes: tuple[Axis, ...]

    def widened(self, width: float) -> int:
        """Return the number of channels at a multiple of the width."""
        if width == 1:
            return self.channels
        return max(self.step, self.step * math.floor(self.channels * width / self.step + 0.5))


def groups_of(module: nn.Module, image: Tensor) -> tuple[Group, ...]:
    """Return the groups of channels that can change: all but those of the input and of the output."""
    try:
        torch_pruning = import_module("torch_pruning")
    except ImportError:
        raise RunError(
            "rewriting needs another package: torch-pruning is not installed",
            hint="pip install 'scalenet-torch[rewrite]'",
        ) from None
    last = _last_layer(module, image)
    with warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        graph = torch_pruning.DependencyGraph().build_dependency(module.eval(), example_inputs=image)
        found = list(graph.get_all_groups(root_module_types=list(_LAYERS)))
    names = {id(one): name for name, one in [*module.named_modules(), *module.named_parameters()]}
    read = [_group(graph, group, names) for group in found]
    outputs = {name for name, layer in module.named_modules() if layer is last}
    return tuple(group for group in read if not any(axis.name in outputs and axis.side == "out" for axis in group.axes))


def _last_layer(module: nn.Module, image: Tensor) -> nn.Module | None:
    """Return the layer with channels that runs last: its outputs are the network's."""
    ran: list[nn.Module] = []
    hooks = [
        layer.register_forward_hook(lambda one, *_: ran.append(one))
        for layer in module.modules()
        if isinstance(layer, _LAYERS)
    ]
    with torch.no_grad():
        module.eval()(image)
    for hook in hooks:
        hook.remove()
    return ran[-1] if ran else None


def _group(graph: Any, group: Any, names: dict[int, str]) -> Group:
    """Return a group of Torch-Pruning's with names in place of layers."""
    channels = len(group[0].idxs)
    places: Counter[tuple[str, str]] = Counter()
    steps = [_STEP]
    for dependency, indices in group:
        layer = dependency.target.module
        if id(layer) not in names:
            continue  # what has no parameters: additions, views
        is_in = not graph.is_out_channel_pruning_fn(dependency.handler)
        places[names[id(layer)], "in" if is_in else "out"] += len(indices)
        if isinstance(layer, nn.Conv2d) and not _is_depthwise(layer):
            steps.append(layer.groups)
        if isinstance(layer, nn.GroupNorm):
            steps.append(layer.num_groups)
    axes = tuple(Axis(name, side, number) for (name, side), number in places.items())
    return Group(channels, math.lcm(*steps), axes)


def _is_depthwise(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1


def widen(module: nn.Module, groups: tuple[Group, ...], width: float) -> None:
    """Give the layers of a module the sizes that their groups have at a multiple of the width."""
    change: dict[str, Counter[str]] = {}
    for group in groups:
        more = group.widened(width) - group.channels
        for axis in group.axes:
            change.setdefault(axis.name, Counter())[axis.side] += more * axis.places // group.channels
    for name, by in change.items():
        parent, _, own = name.rpartition(".")
        holder = module.get_submodule(parent)
        found = getattr(holder, own)
        if isinstance(found, nn.Parameter):
            places = sum(axis.places for group in groups for axis in group.axes if axis.name == name)
            setattr(holder, own, _longer(found, places, by["out"] + by["in"]))
        else:
            _resize(found, by["in"], by["out"])


def _resize(layer: nn.Module, more_in: int, more_out: int) -> None:
    """Change the channels of a layer in place, and draw its values anew."""
    match layer:
        case nn.Conv2d() if _is_depthwise(layer):
            more = more_out or more_in
            share = layer.out_channels // layer.in_channels
            layer.in_channels = layer.groups = layer.in_channels + more
            layer.out_channels = share * layer.in_channels
            _shape(layer, "weight", (layer.out_channels, *layer.weight.shape[1:]))
            _shape(layer, "bias", (layer.out_channels,))
        case nn.Conv2d():
            layer.in_channels, layer.out_channels = layer.in_channels + more_in, layer.out_channels + more_out
            shape = (layer.out_channels, layer.in_channels // layer.groups, *layer.kernel_size)
            _shape(layer, "weight", shape)
            _shape(layer, "bias", (layer.out_channels,))
        case nn.Linear():
            layer.in_features, layer.out_features = layer.in_features + more_in, layer.out_features + more_out
            _shape(layer, "weight", (layer.out_features, layer.in_features))
            _shape(layer, "bias", (layer.out_features,))
        case nn.LayerNorm():
            layer.normalized_shape = (*layer.normalized_shape[:-1], layer.normalized_shape[-1] + (more_out or more_in))
            _shape(layer, "weight", layer.normalized_shape)
            _shape(layer, "bias", layer.normalized_shape)
        case nn.BatchNorm2d() | nn.BatchNorm1d() | nn.GroupNorm():
            size = "num_channels" if isinstance(layer, nn.GroupNorm) else "num_features"
            setattr(layer, size, getattr(layer, size) + (more_out or more_in))
            for name in ("weight", "bias", "running_mean", "running_var"):
                _shape(layer, name, (getattr(layer, size),))
        case _:
            raise ScalenetError(f"a layer of an unknown kind has channels to be changed: {type(layer).__name__}")
    _drawn(layer)


def _shape(layer: nn.Module, name: str, shape: tuple[int, ...]) -> None:
    """Give a layer a tensor of another shape, if it has such a one."""
    own = getattr(layer, name, None)
    if own is None:
        return
    new = torch.empty(shape, dtype=own.dtype, device=own.device)
    setattr(layer, name, nn.Parameter(new) if isinstance(own, nn.Parameter) else new)


def _longer(parameter: nn.Parameter, own: int, more: int) -> nn.Parameter:
    """Return a parameter of more or fewer than its own channels, whose values come again from the first one on."""
    axis = parameter.shape.index(own)
    places = torch.arange(own + more, device=parameter.device) % own
    return nn.Parameter(parameter.detach().index_select(axis, places))


def _drawn(layer: nn.Module) -> None:
    draw = getattr(layer, "reset_parameters", None)
    if callable(draw):
        draw()


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
            _drawn(layer)
        yield f"{name}_{place + 1}", copy


def _refill(container: nn.Module, children: list[tuple[str, nn.Module]]) -> None:
    """Give a container other children; those that were called by their place still are."""
    numbered = all(name.split("_")[0].isdigit() for name, _ in children)
    for name, _ in list(container.named_children()):
        delattr(container, name)
    for place, (name, child) in enumerate(children):
        container.add_module(str(place) if numbered else name, child)


def _of(some: int, found: int, what: str) -> str:
    return number(found, what) if some == found else f"{some} of {number(found, what)}"


@dataclass(frozen=True, slots=True)
class Knobs:
    """What there is to scale in a module."""

    groups: tuple[Group, ...]
    runs: tuple[Siblings, ...]
    found_groups: int
    found_runs: int

    def __str__(self) -> str:
        width = _of(len(self.groups), self.found_groups, "group")
        return f"width: {width} of channels; depth: {_of(len(self.runs), self.found_runs, 'run')} of siblings"

    def turn(self, module: nn.Module, *, width: float, depth: float) -> nn.Module:
        """Rewrite a module in place, and return it; raise ScalenetError where its layers cannot have these sizes."""
        try:
            widen(module, self.groups, width)
            deepen(module, self.runs, depth)
        except ScalenetError:
            raise
        except Exception as error:
            raise ScalenetError(f"cannot be rewritten: {one_line(error)[:_LONGEST]}", hint=_WRAP) from None
        return module


def knobs(make: Callable[[], nn.Module], empty: Callable[[], nn.Module], image: Tensor) -> Knobs:
    """Return what there is to scale in the modules that `make` gives, and `empty` without values where that goes.

    All groups of channels are widened and narrowed together, and all runs of siblings doubled; where the module does
    not run then, those that do not go alone are left as they are. Raise ScalenetError where the rest does not run.
    """
    try:
        groups, runs = groups_of(make(), image), siblings_of(make())
    except PlainError:
        raise
    except Exception as error:
        raise ScalenetError(f"its channels cannot be followed: {one_line(error)[:_LONGEST]}", hint=_WRAP) from None
    trial = _Trial(empty, image)
    own_groups = trial.working(groups, widen)
    own_runs = trial.working(runs, deepen)
    return Knobs(own_groups, own_runs, len(groups), len(runs))


class _Trial:
    """Runs rewritten modules: one works whose output is shaped as before."""

    def __init__(self, make: Callable[[], nn.Module], image: Tensor) -> None:
        self.make, self.image = make, image
        self.expected = self._shapes(make())

    def working(self, knobs: tuple[T, ...], turn: Callable[[nn.Module, tuple[T, ...], float], None]) -> tuple[T, ...]:
        """Return all knobs where they can be turned together, or else those that can be turned alone, if together."""
        if self._works(knobs, turn):
            return knobs
        alone = tuple(one for one in knobs if self._works((one,), turn))
        return alone if self._works(alone, turn) else ()

    def _works(self, knobs: tuple[T, ...], turn: Callable[[nn.Module, tuple[T, ...], float], None]) -> bool:
        try:
            for factor in _TRIED:
                module = self.make()
                turn(module, knobs, factor)
                if self._shapes(module) != self.expected:
                    return False
        except Exception:
            return False
        return True

    def _shapes(self, module: nn.Module) -> list[torch.Size]:
        device = next((one.device for one in module.parameters()), self.image.device)
        with torch.no_grad():
            output = module.eval()(self.image.to(device))
        return [leaf.shape for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
