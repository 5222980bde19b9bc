"""`scalenet show`: an architecture as the paper's table 1."""

from __future__ import annotations

from scalenet.arch.convention import CONVENTION
from scalenet.arch.words import count

from .errors import plain_errors
from .options import Json, ResolutionText, Target, load_at
from .output import emit, emit_json


@plain_errors
def show(target: Target, resolution: ResolutionText = None, json: Json = False) -> None:
    """Show an architecture stage by stage, like the paper's table 1."""
    from scalenet.costs.tables import stage_rows

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
