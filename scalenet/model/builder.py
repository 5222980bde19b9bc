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
from scalenet.arch.spec import Architecture, Model, layer_tree
from scalenet.costs.formula import cost
from scalenet.model.initialization import initialize
from scalenet.model.names import names_of_today

if TYPE_CHECKING:
    from torch import Tensor

    from scalenet.arch.layers import Layer, Network, Stage

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
    "sigmoid": nn.Sigmoid,
    "hardsigmoid": nn.Hardsigmoid,
}


def build(architecture: Architecture | Model, *, classes: int | None = None) -> nn.Module:
    """Build the network, initialised from PyTorch's global random state.

    The module maps float images [N, channels, height, width] to logits [N, classes]. `classes` replaces the number of
    classes in the architecture. The same architecture gives the same names and shapes, and under the same
    `torch.manual_seed` the same values.
    """
    model = architecture.model if isinstance(architecture, Architecture) else architecture
    if classes is not None:
        model = model.with_classes(classes)
    tree = layer_tree(model)
    _check_size(model, tree)
    network = ConvNet(tree, drop_path=model.regularization.drop_path)
    if not next(network.parameters()).is_meta:  # numbers without values need no drawing, which is slow there
        initialize(network, model.initialization)
    return network


def _check_size(model: Model, network: Network) -> None:
    """Refuse a network that would fill the memory instead of being built."""
    number = _layers(network.stem) + _layers(network.head)
    for stage in network.stages:
        number += _layers(stage.first) + (cast("int", stage.depth) - 1) * _layers(stage.repeated)
    if number > MOST_LAYERS:
        raise ScalenetError(f"a network of {number:,} layers is too large to be built: {MOST_LAYERS:,} at most")
    weights, memory = 4 * cost(model).params, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if weights > memory and torch.get_default_device().type != "meta":
        raise ScalenetError(f"weights of {weights / 2**30:,.0f} GiB do not fit into {memory / 2**30:,.0f} GiB")


def _layers(layer: Layer) -> int:
    """Return how many leaves a layer has."""
    match layer:
        case layers.Sequence():
            return sum(_layers(inner) for _, inner in layer.layers)
        case layers.Gate():
            return _layers(layer.branch)
        case layers.Residual():
            return _layers(layer.main) + (0 if layer.projection is None else _layers(layer.projection))
    return 1


class ConvNet(nn.Module):
    """Stem, stages of blocks, and head."""

    def __init__(self, network: Network, *, drop_path: float) -> None:
        super().__init__()
        blocks = sum(cast("int", stage.depth) for stage in network.stages)
        self.stem = _module(network.stem)
        self.stages = nn.Sequential()
        for stage in network.stages:
            built = sum(len(cast("nn.Sequential", done)) for done in self.stages)
            self.stages.append(
                _stage(stage, [drop_path * (built + i) / blocks for i in range(cast("int", stage.depth))])
            )
        self.head = _module(network.head)
        self.register_load_state_dict_pre_hook(_rename)  # type: ignore[no-untyped-call]

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [N, classes] of images [N, channels, height, width]."""
        return cast("Tensor", self.head(self.stages(self.stem(images))))


class Residual(nn.Module):
    """The main path, in training dropped at random for whole images, plus a shortcut, then an activation.

    Without a `shortcut` module the shortcut is the identity.
    """

    def __init__(self, main: nn.Module, shortcut: nn.Module | None, act: nn.Module | None, *, drop_path: float) -> None:
        super().__init__()
        self.main = main
        self.drop_path = DropPath(drop_path) if drop_path else None
        self.shortcut = shortcut
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the main path's shape."""
        out = self.main(x)
        if self.drop_path is not None:
            out = self.drop_path(out)
        out = out + (x if self.shortcut is None else self.shortcut(x))
        return cast("Tensor", out if self.act is None else self.act(out))


class Gate(nn.Module):
    """The input times its gate, channel by channel."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the input's shape."""
        return x * cast("Tensor", self.branch(x))


class GlobalMean(nn.Module):
    """The mean over height and width, kept as a 1×1 map."""

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, channels, 1, 1]."""
        return x.mean((2, 3), keepdim=True)


class DropPath(nn.Module):
    """Stochastic depth: in training a whole image's path is zero with probability `rate`, else scaled by 1/(1 - rate).

    Huang et al. 2016; official EfficientNet code, `utils.drop_connect`.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the input's shape."""
        if not self.training:
            return x
        kept = torch.rand((x.shape[0], 1, 1, 1), dtype=x.dtype, device=x.device) >= self.rate
        return x * kept / (1 - self.rate)

    def extra_repr(self) -> str:
        """Return the rate, for printing."""
        return f"rate={self.rate:.4g}"


def _rename(network: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Take the names of version 0.1 in a state dict that is loaded."""
    own = {name.removeprefix(prefix): state.pop(name) for name in list(state) if name.startswith(prefix)}
    state.update({f"{prefix}{name}": value for name, value in names_of_today(own, network).items()})


def _stage(stage: Stage, drop_path: list[float]) -> nn.Sequential:
    first, *others = drop_path
    return nn.Sequential(
        _module(stage.first, drop_path=first), *(_module(stage.repeated, drop_path=rate) for rate in others)
    )


def _module(layer: Layer, *, drop_path: float = 0.0) -> nn.Module:  # noqa: PLR0911 - one return a kind of layer
    match layer:
        case layers.Conv():
            return _conv(layer)
        case layers.BatchNorm():
            return nn.BatchNorm2d(cast("int", layer.channels), eps=layer.eps, momentum=layer.momentum)
        case layers.Activation():
            return _activation(layer, inplace=False)
        case layers.MaxPool():
            return nn.MaxPool2d(layer.kernel, layer.stride, padding=layer.kernel // 2)
        case layers.GlobalPool():
            return nn.AdaptiveAvgPool2d(1) if layer.kind == "adaptive" else GlobalMean()
        case layers.Flatten():
            return nn.Flatten()
        case layers.Dropout():
            return nn.Dropout(layer.rate)
        case layers.Linear():
            return nn.Linear(cast("int", layer.in_features), cast("int", layer.out_features))
        case layers.Sequence():
            return _sequence(layer)
        case layers.Gate():
            return Gate(_module(layer.branch))
        case layers.Residual():
            return _residual(layer, drop_path)
    raise ScalenetError(f"{type(layer).__name__}: a layer of an unknown kind cannot be built")


def _conv(layer: layers.Conv) -> nn.Conv2d:
    in_channels, group_width = cast("int", layer.in_channels), cast("int", layer.group_width)
    return nn.Conv2d(
        in_channels,
        cast("int", layer.out_channels),
        layer.kernel,
        stride=layer.stride,
        padding=layer.kernel // 2,
        groups=in_channels // group_width,
        bias=layer.bias,
    )


def _activation(layer: layers.Activation, *, inplace: bool) -> nn.Module:
    kind = _ACTIVATIONS[layer.kind]
    return kind(inplace=True) if inplace and kind is not nn.Sigmoid else kind()


def _sequence(layer: layers.Sequence) -> nn.Sequential:
    """Return the layers by name; an activation works in place on what the layer before it has just made."""
    built, fresh = OrderedDict[str, nn.Module](), False
    for name, inner in layer.layers:
        built[name] = _activation(inner, inplace=fresh) if isinstance(inner, layers.Activation) else _module(inner)
        fresh = isinstance(inner, layers.Conv | layers.BatchNorm | layers.Linear)
    return nn.Sequential(built)


def _residual(layer: layers.Residual, drop_path: float) -> nn.Module:
    """Return the block; its path is called `main` with and without a shortcut: widths decide whether there is one."""
    main = _module(layer.main)
    if not layer.matches and layer.projection is None:
        return nn.Sequential(OrderedDict(main=main))
    shortcut = None if layer.matches else _module(cast("layers.Sequence", layer.projection))
    act = None if layer.activation is None else _activation(layer.activation, inplace=True)
    return Residual(main, shortcut, act, drop_path=drop_path)
