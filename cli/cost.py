"""`scalenet cost`: what an architecture costs."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalenet.arch.convention import CONVENTION, matrix_flops
from scalenet.arch.errors import RunError, ScalenetError
from scalenet.arch.quantities import parse_bytes
from scalenet.arch.words import count

from .errors import plain_errors
from .options import Inputs, Json, Networks, ResolutionText, find_networks
from .output import bytes_text, emit, emit_json, note

if TYPE_CHECKING:
    from scalenet.arch.spec import Architecture, Buildable, Model
    from scalenet.checks.targets import Target as ModuleTarget


FIGURES = ("flops", "params", "activations")


class By(StrEnum):
    """How figures are broken down."""

    stage = "stage"
    operator = "operator"


class Counter(StrEnum):
    """What counts."""

    formula = "formula"
    fvcore = "fvcore"


@plain_errors
def cost(
    targets: Networks,
    inputs: Inputs = None,
    by: Annotated[By | None, typer.Option(help="Break the figures down.")] = None,
    counter: Annotated[
        Counter, typer.Option(help="Count by formula, or build the network and trace it.")
    ] = Counter.formula,
    batch: Annotated[int | None, typer.Option(min=1, help="Show the memory of a batch.  [default: 1]")] = None,
    training: Annotated[bool, typer.Option("--training", help="Show the memory of training.")] = False,
    moments: Annotated[
        int, typer.Option(min=0, help="Numbers that the optimiser keeps a parameter: momentum 1, Adam 2.")
    ] = 0,
    fit: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Show the largest batch that fits: 8GiB, 500MB.")
    ] = None,
    resolution: ResolutionText = None,
    json: Json = False,
) -> None:
    """Count FLOPs, parameters, activations and memory of an architecture; of several, or of any module, a row each.

    package.module:callable is imported from here and counted by fvcore, with torch's own counter as the witness. With
    --input it is any module; without, a factory of width and depth, counted at its own size.
    """
    from scalenet.arch.factory import Factory
    from scalenet.arch.spec import Architecture

    networks = find_networks(targets, inputs, resolution)
    architecture = networks[0]
    if len(networks) > 1 or not isinstance(architecture, Architecture):
        if by or batch or training or moments or fit or counter is Counter.fvcore:
            raise ScalenetError("parts, memory and counters are of one description", hint="leave out other options")
        _show_each(targets, networks, json=json)
        return
    if by is not None and (batch or training or fit):
        raise ScalenetError("memory has no parts", hint="leave out --by, or --batch, --training and --fit")
    if moments and not training:
        raise ScalenetError("only training has an optimiser", hint="add --training, or leave out --moments")
    if batch and fit:
        raise ScalenetError("--fit finds the batch", hint="leave out --batch")
    network = architecture.network
    if isinstance(network, Factory) and not (batch or training or fit):
        figures, counter = _counted(network), Counter.fvcore
    else:
        figures = _counted(network) if counter is Counter.formula else _measured(architecture.model)
        figures["memory"] = _memory(architecture.model, batch, fit, training=training, moments=moments)
    figures = {"name": architecture.name, **figures, "convention": CONVENTION, "counter": counter.value}
    if json:
        emit_json(figures)
    elif batch or training or fit:
        _show_memory(architecture.name, figures["memory"])
    elif by is By.operator:
        rows = [{"operator": name, "flops": value} for name, value in figures["flops_by_operator"].items()]
        emit(rows, title=architecture.name, caption="as fvcore counts each operator", formats={"flops": count})
    elif by is By.stage:
        keys = ("stage", "flops", "params", "activations")
        rows = [{key: stage[key] for key in keys if key in stage} for stage in figures["stages"]]
        emit(rows, title=architecture.name, caption=f"FLOPs: {CONVENTION}", formats=dict.fromkeys(keys[1:], count))
    else:
        keys = ("name", "flops", "params", "activations")
        emit(
            [{key: figures[key] for key in keys}],
            caption=f"FLOPs: {CONVENTION}",
            formats=dict.fromkeys(keys[1:], count),
        )


def _show_each(names: list[str], networks: list[Architecture | ModuleTarget], *, json: bool) -> None:
    """Write a row a network: of descriptions by formula, of modules as each is run in a process of its own."""
    from scalenet.arch.spec import Architecture
    from scalenet.checks.measuring import measure_targets
    from scalenet.checks.project import Settings
    from scalenet.checks.targets import Problem
    from scalenet.costs.network import cost_record

    modules = [network for network in networks if not isinstance(network, Architecture)]
    found = measure_targets(modules, folder=Path.cwd(), time_limit=Settings().time_limit, fast=False)
    measured = iter([costs for _, costs in found])
    rows = []
    for name, network in zip(names, networks, strict=True):
        counts = cost_record(network.network) if isinstance(network, Architecture) else next(measured)
        if isinstance(counts, Problem):
            raise RunError(f"{name}: {counts.message}")
        rows.append({"name": name, **{figure: getattr(counts, figure) for figure in FIGURES}})
    convention = CONVENTION
    if given := {", ".join(map(str, module.inputs)) for module in modules if module.inputs}:
        convention += f"; of modules for the whole --input {' '.join(given)}"
    if json:
        emit_json({"networks": rows, "convention": convention})
    else:
        emit(rows, caption=f"FLOPs: {convention}", formats=dict.fromkeys(FIGURES, count))


def _memory(model: Model, batch: int | None, fit: str | None, *, training: bool, moments: int) -> dict[str, Any]:
    from scalenet.costs.memory import largest_batch, memory

    if fit is not None:
        batch = largest_batch(model, parse_bytes(fit), training=training, moments=moments)
    step = memory(model, batch=batch or 1, training=training, moments=moments)
    if batch == 0:
        raise ScalenetError(f"{fit} holds no image: one takes {bytes_text(step.peak)}")
    return {"batch": batch or 1, "training": training, **asdict(step)}


def _show_memory(name: str, held: dict[str, Any]) -> None:
    figures = ("weights", "activations", "gradients", "moments", "peak")
    caption = "peak memory of inference"
    if held["training"]:
        caption = "peak memory of training, below the sum: gradients come as activations go"
    unused = (key for key in figures if not held[key])
    emit(
        [{"name": name, **held}],
        caption=caption,
        formats=dict.fromkeys(figures, bytes_text),
        hidden=("training", *unused),
    )


def _counted(network: Buildable) -> dict[str, Any]:
    from scalenet.costs.network import cost_record, rows_of

    figures = cost_record(network).model_dump(exclude={"convention"})
    return {**figures, "stages": rows_of(network)}


def _measured(model: Model) -> dict[str, Any]:
    import torch

    from scalenet.costs.counter import measure
    from scalenet.model.builder import build

    module = build(model)
    measurement = measure(module, torch.zeros(1, model.channels, *model.size))
    if measurement.unsupported:
        met = ", ".join(f"{name.removeprefix('aten::')} {times}×" for name, times in measurement.unsupported.items())
        note(f"fvcore counts as nothing: {met}")
    if measurement.uncalled:
        note(f"never called: {', '.join(measurement.uncalled)}")
    return {
        "flops": measurement.flops,
        "flops_by_operator": measurement.flops_by_operator,
        "params": measurement.params,
        "activations": measurement.activations,
        "unsupported": measurement.unsupported,
        "uncalled": list(measurement.uncalled),
        "stages": [
            {
                "stage": name,
                "flops": matrix_flops(measurement.flops_by_module[name]),
                "params": sum(parameter.numel() for parameter in module.get_submodule(name).parameters()),
            }
            for name in ["stem", *(f"stages.{number}" for number in range(len(model.stages))), "head"]
        ],
    }
