"""`scalenet grids`: the search grids that come with scalenet."""

from __future__ import annotations

from typing import Annotated

import typer

from .errors import plain_errors
from .options import Json
from .output import emit, emit_json


@plain_errors
def grids(
    name: Annotated[str | None, typer.Argument(metavar="[NAME|FILE]", help="Print this grid's YAML, checked.")] = None,
    json: Json = False,
) -> None:
    """List the shipped search grids, or print one to copy and change."""
    from scalenet.arch import strict_yaml
    from scalenet.arch.config import as_data
    from scalenet.search.grids import files, load_grid

    if name is not None:
        data = as_data(load_grid(name))
        emit_json(data) if json else typer.echo(strict_yaml.dump(data), nl=False)
        return
    rows = []
    for grid in map(load_grid, files()):
        points = len(grid.coefficients())
        rows.append({"name": grid.name, "points": points, "description": grid.description})
    emit_json(rows) if json else emit(rows)
