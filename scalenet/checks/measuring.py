"""Measuring targets: configs by formula with fvcore as the witness, modules by fvcore with torch's counter as witness.

A module's code runs only here, and only in a child process with a time limit. What goes wrong with one target is that
target's problem; the others are still measured.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import defaultdict
from contextlib import contextmanager
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

from scalenet.arch.config import as_data
from scalenet.arch.errors import PlainError, ScalenetError, one_line
from scalenet.checks.lock import StageCost, TargetCost
from scalenet.checks.targets import NOT_MEASURED, Problem
from scalenet.checks.verification import disagreements, measured
from scalenet.costs.formula import cost

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess
    from pathlib import Path

    from torch import nn

    from scalenet.arch.spec import Model
    from scalenet.checks.targets import Input, Target
    from scalenet.costs import counter
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
        yield from (
            (target, _cost(target.inputs, by_formula(target.model), ())) for target in described if target.model
        )
        return
    modules = [target for target in targets if target.module]
    yield from _in_children([*described, *modules], folder, time_limit)


def _cost(inputs: Iterable[Input], figures: dict[str, Any], uncounted: Iterable[str]) -> TargetCost:
    names = tuple(sorted({name.removeprefix("aten::") for name in uncounted}))
    return TargetCost(input=tuple(map(str, inputs)), uncounted=names, **figures)


def _in_children(
    targets: list[Target], folder: Path, time_limit: float
) -> Iterator[tuple[Target, TargetCost | Problem]]:
    """Measure targets one after another in a child process, in a new one after each that was the end of its own."""
    while targets:
        with _child(targets, folder) as (process, answers):
            lost = False
            while targets and not lost:
                target, answer = targets.pop(0), _answer(process, answers, time_limit)
                lost = isinstance(answer, _Lost)
                yield target, answer if isinstance(answer, TargetCost) else Problem(target.name, answer, NOT_MEASURED)


class _Lost(str):
    """Why a child answers no more."""


def _answer(process: SpawnProcess, answers: Connection, time_limit: float) -> TargetCost | str:
    """Return what a child says of its next target: its cost, or the reason why there is none."""
    if not answers.poll(time_limit):
        return _Lost(f"took more than {time_limit:g} s (time_limit in [tool.scalenet] allows more)")
    try:
        text = answers.recv_bytes().decode()
    except EOFError:
        process.join()
        return _Lost(f"its process ended with code {process.exitcode}")
    return text[2:] if text.startswith("! ") else TargetCost.model_validate_json(text)


@contextmanager
def _child(targets: list[Target], folder: Path) -> Iterator[tuple[SpawnProcess, Connection]]:
    context = multiprocessing.get_context("spawn")
    answers, theirs = context.Pipe(duplex=False)
    process = context.Process(target=serve, args=(targets, str(folder), theirs))
    process.start()
    theirs.close()
    try:
        yield process, answers
    finally:
        process.kill()
        process.join()
        answers.close()


def serve(targets: list[Target], folder: str, answers: Connection) -> None:
    """Answer for each target with its cost as JSON, or with "! " and the reason why there is none."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which then ends this process
    os.dup2(2, 1)  # what a module prints is no data of ours
    sys.path.insert(0, folder)
    for target in targets:
        answers.send_bytes(_told(target).encode())


def _told(target: Target) -> str:
    try:
        return measure_target(target).model_dump_json(by_alias=True)
    except PlainError as error:
        return f"! {error}"
    except BaseException as error:  # modules are others' code, and may even leave
        return f"! {_said(error)}"


def _said(error: BaseException) -> str:
    return one_line(error)[:_LONGEST]


def measure_target(target: Target) -> TargetCost:
    """Measure a target in this process; raise ScalenetError where the count cannot be trusted."""
    if target.model is None:
        return module_cost(_made(str(target.module)), target.inputs)
    measurement = measured(target.model)
    differing = list(disagreements(target.model, measurement))
    if differing:
        raise ScalenetError(f"formula and fvcore differ: {'; '.join(differing)}")
    return _cost(target.inputs, by_formula(target.model), measurement.unsupported)


def module_cost(module: nn.Module, inputs: Iterable[Input]) -> TargetCost:
    """Measure a module for inputs of zeros; raise ScalenetError where the count cannot be trusted."""
    import torch  # noqa: PLC0415

    from scalenet.costs.counter import unwrapped  # noqa: PLC0415

    module, inputs = unwrapped(module), tuple(inputs)
    tensors = tuple(torch.zeros(input.shape, dtype=getattr(torch, input.dtype)) for input in inputs)
    try:
        measurement = trusted(module, tensors)
    except ScalenetError:
        raise
    except Exception as error:
        raise ScalenetError(f"cannot be run for {', '.join(map(str, inputs))}: {_said(error)}") from None
    totals = {"flops": measurement.flops, "params": measurement.params, "activations": measurement.activations}
    return _cost(inputs, {**totals, "stages": _stages(module, measurement)}, measurement.unsupported)


def _made(path: str) -> nn.Module:
    """Return the module that `package.module:name` is, or makes."""
    from torch import nn  # noqa: PLC0415

    place, _, name = path.partition(":")
    try:
        found = attrgetter(name)(import_module(place))
    except (Exception, SystemExit) as error:
        raise ScalenetError(f"cannot be imported: {_said(error)}") from None
    try:
        made = found if isinstance(found, nn.Module) else found()
    except (Exception, SystemExit) as error:
        raise ScalenetError(f"cannot be made: {_said(error)}") from None
    if not isinstance(made, nn.Module):
        raise ScalenetError(f"gives {type(made).__name__}, not an nn.Module")
    return made


_PLAIN = {"aten::_convolution_mode": "convolution with named padding (give its padding in numbers)"}


def trusted(module: nn.Module, input: counter.Input) -> Measurement:
    """Count a module with fvcore; raise ScalenetError where work is missing, or torch's own counter differs."""
    from scalenet.costs.counter import measure, witness  # noqa: PLC0415

    measurement = measure(module, input)
    if missing := measurement.uncounted_work:
        names = ", ".join(_PLAIN.get(name, name.removeprefix("aten::")) for name in missing)
        raise ScalenetError(f"fvcore counts as nothing, though it is work: {names}")
    if measurement.flops != (other := witness(module, input)):
        raise ScalenetError(f"fvcore counts {measurement.flops:,} multiply-adds, torch's own counter {other:,}")
    return measurement


def _stages(module: nn.Module, measurement: Measurement) -> dict[str, StageCost]:
    """Return the counts of each top module, and as `(itself)` what no top module does.

    A top container that holds containers, as the stages of most networks do, stands for what it holds.
    """
    tops = list(_tops(module))
    params: dict[str, int] = defaultdict(int)
    for name, parameter in module.named_parameters():
        params[next((top for top in tops if name.startswith(f"{top}.")), "")] += parameter.numel()
    parts = {
        top: (measurement.flops_by_module.get(top, {}), measurement.activations_by_module.get(top, 0)) for top in tops
    }
    rest = dict(measurement.flops_by_operator)
    for operators, _ in parts.values():
        for operator, count in operators.items():
            rest[operator] -= count
    parts[""] = rest, measurement.activations - sum(activations for _, activations in parts.values())
    return {
        name or "(itself)": StageCost(params=params[name], activations=activations, operators=_present(operators))
        for name, (operators, activations) in parts.items()
        if params[name] or activations or _present(operators)
    }


def _present(operators: dict[str, int]) -> dict[str, int]:
    return {operator: count for operator, count in sorted(operators.items()) if count}


def _tops(module: nn.Module) -> Iterator[str]:
    from torch import nn  # noqa: PLC0415

    for name, child in module.named_children():
        inner = list(child.named_children()) if isinstance(child, nn.Sequential | nn.ModuleList) else []
        if any(isinstance(one, nn.Sequential | nn.ModuleList) for _, one in inner):
            yield from (f"{name}.{below}" for below, _ in inner)
        else:
            yield name
