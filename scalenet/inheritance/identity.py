"""How does a block begin that the small network lacks? As the identity, so that outputs stay what they are.

A path beside a shortcut begins with zeros in its last layer. Where there is no shortcut, convolutions begin as delta
kernels and normalisations as what changes nothing; that takes an activation that leaves its own results alone, and
holds with running statistics only.
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
from scalenet.inheritance.channels import equal_parts, shuffled

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


def settled(layer: Layer, before: frozenset[str]) -> frozenset[str]:  # noqa: PLR0911 - one return a kind
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
    return _Beginning(before, new).layer(layer, row, place)


class _Beginning:
    """Layers that hand on what enters hand on what is settled of it: `before` holds within all of a block."""

    def __init__(self, before: frozenset[str], new: Channels) -> None:
        self.before, self.new = before, new

    def layer(self, layer: Layer, row: list[int], place: str) -> Identity:  # noqa: PLR0911 - one return a kind
        match layer:
            case Sequence():
                return self._sequence(layer, row, place)
            case Choice():
                return self.layer(layer.chosen, row, place)
            case Branches():
                return self._branches(layer, row, place)
            case Conv():
                return Identity(row, _delta(layer, row, place))
            case Norm(kind="batchnorm"):
                still = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1 - layer.eps}
                return Identity(row, {f"{place}.{name}": value for name, value in still.items()}, running=True)
            case Activation():
                if layer.kind in self.before:
                    return Identity(row)
                raise MisfitError(f"{place}: {layer.kind} changes what enters a block without a shortcut")
            case Shuffle():
                return Identity(shuffled(row, layer.groups))
            case Dropout() | DropPath():
                return Identity(row)
        raise MisfitError(f"{place}: a layer of the kind {type(layer).__name__} is never the identity")

    def _sequence(self, layer: Sequence, row: list[int], place: str) -> Identity:
        found = Identity(row)
        for name, inner in layer.layers:
            one = self.layer(inner, found.channels, f"{place}.{name}")
            found = Identity(one.channels, found.values | one.values, found.running or one.running)
        return found

    def _branches(self, layer: Branches, row: list[int], place: str) -> Identity:
        if layer.activation is not None and layer.activation.kind not in self.before:
            raise MisfitError(f"{place}: {layer.activation.kind} behind the shortcut changes what enters")
        match layer.join:
            case "add":
                return self._beside_a_shortcut(layer, row, place)
            case "concat":
                return self._side_by_side(layer, row, place)
        raise MisfitError(f"{place}: a gate is never the identity")

    def _beside_a_shortcut(self, layer: Branches, row: list[int], place: str) -> Identity:
        """Return one path as the identity, the shortcut where there is one, and all others as zero."""
        reasons = []
        for name, path in sorted(layer.paths, key=lambda pair: not _is_bare(pair[1])):
            try:
                found = self.layer(path, row, f"{place}.{name}")
            except MisfitError as misfit:
                reasons.append(str(misfit))
                continue
            silent = [_silent(one, f"{place}.{other}") for other, one in layer.paths if other != name]
            if all(silent):
                return Identity(found.channels, _merged([found.values, *silent]), found.running)
            reasons.append(f"{place}: what stands beside the shortcut is never zero")
        raise MisfitError(reasons[0])

    def _side_by_side(self, layer: Branches, row: list[int], place: str) -> Identity:
        """Return equal parts that are each the identity, or what enters with new channels beside it."""
        if layer.take == "all" and not any(_is_bare(path) for _, path in layer.paths):
            raise MisfitError(f"{place}: none of the paths that are put side by side hands on what enters")
        found = []
        for (name, path), part in zip(layer.paths, equal_parts(row, len(layer.paths)), strict=True):
            if layer.take == "split":
                found.append(self.layer(path, part, f"{place}.{name}"))
            elif _is_bare(path):
                found.append(Identity(row))
            else:
                found.append(Identity(self.new.born(width_after(path, len(row)), without_source=True)))
        channels = [channel for one in found for channel in one.channels]
        return Identity(channels, _merged([one.values for one in found]), any(one.running for one in found))


def _merged(found: list[Values | None]) -> Values:
    return {name: value for one in found if one for name, value in one.items()}


def _silent(layer: Layer, place: str) -> Values | None:  # noqa: PLR0911 - one return a kind
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
                return _merged(paths)
    return None


def _leaves_zero(layer: Layer) -> bool:  # noqa: PLR0911 - one return a kind
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
    return int(after(layer, Shape(channels, _SIDE, _SIDE)).channels)
