"""Do the layers of a network fit each other? Costs and memory rely on it: what does not fit would be miscounted."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scalenet.arch.layers import (
    Activation,
    BatchNorm,
    Conv,
    Count,
    Dropout,
    Flatten,
    Gate,
    GlobalPool,
    Layer,
    Linear,
    MaxPool,
    Network,
    Residual,
    Sequence,
)


@dataclass(frozen=True, slots=True)
class _Map:
    """What goes from layer to layer: channels, by what its sides are divided, whether it is one pixel, and flat."""

    channels: Count
    stride: int = 1
    pixel: bool = False
    flat: bool = False


def check_fit(network: Network) -> None:
    """Raise ValueError that names the part where layers of a network of whole numbers do not fit."""
    passed = _after(network.stem, _Map(network.channels), "stem")
    for number, stage in enumerate(network.stages):
        place = f"stages[{number}]"
        passed = _after(stage.first, passed, place)
        if stage.depth > 1 and _after(stage.repeated, passed, place) != passed:
            raise ValueError(f"{place}: a block that changes channels or size at every repeat has depth 1 only")
    _after(network.head, passed, "head")


def _after(layer: Layer, passed: _Map, place: str) -> _Map:  # noqa: PLR0911 - one return a kind of layer
    """Return what leaves a layer."""
    match layer:
        case Conv():
            _check_conv(layer, passed, place)
            return replace(passed, channels=layer.out_channels, stride=passed.stride * layer.stride)
        case BatchNorm():
            _check(layer.channels == passed.channels, f"{place}: {layer.channels} channels are normalised", passed)
            return passed
        case MaxPool():
            _check_kernel(layer.kernel, place)
            return replace(passed, stride=passed.stride * layer.stride)
        case GlobalPool():
            return replace(passed, pixel=True)
        case Flatten():
            return replace(passed, flat=passed.pixel)
        case Linear():
            _check(layer.in_features == passed.channels, f"{place}: a layer takes {layer.in_features} features", passed)
            if not passed.flat:
                raise ValueError(f"{place}: a linear layer takes what is pooled and flattened, not a map")
            return replace(passed, channels=layer.out_features)
        case Sequence():
            for _, inner in layer.layers:
                passed = _after(inner, passed, place)
            return passed
        case Gate():
            gate = _after(layer.branch, passed, place)
            _check(gate.channels == passed.channels, f"{place}: a gate has {gate.channels} channels", passed)
            return passed
        case Residual():
            return _after_residual(layer, passed, place)
        case Activation() | Dropout():
            return passed
    raise ValueError(f"{place}: a layer of an unknown kind, {type(layer).__name__}")


def _after_residual(layer: Residual, passed: _Map, place: str) -> _Map:
    main = _after(layer.main, passed, place)
    if layer.matches:
        shortcut = passed
    elif layer.projection is not None:
        shortcut = _after(layer.projection, passed, place)
    else:
        return main
    if shortcut != main:
        raise ValueError(f"{place}: a shortcut of other channels or size than the main path")
    return main


def _check_conv(layer: Conv, passed: _Map, place: str) -> None:
    _check(layer.in_channels == passed.channels, f"{place}: a convolution takes {layer.in_channels} channels", passed)
    _check_kernel(layer.kernel, place)
    if layer.in_channels % layer.group_width or layer.out_channels % (layer.in_channels // layer.group_width):
        raise ValueError(
            f"{place}: groups of {layer.group_width} channels do not divide a convolution from {layer.in_channels} "
            f"to {layer.out_channels} channels"
        )


def _check_kernel(kernel: int, place: str) -> None:
    if kernel % 2 == 0:
        raise ValueError(f"{place}: a kernel of {kernel} cannot be padded evenly; it must be odd")


def _check(fits: bool, what: str, passed: _Map) -> None:
    if not fits:
        raise ValueError(f"{what}, and {passed.channels} come in")
