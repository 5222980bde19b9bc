"""`scalenet baselines`: the registered architectures and presets."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from scalenet.arch.convention import CONVENTION
from scalenet.arch.words import count

from .errors import plain_errors
from .options import Json
from .output import emit, emit_json


@plain_errors
def baselines(
    pattern: Annotated[str, typer.Argument(metavar="[PATTERN]", help="Names to list: resnet* or a part of one.")] = "*",
    presets: Annotated[bool, typer.Option(help="List presets (published scaled models) too.")] = True,
    json: Json = False,
) -> None:
    """List the registered baselines and presets with their costs."""
    import scalenet

    rows = [asdict(listed) for listed in scalenet.baselines(pattern, presets=presets)]
    if json:
        emit_json(rows)
    else:
        emit(rows, caption=f"FLOPs: {CONVENTION}", formats={"flops": count, "params": count}, hidden=("kind", "source"))
