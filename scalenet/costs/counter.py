"""Costs by measurement: fvcore on a module, and what torch's dispatcher sees as its witness.

fvcore is the reference that the formula is tested against. A count is whole, or it is refused: whatever ran and
neither only moves or maps elements nor has a rule for its multiply-adds, whatever the two counters see differently, and
whatever depends on the input's values or on chance, is a doubt that names the operator and the module.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from scalenet.arch.convention import matrix_flops
from scalenet.arch.errors import ScalenetError, one_line
from scalenet.costs.doubts import Doubt, differences, left, place, unknown, unsteady, within
from scalenet.costs.observing import Observation, observing
from scalenet.costs.running import Call, Input, RandomStates, as_call, prepared, same_random_state, seed_all
from scalenet.costs.tracing import traced

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["Doubt", "Input", "Measurement", "is_large", "measure"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What fvcore counted for one input; `flops` are convolutions, linear layers and matrix products.

    `flops_by_module` has fvcore's operators for each module that ran, by name (`""` is the whole), and
    `activations_by_module` its activations. What a module does in a child's `forward`, without calling the child, is
    its own. `unsupported` are operators that fvcore met and counted as nothing, with how often; `uncalled` are modules
    that were never called. `doubts` are what keeps the count from being whole, empty unless they were accepted or a
    partial count was asked for.
    """

    flops: int
    flops_by_operator: dict[str, int]
    params: int
    activations: int
    flops_by_module: dict[str, dict[str, int]]
    activations_by_module: dict[str, int]
    unsupported: dict[str, int]
    uncalled: tuple[str, ...]
    doubts: tuple[Doubt, ...] = ()


_LARGE = 10**13
"""Parameters times input elements: ResNet-152 has less and is as quick on the CPU, EfficientNet-B7 has more.

The first network on the meta device costs a second more than the next: torch then loads what it answers shapes with.
"""
_SEEDS = 8
"""How often a module that draws random numbers is run again: what happens half of the time is missed once in 256."""


def measure(module: nn.Module, input: Input, *, partial: bool = False, accept: Collection[str] = ()) -> Measurement:
    """Count a module with fvcore in evaluation mode; the module and torch's state are as before afterwards.

    `input` is a tensor, or a tuple of the tensors that `forward` takes, or a dictionary of those that it takes by name;
    for images [N, channels, height, width]. What is large is counted on the meta device, in less time and memory and
    with the same figures. Compiled modules are counted as what they were made from; scripted ones raise ScalenetError.

    A count that is not whole raises ScalenetError with the operator, its module and the next step, unless `partial`.
    `accept` names operators that may count as nothing (`aten::fft_rfft`); one that does not run raises ScalenetError.
    """
    call, tensors = as_call(module, input)
    measurement = _anywhere(call, tensors)
    accepted = {_full(name) for name in accept}
    if idle := accepted - {name for doubt in measurement.doubts for name in doubt.operators}:
        raise ScalenetError(f"accepts {', '.join(sorted(idle))}, where there is nothing to accept", hint="leave it out")
    doubts = [doubt for doubt in measurement.doubts if not accepted.issuperset(doubt.operators)]
    if doubts and not partial:
        raise ScalenetError("; ".join(_shortened(list(map(str, doubts)))), hint=doubts[0].hint)
    return measurement


def _full(name: str) -> str:
    """Return an operator's full name: torch's own may be given without `aten::`."""
    return name if "::" in name or "." in name or name in ("values", "chance") else f"aten::{name}"


def _shortened(lines: list[str], most: int = 3) -> list[str]:
    return lines if len(lines) <= most else [*lines[:most], f"and {len(lines) - most} more"]


def is_large(parameters: int, elements: int) -> bool:
    """Return whether so many parameters and elements of the input are quicker to count on the meta device."""
    return parameters * elements >= _LARGE


def _anywhere(call: Call, tensors: list[Tensor]) -> Measurement:
    parameters = list(call.parameters())
    sizes = (sum(parameter.numel() for parameter in parameters), sum(tensor.numel() for tensor in tensors))
    if is_large(*sizes) or any(parameter.is_meta for parameter in parameters):
        with suppress(Exception):  # a module that reads values, or brings tensors of its own, runs on its own device
            return _measured(call, tensors, torch.device("meta"))
    return _measured(call, tensors, None)


def _measured(call: Call, tensors: list[Tensor], device: torch.device | None) -> Measurement:
    seen, drew = _observed(call, tensors, device)
    doubts = [*unknown(seen), *left(seen)]
    unsteady = [*(_by_chance(call, tensors, device, seen) if drew else ())]
    if seen.read and not unsteady:
        unsteady += _by_values(call, tensors, device, seen)
    measurement = _as_fvcore(call, tensors, device, seen) or _as_seen(call, seen)
    different = [] if unsteady else differences(measurement.flops_by_module, measurement.unsupported, seen)
    return replace(measurement, doubts=(*doubts, *unsteady, *different))


def _observed(
    call: Call, tensors: list[Tensor], device: torch.device | None, seed: int = 0
) -> tuple[Observation, bool]:
    """Return what ran, and whether random numbers were drawn meanwhile."""
    with prepared(call, device):
        seed_all(seed)
        before = RandomStates()
        with observing(call.names()) as seen:
            call(*_given(tensors, device))
        return seen, before != RandomStates()


def _given(tensors: list[Tensor], device: torch.device | None) -> list[Tensor]:
    """Return tensors that a module may write to; what is expanded cannot be written to, and may be huge."""
    if device:
        return [tensor.to(device) for tensor in tensors]
    return [tensor if 0 in tensor.stride() else tensor.detach().clone() for tensor in tensors]


def _by_values(call: Call, tensors: list[Tensor], device: torch.device | None, seen: Observation) -> Iterator[Doubt]:
    """Yield a doubt if other values of the input give another count."""
    failures = []
    for others in _other_values(tensors):
        try:
            again, _ = _observed(call, others, device)
        except Exception as error:
            failures.append(one_line(error))
            continue
        if again.flops != seen.flops:
            yield unsteady("values", "the input's values", seen, again)
            return
        yield from unknown(again, besides=seen)
    if len(failures) == _OTHERS:
        operator, module = next(iter(seen.read))
        message = f"{operator} in {place(module)} reads values, and with others it fails: {failures[0]}"
        yield Doubt(("values",), module, message, 'take the count for these values with accept = ["values"]')


def _by_chance(call: Call, tensors: list[Tensor], device: torch.device | None, seen: Observation) -> Iterator[Doubt]:
    """Yield a doubt if other random numbers give another count."""
    for seed in range(1, 1 + _SEEDS):
        again, _ = _observed(call, tensors, device, seed)
        if again.flops != seen.flops:
            yield unsteady("chance", "chance", seen, again)
            return


_OTHERS = 4


def _other_values(tensors: list[Tensor]) -> Iterator[list[Tensor]]:
    """Yield inputs of the same shapes with other values: zeros, ones, random ones, their own in another order."""
    with same_random_state():
        seed_all(0)
        drawn = [_drawn(tensor) for tensor in tensors]
    yield [_filled(tensor, 0) for tensor in tensors]
    yield [_filled(tensor, 1) for tensor in tensors]
    yield drawn
    yield [-new if new.is_floating_point() else old for old, new in zip(tensors, drawn, strict=True)]


def _filled(tensor: Tensor, value: int) -> Tensor:
    if 0 in tensor.stride():
        return tensor.new_full((), value).expand(tensor.shape)
    return torch.full_like(tensor, value)


def _drawn(tensor: Tensor) -> Tensor:
    if 0 in tensor.stride():
        return _filled(tensor, 2)
    if tensor.is_floating_point() or tensor.is_complex():
        return torch.randn_like(tensor) * 10
    return tensor.flatten()[torch.randperm(tensor.numel())].reshape(tensor.shape)


def _as_fvcore(call: Call, tensors: list[Tensor], device: torch.device | None, seen: Observation) -> Measurement | None:
    """Return fvcore's count; None where the tracer does not see it all, as in Python functions with a gradient."""
    with prepared(call, device):
        seed_all(0)
        try:
            trace = traced(call, _given(tensors, device))
        except Exception:
            return None
    blind = any(name.startswith("prim::PythonOp") for name in trace.unsupported)
    if blind and matrix_flops(trace.flops[""]) != seen.total:
        return None
    called = {name for module, name in call.names().items() if module in seen.ran}
    return Measurement(
        flops=matrix_flops(trace.flops[""]),
        flops_by_operator=dict(sorted(trace.flops[""].items())),
        params=_parameters(call),
        activations=trace.activations[""],
        flops_by_module=trace.flops,
        activations_by_module=trace.activations,
        unsupported=trace.unsupported,
        uncalled=tuple(sorted(trace.uncalled - called)),
    )


def _as_seen(call: Call, seen: Observation) -> Measurement:
    """Return what the dispatcher saw, in fvcore's words."""
    names = call.names().values()
    flops = {name: within(name, seen.flops) for name in names}
    activations = {name: within(name, seen.activations).total() for name in names}
    called = {name for module, name in call.names().items() if module in seen.ran}
    return Measurement(
        flops=seen.total,
        flops_by_operator=dict(sorted(flops[""].items())),
        params=_parameters(call),
        activations=activations[""],
        flops_by_module={name: dict(counts) for name, counts in flops.items()},
        activations_by_module=activations,
        unsupported={},
        uncalled=tuple(sorted(set(names) - called)),
    )


def _parameters(call: Call) -> int:
    return sum(parameter.numel() for parameter in call.parameters())
