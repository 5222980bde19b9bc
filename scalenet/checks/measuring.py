"""Measuring targets: configs by formula with fvcore as the witness, modules by fvcore with torch's counter as witness.

A module's code runs only here, and only in a child process with a time limit. What goes wrong with one target is that
target's problem; the others are still measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from scalenet.arch.config import as_data
from scalenet.arch.errors import ScalenetError, one_line
from scalenet.checks.children import measured_in_children
from scalenet.checks.inputs import zeros
from scalenet.checks.lock import StageCost, TargetCost
from scalenet.checks.verification import disagreements, measured
from scalenet.costs.formula import cost
from scalenet.costs.memory import memory
from scalenet.costs.network import module_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from torch import nn

    from scalenet.arch.spec import Model
    from scalenet.checks.inputs import Argument
    from scalenet.checks.targets import Problem, Target
    from scalenet.costs.counter import Measurement

_FREE_OF_COST = {"regularization", "initialization"}
_LONGEST = 300


def by_formula(model: Model) -> dict[str, Any]:
    """Return what the description alone says of a target: all but its `uncounted` operators."""
    counts = cost(model)
    stages = {
        part.name: StageCost(
            params=cast("int", tally.params),
            activations=cast("int", tally.activations),
            operators=_present(cast("dict[str, int]", tally.operators)),
        )
        for part in counts.parts
        for tally in (part.cost,)
    }
    description = {key: value for key, value in as_data(model).items() if key not in _FREE_OF_COST}
    totals = {"flops": counts.flops, "params": counts.params, "activations": counts.activations}
    return {**totals, "stages": stages, "model": description}


def measure_targets(
    targets: Iterable[Target], *, folder: Path, time_limit: float, fast: bool
) -> Iterator[tuple[Target, TargetCost | Problem]]:
    """Yield each target with its cost, or with the reason why there is none that can be trusted.

    `folder` is where modules are imported from; `time_limit` is in seconds a target. With `fast`, configs are counted
    by formula alone, without torch, and modules left out.
    """
    described = [target for target in targets if target.model]
    if fast:
        for target in described:
            assert target.model is not None
            yield target, with_memory(target, _cost(target.inputs, by_formula(target.model), ()))
        return
    modules = [target for target in targets if target.module]
    yield from measured_in_children([*described, *modules], folder, time_limit)


def _cost(inputs: Iterable[Argument], figures: dict[str, Any], uncounted: Iterable[str]) -> TargetCost:
    names = tuple(sorted({name.removeprefix("aten::") for name in uncounted}))
    return TargetCost(input=tuple(map(str, inputs)), uncounted=names, **figures)


def with_memory(target: Target, cost: TargetCost) -> TargetCost:
    """Return a described target's cost with its peak memory, where that is limited."""
    wanted = target.model is not None and "memory" in target.limited
    return cost.model_copy(update={"memory": memory(target.model).peak}) if wanted and target.model else cost


def described_cost(model: Model, inputs: Iterable[Argument]) -> TargetCost:
    """Count a description by formula with fvcore as the witness; raise ScalenetError where they differ."""
    measurement = measured(model)
    differing = list(disagreements(model, measurement))
    if differing:
        raise ScalenetError(f"formula and fvcore differ: {'; '.join(differing)}")
    return _cost(inputs, by_formula(model), measurement.unsupported)


def module_cost(module: nn.Module, inputs: Iterable[Argument], accept: Sequence[str] = ()) -> TargetCost:
    """Measure a module for inputs of zeros; raise ScalenetError where the count is not whole.

    `accept` names operators that may count as nothing.
    """
    from scalenet.costs.counter import measure  # noqa: PLC0415
    from scalenet.costs.running import unwrapped  # noqa: PLC0415

    module, inputs = unwrapped(module), tuple(inputs)
    tensors = zeros(module, inputs)
    try:
        measurement = measure(module, tensors, accept=accept)
    except ScalenetError:
        raise
    except Exception as error:
        raise ScalenetError(f"cannot be run for {', '.join(map(str, inputs))}: {one_line(error)[:_LONGEST]}") from None
    totals = {"flops": measurement.flops, "params": measurement.params, "activations": measurement.activations}
    stages, accepted = _stages(module, measurement), tuple(sorted(accept)) or None
    return _cost(inputs, {**totals, "stages": stages, "accepted": accepted}, measurement.unsupported)


def _stages(module: nn.Module, measurement: Measurement) -> dict[str, StageCost]:
    """Return the counts of each top module that costs something."""
    return {
        part.name: StageCost(params=part.params, activations=part.activations, operators=part.operators)
        for part in module_parts(module, measurement)
        if part.params or part.activations or part.operators
    }


def _present(operators: dict[str, int]) -> dict[str, int]:
    return {operator: count for operator, count in sorted(operators.items()) if count}
