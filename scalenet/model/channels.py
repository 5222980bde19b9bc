"""Channels that belong together, and layers made anew with more or fewer of them.

Torch-Pruning (Fang et al. 2023, "DepGraph") finds which channels of which layers must change together. A group of C
channels that becomes C′ changes each axis that it is coupled with by (C′ - C) · n / C, where n is how many places of
that axis the group takes: that holds for concatenations and flattened maps too.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from scalenet.arch.errors import RunError, ScalenetError

_STEP = 8
"""Channels of a group are rounded to a multiple of this, and of the groups of its convolutions."""
_LAYERS = (nn.Conv2d, nn.Linear)


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
    drawn(layer)


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


def drawn(layer: nn.Module) -> None:
    """Draw the values of a layer anew, as its `reset_parameters` does, where it has one."""
    draw = getattr(layer, "reset_parameters", None)
    if callable(draw):
        draw()
