"""`scalenet recipes`: the training recipes that come with scalenet."""

from __future__ import annotations

from typing import Annotated

import typer

from .errors import plain_errors
from .options import Json
from .output import emit, emit_json, emit_record


@plain_errors
def recipes(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE]", help="Print this recipe's YAML, checked.")
    ] = None,
    json: Json = False,
) -> None:
    """List the shipped training recipes, or print one to copy and change."""
    from scalenet.training.recipe import files, load_recipe

    if name is not None:
        emit_record(load_recipe(name), json=json)
        return
    rows = [
        {
            "name": recipe.name,
            "epochs": recipe.epochs,
            "batch_size": recipe.batch_size,
            "optimizer": recipe.optimizer.kind,
            "description": recipe.description,
        }
        for recipe in map(load_recipe, files())
    ]
    emit_json(rows) if json else emit(rows)
