"""`scalenet verify`: does a config still say what it gives?"""

from __future__ import annotations

from typing import Annotated

import typer

from .errors import NO, plain_errors, told
from .options import Json
from .output import emit_json, emit_lines, note


@plain_errors
def verify(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Config files, or names of baselines.")],
    json: Json = False,
) -> None:
    """Rebuild, re-measure and re-scale configs; exit 1 with a line for each difference."""
    import scalenet
    from scalenet.arch.errors import ConfigError
    from scalenet.checks.verification import writer
    from scalenet.scaling.scaler import find_config

    results, code = [], 0
    for file in files:
        error, remarks = None, []
        try:
            config = find_config(file)
            if other := writer(config):
                remarks = [f"scalenet {other} wrote it, this is {scalenet.__version__}"]
            differences = scalenet.verify(config)
            says = NO if differences else 0
        except ConfigError as wrong:
            differences, says = [wrong.message.removeprefix(f"{file}:")], NO
        except Exception as wrong:
            message, hint, says = told(wrong)
            differences, error = [], f"{message} ({hint})" if hint else message
        code = max(code, says)
        ok = not (differences or error)
        results.append({"file": file, "ok": ok, "differences": differences, "error": error, "remarks": remarks})
        for remark in remarks:
            note(f"{file}: {remark}")
        if not json:
            for line in [f"error: {error}"] if error else differences or ["ok"]:
                emit_lines([f"{file}: {line}"])
    if json:
        emit_json(results)
    raise typer.Exit(code)
