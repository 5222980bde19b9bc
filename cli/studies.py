"""`scalenet studies`: the studies that come with scalenet."""

from __future__ import annotations

from typing import Annotated

import typer

from .errors import plain_errors
from .options import Json
from .output import emit, emit_json, emit_record


@plain_errors
def studies(
    name: Annotated[str | None, typer.Argument(metavar="[NAME|FILE]", help="Print this study's YAML, checked.")] = None,
    json: Json = False,
) -> None:
    """List the shipped studies, or print one to copy and change."""
    from scalenet.studies.definition import files, load_study

    if name is not None:
        emit_record(load_study(name), json=json)
        return
    rows = []
    for one in map(load_study, files()):
        follows = {
            "paper": one.figure,
            "series": len(one.series),
            "costs": " ".join(f"{cost:g}×" for cost in one.costs),
        }
        rows.append({"name": one.name, **follows, "description": one.description})
    emit_json(rows) if json else emit(rows)
