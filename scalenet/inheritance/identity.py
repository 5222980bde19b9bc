"""How does a block begin that the small network lacks? As the identity, so that outputs stay what they are.

A path beside a shortcut begins with zeros in its last layer. Where there is no shortcut, convolutions begin as delta
kernels and normalisations as what changes nothing; that takes an activation that leaves its own results alone, and holds
with running statistics only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from scalenet.arch.layers import (
    Activation,
    Branches,
    Choice,
    Conv,
    Dropout,
    DropPath,
    Flatten,
    GlobalPool,
    Linear,
    Norm,
    Pool,
    Scale,
    Sequence,
    Shuffle,
)
from scalenet.arch.shapes import MisfitError, Shape, after

if TYPE_CHECKING:
    from scalenet.arch.layers import Layer
    from scalenet.inheritance.channels import Channels

DELTA: Literal["delta"] = "delta"
"""The value of a convolution's weights that hands each channel on."""

Values: TypeAlias = "dict[str, float | Literal['delta']]"
"""What tensors are filled with, by their names."""

_AT_ZERO = {"relu", "relu6", "silu", "hardswish", "gelu"}
"""Activations that leave zero as it is."""

_SIDE = 4096


@dataclass(frozen=True, slots=True)
class Identity:
    """A block that hands on what enters: what leaves it, and what its tensors begin with.

    `running` says that this holds with running statistics only.
    """

    channels: list[int]
    values: Values = field(default_factory=dict)
    running: bool = False


def settled(layer: Layer, before: frozenset[str]) -> frozenset[str]:
    """Return the activations that leave alone what leaves a layer, given those that do for what enters."""
    match layer:
        case Activation():
            return {"relu": frozenset({"relu"}), "relu6": frozenset({"relu", "relu6"})}.get(layer.kind, frozenset())
        case Sequence():
            for _, inner in layer.layers:
                before = settled(inner, before)
            return before
        case Choice():
            return settled(layer.chosen, before)
        case Branches():
            if layer.activation is not None:
                return settled(layer.activation, before)
            if layer.join != "concat":
                return frozenset()
            return frozenset.intersection(*(settled(path, before) for _, path in layer.paths))
        case Pool() | GlobalPool() | Flatten() | Dropout() | DropPath() | Shuffle():
            return before
    return frozenset()


def as_identity(layer: Layer, row: list[int], place: str, before: frozenset[str], new: Channels) -> Identity:
    """Return how a layer begins as the identity; `before` is what `settled` says of what enters.

    Raise MisfitError where it cannot.
    """
    match layer:
        case Sequence():
            return _sequence(layer, row, place, before, new)
        case Choice():
            return as_identity(layer.chosen, row, place, before, new)
        case Branches():
            return _branches(layer, row, place, before, new)
        case Conv():
            return Identity(row, _delta(layer, row, place), running=True)
        case Norm(kind="batchnorm"):
            still = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1 - layer.eps}
            return Identity(row, {f"{place}.{name}": value for name, value in still.items()}, running=True)
        case Activation():
            if layer.kind in before:
                return Identity(row)
            raise MisfitError(f"{place}: {layer.kind} changes what enters a block without a shortcut")
        case Shuffle():
            width = len(row) // layer.groups
            return Identity([row[group * width + one] for one in range(width) for group in range(layer.groups)])
        case Dropout() | DropPath():
            return Identity(row)
    raise MisfitError(f"{place}: a layer of the kind {type(layer).__name__} is never the identity")


def _sequence(layer: Sequence, row: list[int], place: str, before: frozenset[str], new: Channels) -> Identity:
    values: Values = {}
    running = False
    for name, inner in layer.layers:
        # what hands on its input hands on what is settled of it
        found = as_identity(inner, row, f"{place}.{name}", before, new)
        row, running = found.channels, running or found.running
        values |= found.values
    return Identity(row, values, running)


def _branches(layer: Branches, row: list[int], place: str, before: frozenset[str], new: Channels) -> Identity:
    if layer.join == "add":
        found = _beside_a_shortcut(layer, row, place, before, new)
    elif layer.join == "concat":
        found = _side_by_side(layer, row, place, before, new)
    else:
        raise MisfitError(f"{place}: a gate is never the identity")
    if layer.activation is not None and layer.activation.kind not in before:
        raise MisfitError(f"{place}: {layer.activation.kind} behind the shortcut changes what enters")
    return found


def _beside_a_shortcut(layer: Branches, row: list[int], place: str, before: frozenset[str], new: Channels) -> Identity:
    """Return one path as the identity, the shortcut where there is one, and all others as zero."""
    reasons = []
    for number in sorted(range(len(layer.paths)), key=lambda number: not _is_bare(layer.paths[number][1])):
        name, path = layer.paths[number]
        try:
            found = as_identity(path, row, f"{place}.{name}", before, new)
        except MisfitError as misfit:
            reasons.append(str(misfit))
            continue
        silent = [_silent(other, f"{place}.{name}") for name, other in layer.paths if other is not path]
        if all(silent):
            values = found.values | {name: value for one in silent if one for name, value in one.items()}
            return Identity(found.channels, values, found.running)
        reasons.append(f"{place}: a path beside the shortcut is never zero")
    raise MisfitError(reasons[0])


def _side_by_side(layer: Branches, row: list[int], place: str, before: frozenset[str], new: Channels) -> Identity:
    """Return equal parts that are each the identity, or what enters with new channels beside it."""
    values: Values = {}
    left: list[int] = []
    running = False
    width = len(row) // len(layer.paths)
    if layer.take == "all" and not any(_is_bare(path) for _, path in layer.paths):
        raise MisfitError(f"{place}: none of the paths that are put side by side hands on what enters")
    for number, (name, path) in enumerate(layer.paths):
        if layer.take == "split":
            part = row[number * width : (number + 1) * width]
            found = as_identity(path, part, f"{place}.{name}", before, new)
        elif _is_bare(path):
            found = Identity(row)
        else:
            found = Identity(new.born(width_after(path, len(row)), without_source=True))
        left, running = [*left, *found.channels], running or found.running
        values |= found.values
    return Identity(left, values, running)


def _silent(layer: Layer, place: str) -> Values | None:
    """Return what makes a layer's results zero, whatever enters, or None."""
    match layer:
        case Norm():
            return {f"{place}.weight": 0.0, f"{place}.bias": 0.0}
        case Conv(bias=False):
            return {f"{place}.weight": 0.0}
        case Conv() | Linear():
            return {f"{place}.weight": 0.0, f"{place}.bias": 0.0}
        case Scale(learned=True):
            return {f"{place}.weight": 0.0}
        case Choice():
            return _silent(layer.chosen, place)
        case Sequence():
            for name, inner in reversed(layer.layers):
                found = _silent(inner, f"{place}.{name}")
                if found or not _leaves_zero(inner):
                    return found
        case Branches(join="add" | "concat"):
            paths = [_silent(path, f"{place}.{name}") for name, path in layer.paths]
            zero = layer.activation is None or _leaves_zero(layer.activation)
            if zero and all(paths):
                return {name: value for one in paths if one for name, value in one.items()}
    return None


def _leaves_zero(layer: Layer) -> bool:
    """Return whether zeros that enter leave as zeros."""
    match layer:
        case Activation():
            return layer.kind in _AT_ZERO
        case Conv():
            return not layer.bias
        case Scale() | Pool() | GlobalPool() | Flatten() | Dropout() | DropPath() | Shuffle():
            return True
        case Sequence():
            return all(_leaves_zero(inner) for _, inner in layer.layers)
        case Choice():
            return _leaves_zero(layer.chosen)
        case Branches(join="multiply"):
            return any(_leaves_zero(path) for _, path in layer.paths)
        case Branches():
            activated = layer.activation is None or _leaves_zero(layer.activation)
            return activated and all(_leaves_zero(path) for _, path in layer.paths)
    return False


def _delta(layer: Conv, row: list[int], place: str) -> Values:
    entering = Shape(len(row), _SIDE, _SIDE)
    if layer.in_channels != layer.out_channels:
        raise MisfitError(
            f"{place}: a convolution from {layer.in_channels} to {layer.out_channels} channels is never the identity"
        )
    if after(layer, entering) != entering:
        raise MisfitError(f"{place}: a convolution that changes the map's size is never the identity")
    return {f"{place}.weight": DELTA, **({f"{place}.bias": 0.0} if layer.bias else {})}


def _is_bare(layer: Layer) -> bool:
    if isinstance(layer, Choice):
        layer = layer.chosen
    return isinstance(layer, Sequence) and not layer.layers


def width_after(layer: Layer, channels: int) -> int:
    """Return how many channels leave a layer."""
    return int(after(layer, Shape(channels, _SIDE, _SIDE)).channels)  # type: ignore[arg-type]
