"""`scalenet spaces`: the spaces of networks that come with scalenet."""

from __future__ import annotations

from typing import Annotated

import typer

from scalenet.arch.words import count

from .errors import plain_errors
from .options import Json
from .output import emit, emit_json, emit_record


@plain_errors
def spaces(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE]", help="Print this space's YAML, checked, with its size.")
    ] = None,
    json: Json = False,
) -> None:
    """List the shipped spaces of `baseline-search`, or print one to copy and change."""
    from scalenet.spaces.costs import tables_of
    from scalenet.spaces.space import files, load_space

    if name is not None:
        space = load_space(name)
        tables_of(space)  # says which stages no network can have
        emit_record(space, json=json)
        return
    rows = []
    for space in map(load_space, files()):
        least, most = tables_of(space).reach("flops")
        rows.append(
            {
                "name": space.name,
                "stages": len(space.stages),
                "members": space.size,
                "least_flops": least,
                "most_flops": most,
                "description": space.description,
            }
        )
    shown = {"members": lambda value: f"{value:.3g}", "least_flops": count, "most_flops": count}
    emit_json(rows) if json else emit(rows, formats=shown)
