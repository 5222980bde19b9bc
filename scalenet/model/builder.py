"""Networks from architectures: the layer tree read as an `nn.Module`.

Parameters stand in the network's own order: stem, stages, head; within a block the order of the forward pass, a
shortcut's projection after the main path. Other libraries' weights can so be loaded by position.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from scalenet.arch import layers
from scalenet.arch.bounds import MOST_LAYERS
from scalenet.arch.errors import ScalenetError
from scalenet.arch.factory import Factory
from scalenet.arch.layers import IN_PLACE, both
from scalenet.arch.shapes import padded
from scalenet.arch.spec import Architecture, Model, layer_tree
from scalenet.costs.formula import cost
from scalenet.model.factories import make
from scalenet.model.initialization import initialize
from scalenet.model.modules import (
    Attention,
    Branches,
    DropPath,
    GlobalMean,
    LayerNorm2d,
    Position,
    SameConv2d,
    Scale,
    Shuffle,
    Times,
)
from scalenet.model.names import names_of_today

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from scalenet.arch.layers import Layer, Network, Padding, Part, Sides
    from scalenet.arch.spec import Buildable

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "hardsigmoid": nn.Hardsigmoid,
}


def build(architecture: Architecture | Buildable, *, classes: int | None = None) -> nn.Module:
    """Build the network, initialised from PyTorch's global random state; a factory's code is imported and called.

    The module maps float images [N, channels, height, width] to logits [N, classes]. `classes` replaces the number of
    classes in the architecture. The same architecture gives the same names and shapes, and under the same
    `torch.manual_seed` the same values.
    """
    model = architecture.network if isinstance(architecture, Architecture) else architecture
    if classes is not None:
        model = model.with_classes(classes)
    if isinstance(model, Factory):
        return make(model)
    tree = layer_tree(model)
    _check_size(model, tree)
    network = ConvNet(tree, drop_path=model.regularization.drop_path)
    if not next(network.parameters()).is_meta:  # numbers without values need no drawing, which is slow there
        initialize(network, model.initialization)
    return network


def _check_size(model: Model, network: Network) -> None:
    """Refuse a network that would fill the memory instead of being built."""
    number = sum(_leaves(run.block) * cast("int", run.times) for part in network.parts for run in part.runs)
    if number > MOST_LAYERS:
        raise ScalenetError(f"a network of {number:,} layers is too large to be built: {MOST_LAYERS:,} at most")
    weights, memory = 4 * cost(model).params, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if weights > memory and torch.get_default_device().type != "meta":
        raise ScalenetError(f"weights of {weights / 2**30:,.0f} GiB do not fit into {memory / 2**30:,.0f} GiB")


def _leaves(layer: Layer) -> int:
    """Return how many leaves a layer has."""
    match layer:
        case layers.Sequence():
            return sum(_leaves(inner) for _, inner in layer.layers)
        case layers.Branches():
            return sum(_leaves(path) for _, path in layer.paths)
        case layers.Choice():
            return _leaves(layer.chosen)
    return 1


class ConvNet(nn.Module):
    """Stem, stages of blocks, and head."""

    def __init__(self, network: Network, *, drop_path: float) -> None:
        super().__init__()
        stem, *stages, head = network.parts
        blocks = sum(cast("int", stage.depth) for stage in stages)
        rates = iter([drop_path * block / blocks for block in range(blocks)])
        self.stem = _module(stem.runs[0].block)
        self.stages = nn.Sequential(*(_stage(stage, rates) for stage in stages))
        self.head = _module(head.runs[0].block)
        self.register_load_state_dict_pre_hook(_rename)  # type: ignore[no-untyped-call]

    def parts(self) -> list[nn.Module]:
        """Return stem, blocks and head, each of which takes what the one before it gives."""
        return [self.stem, *(block for stage in self.stages for block in cast("nn.Sequential", stage)), self.head]

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [N, classes] of images [N, channels, height, width]."""
        return cast("Tensor", self.head(self.stages(self.stem(images))))


def _rename(network: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Take the names of version 0.1 in a state dict that is loaded."""
    own = {name.removeprefix(prefix): state.pop(name) for name in list(state) if name.startswith(prefix)}
    state.update({f"{prefix}{name}": value for name, value in names_of_today(own, network).items()})


def _stage(stage: Part, rates: Iterator[float]) -> nn.Sequential:
    """Return a stage's blocks; each takes the rate of its stochastic depth."""
    return nn.Sequential(*(_module(block, drop_path=next(rates)) for block in stage.blocks()))


def _module(layer: Layer, *, drop_path: float = 0.0) -> nn.Module:
    match layer:
        case layers.Sequence():
            return _sequence(layer, drop_path)
        case layers.Branches():
            return _branches(layer, drop_path)
        case layers.Choice():
            return _module(layer.chosen, drop_path=drop_path)
        case layers.DropPath():
            return DropPath(drop_path)
    return _leaf(layer)


def _leaf(layer: Layer) -> nn.Module:  # noqa: PLR0911 - one return a kind of layer
    match layer:
        case layers.Conv():
            return _conv(layer)
        case layers.Norm():
            return _norm(layer)
        case layers.Activation():
            return _activation(layer, inplace=False)
        case layers.Pool():
            return _pool(layer)
        case layers.GlobalPool():
            return nn.AdaptiveAvgPool2d(layer.side) if layer.kind == "adaptive" else GlobalMean()
        case layers.Flatten():
            return nn.Flatten()
        case layers.Dropout():
            return nn.Dropout(layer.rate)
        case layers.Linear():
            return nn.Linear(cast("int", layer.in_features), cast("int", layer.out_features))
        case layers.Scale():
            return Scale(cast("int", layer.channels), layer.start) if layer.learned else Times(layer.start)
        case layers.Shuffle():
            return Shuffle(layer.groups)
        case layers.Attention():
            return Attention(cast("int", layer.heads))
        case layers.Position():
            return Position(cast("int", layer.channels), cast("int", layer.height), cast("int", layer.width))
    raise ScalenetError(f"{type(layer).__name__}: a layer of an unknown kind cannot be built")


def _conv(layer: layers.Conv) -> nn.Conv2d:
    in_channels, group_width = cast("int", layer.in_channels), cast("int", layer.group_width)
    same = layer.padding == "same"
    kind = SameConv2d if same else nn.Conv2d
    return kind(
        in_channels,
        cast("int", layer.out_channels),
        layer.kernel,
        stride=layer.stride,
        padding=0 if same else _padding(layer.kernel, layer.padding),
        groups=in_channels // group_width,
        bias=layer.bias,
    )


def _padding(kernel: Sides, padding: Padding) -> tuple[int, int]:
    """Return the pixels above and beside a map that a window reads."""
    tall, wide = both(kernel)
    above, beside = padding if isinstance(padding, tuple) else (padding, padding)
    # where it does not depend on the map's size
    return cast("tuple[int, int]", (padded(0, tall, 1, above) // 2, padded(0, wide, 1, beside) // 2))


def _pool(layer: layers.Pool) -> nn.Module:
    if layer.padding == "same":
        raise ScalenetError("pooling with `same` padding cannot be built", hint="give a number of pixels")
    padding = _padding(layer.kernel, layer.padding)
    if layer.kind == "max":
        return nn.MaxPool2d(layer.kernel, layer.stride, padding, ceil_mode=layer.ceil)
    return nn.AvgPool2d(
        layer.kernel, layer.stride, padding, ceil_mode=layer.ceil, count_include_pad=layer.counts_padding
    )


def _norm(layer: layers.Norm) -> nn.Module:
    channels = cast("int", layer.channels)
    match layer.kind:
        case "batchnorm":
            return nn.BatchNorm2d(channels, eps=layer.eps, momentum=layer.momentum)
        case "layernorm":
            return LayerNorm2d(channels, eps=layer.eps)
        case "groupnorm":
            return nn.GroupNorm(layer.groups, channels, eps=layer.eps)
    raise ScalenetError(f"{layer.kind}: a normalisation of an unknown kind cannot be built")


def _activation(layer: layers.Activation, *, inplace: bool) -> nn.Module:
    if layer.kind not in _ACTIVATIONS:
        raise ScalenetError(f"{layer.kind}: an activation of an unknown kind cannot be built")
    kind = _ACTIVATIONS[layer.kind]
    return kind(inplace=True) if inplace and layer.kind in IN_PLACE else kind()


def _sequence(layer: layers.Sequence, drop_path: float) -> nn.Sequential:
    """Return the layers by name; an activation works in place on what the layer before it has just made."""
    built, fresh = OrderedDict[str, nn.Module](), False
    for name, inner in layer.layers:
        if isinstance(inner, layers.DropPath) and not drop_path:
            continue
        if isinstance(inner, layers.Activation):
            built[name] = _activation(inner, inplace=fresh)
        else:
            built[name] = _module(inner, drop_path=drop_path)
        fresh = layers.is_made_anew(inner)
    return nn.Sequential(built)


def _branches(layer: layers.Branches, drop_path: float) -> nn.Module:
    act = None if layer.activation is None else _activation(layer.activation, inplace=layer.join == "add")
    paths = {name: _path(path, drop_path) for name, path in layer.paths}
    return Branches(paths, join=layer.join, split=layer.take == "split", act=act)


def _path(layer: Layer, drop_path: float) -> nn.Module | None:
    """Return the module of a path, None for the identity."""
    if isinstance(layer, layers.Choice):
        return _path(layer.chosen, drop_path)
    identity = isinstance(layer, layers.Sequence) and not layer.layers
    return None if identity else _module(layer, drop_path=drop_path)
