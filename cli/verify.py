"""`scalenet verify`: does a config still say what it gives?"""

from __future__ import annotations

from typing import Annotated

import typer

from .errors import ASKED_WRONGLY, NO, plain_errors
from .options import Json
from .output import emit_json, emit_lines


@plain_errors
def verify(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Config files, or names of baselines.")],
    json: Json = False,
) -> None:
    """Rebuild, re-measure and re-scale configs; exit 1 with a line for each difference."""
    import scalenet
    from scalenet.arch.errors import ConfigError, ScalenetError

    results, code = [], 0
    for file in files:
        try:
            differences, error = scalenet.verify(file), None
        except ConfigError as wrong:
            differences, error = [wrong.message.removeprefix(f"{file}:")], None
        except ScalenetError as wrong:
            differences, error = [], str(wrong)
        code = max(code, ASKED_WRONGLY if error else NO if differences else 0)
        results.append({"file": file, "ok": not (differences or error), "differences": differences, "error": error})
        if not json:
            for line in [f"error: {error}"] if error else differences or ["ok"]:
                emit_lines([f"{file}: {line}"])
    if json:
        emit_json(results)
    raise typer.Exit(code)
