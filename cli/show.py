"""`scalenet show`: an architecture as the paper's table 1."""

from __future__ import annotations

from scalenet.arch.convention import CONVENTION
from scalenet.arch.words import count

from .errors import plain_errors
from .options import Json, ResolutionText, Target, load_at
from .output import emit, emit_json


@plain_errors
def show(target: Target, resolution: ResolutionText = None, json: Json = False) -> None:
    """Show an architecture stage by stage, like the paper's table 1; a factory's network by its top modules."""
    from scalenet.costs.network import rows_of

    architecture = load_at(target, resolution)
    rows = rows_of(architecture.network)
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
