"""`scalenet show`: an architecture as the paper's table 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scalenet.arch.convention import CONVENTION
from scalenet.arch.words import count

from .errors import plain_errors
from .options import Json, ResolutionText, Target, load_at
from .output import emit, emit_json, size_text

if TYPE_CHECKING:
    from scalenet.arch.spec import Model, StageSpec


@plain_errors
def show(target: Target, resolution: ResolutionText = None, json: Json = False) -> None:
    """Show an architecture stage by stage, like the paper's table 1."""
    architecture = load_at(target, resolution)
    rows = stage_rows(architecture.model)
    if json:
        emit_json({"name": architecture.name, "stages": rows})
    else:
        emit(
            rows,
            title=architecture.name,
            caption=f"sizes are those that enter a stage, pixels; FLOPs: {CONVENTION}",
            formats={"flops": count, "params": count, "activations": count},
            hidden=("activations",),
        )


def stage_rows(model: Model) -> list[dict[str, Any]]:
    """Return a row a part: what it is, what enters it, and what it costs."""
    from scalenet.costs.formula import cost

    operators = [_stem(model), *map(_operator, model.stages), _head(model)]
    rows: list[dict[str, Any]] = []
    height, width = map(float, model.size)
    for part, operator in zip(cost(model).parts, operators, strict=True):
        counts = part.cost
        rows.append(
            {
                "stage": part.name,
                "operator": operator,
                "resolution": size_text(height, width),
                "channels": part.channels,
                "layers": part.depth,
                "flops": counts.flops,
                "params": counts.params,
                "activations": counts.activations,
            }
        )
        height, width = float(part.height), float(part.width)
    if model.head.kind == "conv":
        rows[-1]["channels"] = model.head.width  # as in the paper's table, not the classes that leave it
    return rows


def _stem(model: Model) -> str:
    pool = f", pool k{model.stem.pool.kernel}" if model.stem.pool else ""
    return f"conv k{model.stem.kernel}{pool}"


def _head(model: Model) -> str:
    return f"{'conv, ' if model.head.kind == 'conv' else ''}pool, linear"


def _operator(stage: StageSpec) -> str:
    """Return the block with its options as the paper's table has them: kernel 3 and expand 6 are k3 e6."""
    defaults = {name: field.default for name, field in type(stage).model_fields.items()}
    words = [stage.block]
    for name, value in stage.options().items():
        if name in ("kernel", "expand"):
            words.append(f"{name[0]}{value:g}")
        elif value != defaults[name]:
            words.append(f"{name}{value:g}" if isinstance(value, int | float) else f"{name}={value}")
    return " ".join(words)
