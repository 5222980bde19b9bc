"""`scalenet cost`: what an architecture costs."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalenet.arch.convention import CONVENTION

from .errors import plain_errors
from .options import Json, ResolutionText, Target, load_at
from .output import count, emit, emit_json, note
from .show import stage_rows

if TYPE_CHECKING:
    from scalenet.arch.spec import Model


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
    target: Target,
    by: Annotated[By | None, typer.Option(help="Break the figures down.")] = None,
    counter: Annotated[
        Counter, typer.Option(help="Count by formula, or build the network and trace it.")
    ] = Counter.formula,
    resolution: ResolutionText = None,
    json: Json = False,
) -> None:
    """Count FLOPs, parameters and activations of an architecture."""
    architecture = load_at(target, resolution)
    figures = _counted(architecture.model) if counter is Counter.formula else _measured(architecture.model)
    figures = {"name": architecture.name, **figures, "convention": CONVENTION, "counter": counter.value}
    if json:
        emit_json(figures)
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


def _counted(model: Model) -> dict[str, Any]:
    from scalenet.costs.formula import cost_record

    figures = cost_record(model).model_dump(exclude={"convention"})
    return {**figures, "stages": stage_rows(model)}


def _measured(model: Model) -> dict[str, Any]:
    import torch

    from scalenet.costs.counter import matrix_flops, measure
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
