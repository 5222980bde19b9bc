"""`scalenet baselines`: the registered architectures and presets."""

from __future__ import annotations

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
    from fnmatch import fnmatch

    from scalenet.arch import registry
    from scalenet.arch.errors import ScalenetError
    from scalenet.costs.formula import cost
    from scalenet.scaling.presets import presets as known_presets
    from scalenet.scaling.scaler import find_config

    names = {**dict.fromkeys(registry.names()), **dict.fromkeys(known_presets() if presets else ())}
    pattern = pattern.replace("-", "_").lower()
    found = [name for name in names if fnmatch(name, pattern) or pattern in name]
    if not found:
        raise ScalenetError(f"no baseline or preset matches {pattern!r}", hint="`scalenet baselines` lists all")
    rows = []
    for name in found:
        config = find_config(name)
        counts = cost(config.model)
        rows.append(
            {
                "name": name,
                "kind": "baseline" if config.baseline else "preset",
                "resolution": config.model.resolution,
                "flops": counts.flops,
                "params": counts.params,
                "rounding": config.architecture().rounding,
                "source": config.baseline.source if config.baseline else f"of {known_presets()[name].base}",
            }
        )
    if json:
        emit_json(rows)
    else:
        emit(rows, caption=f"FLOPs: {CONVENTION}", formats={"flops": count, "params": count}, hidden=("kind", "source"))
