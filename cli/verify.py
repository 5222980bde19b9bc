"""`scalenet verify`: does a config still say what it gives?"""

from __future__ import annotations

from typing import Annotated

import typer

from .errors import NO, plain_errors, told
from .options import Json
from .output import emit_json, emit_lines


@plain_errors
def verify(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Config files, or names of baselines.")],
    json: Json = False,
) -> None:
    """Rebuild, re-measure and re-scale configs; exit 1 with a line for each difference."""
    import scalenet
    from scalenet.arch.errors import ConfigError

    results, code = [], 0
    for file in files:
        error = None
        try:
            differences = scalenet.verify(file)
            says = NO if differences else 0
        except ConfigError as wrong:
            differences, says = [wrong.message.removeprefix(f"{file}:")], NO
        except Exception as wrong:
            message, hint, says = told(wrong)
            differences, error = [], f"{message} ({hint})" if hint else message
        code = max(code, says)
        results.append({"file": file, "ok": not (differences or error), "differences": differences, "error": error})
        if not json:
            for line in [f"error: {error}"] if error else differences or ["ok"]:
                emit_lines([f"{file}: {line}"])
    if json:
        emit_json(results)
    raise typer.Exit(code)
