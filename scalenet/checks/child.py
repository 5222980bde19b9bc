"""What runs in a child process: each target's answer is a line of JSON, its cost or the problem with it."""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
from typing import TYPE_CHECKING, Any

from scalenet.arch.errors import PlainError, one_line
from scalenet.checks.inputs import zeros
from scalenet.checks.limits import RUNS
from scalenet.checks.measuring import described_cost, module_cost, with_memory
from scalenet.checks.targets import made_by
from scalenet.model.importing import found, let_in, made, place_of

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from scalenet.checks.lock import TargetCost
    from scalenet.checks.targets import Target

_LONGEST = 300


def serve() -> None:
    """Read targets and the project's folder from stdin, and answer for each of them on stdout."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which then ends this process
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a module prints is no data of ours
    targets, folder = _asked()
    if any(target.module for target in targets):
        let_in(folder)
    for target in targets:
        answers.write(json.dumps(told(target, folder)) + "\n")
        answers.flush()


def _asked() -> tuple[list[Target], Path]:
    targets, folder = pickle.load(sys.stdin.buffer)  # our own parent's
    return targets, folder


def told(target: Target, folder: Path) -> dict[str, Any]:
    """Return a target's cost, and latency if that is limited, or the problem with it, as JSON has them."""
    said: dict[str, Any] = {}
    try:
        if target.model is not None:
            module, cost = None, with_memory(target, described_cost(target.model, target.inputs))
        else:
            target = target if target.inputs else _factory(target)
            factory = found(str(target.module), folder)
            said["file"], said["line"] = (str(target.file), 1) if target.file else place_of(factory)
            module = _made(target, factory)
            cost = _with_peak(target, module, module_cost(module, target.inputs, target.accept))
        if "latency" in target.limited:
            said["latency"] = _latency(target, module)
        said["cost"] = cost.model_dump(mode="json")
    except PlainError as error:
        said["problem"] = str(error)
    except BaseException as error:  # modules are others' code, and may even leave
        if target.module is None and isinstance(error, KeyboardInterrupt):
            raise  # Ctrl-C, which no child hears
        said["problem"] = one_line(error)[:_LONGEST]
    return said


def _made(target: Target, factory: Any) -> nn.Module:
    from scalenet.model.factories import make  # noqa: PLC0415

    if target.factory is not None:
        return make(target.factory)
    return made(factory, target.args, target.kwargs)


def _factory(target: Target) -> Target:
    """Return a target with what its factory is called with as it stands, and an image of its size."""
    from scalenet.model.factories import factory_of  # noqa: PLC0415

    return made_by(factory_of(str(target.module)), target.name)


def _with_peak(target: Target, module: nn.Module, cost: TargetCost) -> TargetCost:
    from scalenet.costs.live import peak_memory  # noqa: PLC0415

    if "memory" not in target.limited:
        return cost
    return cost.model_copy(update={"memory": peak_memory(module, zeros(module, target.inputs))})


def _latency(target: Target, module: nn.Module | None) -> tuple[int, int]:
    """Return microseconds of the median and of the fastest run, on one thread of the CPU."""
    from scalenet.costs.latency import module_latency  # noqa: PLC0415
    from scalenet.model.builder import build  # noqa: PLC0415

    if module is None:
        assert target.model is not None
        module = build(target.model)
    latency = module_latency(module, zeros(module, target.inputs), runs=RUNS)
    return round(1e6 * latency.median), round(1e6 * latency.minimum)
