"""`scalenet grids`: the search grids that come with scalenet."""

from __future__ import annotations

from typing import Annotated

import typer

from .errors import plain_errors
from .options import Json
from .output import emit, emit_json, emit_record


@plain_errors
def grids(
    name: Annotated[str | None, typer.Argument(metavar="[NAME|FILE]", help="Print this grid's YAML, checked.")] = None,
    json: Json = False,
) -> None:
    """List the shipped search grids, or print one to copy and change."""
    from scalenet.search.space.grids import files, load_grid

    if name is not None:
        emit_record(load_grid(name), json=json)
        return
    rows = []
    for grid in map(load_grid, files()):
        points = len(grid.coefficients())
        rows.append({"name": grid.name, "points": points, "description": grid.description})
    emit_json(rows) if json else emit(rows)
