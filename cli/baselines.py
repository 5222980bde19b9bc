"""`scalenet baselines`: the registered architectures and presets."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from scalenet.arch.convention import CONVENTION
from scalenet.arch.errors import ScalenetError
from scalenet.arch.files import write_bytes
from scalenet.arch.words import count

from .errors import plain_errors
from .options import FormatOption, Json
from .output import chosen_format, emit_report

COUNTS = ("flops", "params", "published_flops", "published_params")


@plain_errors
def baselines(
    pattern: Annotated[str, typer.Argument(metavar="[PATTERN]", help="Names to list: resnet* or a part of one.")] = "*",
    presets: Annotated[bool, typer.Option(help="List presets (published scaled models) too.")] = True,
    costs: Annotated[
        bool, typer.Option("--costs", help="The paper's comparators, costs as printed and computed.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --costs: draw figures 1 and 5 (.svg, .png, .pdf).")
    ] = None,
    form: FormatOption = None,
    json: Json = False,
) -> None:
    """List the registered baselines and presets with their costs, or the paper's comparators."""
    import scalenet

    if plot is not None and not costs:
        raise ScalenetError("--plot draws the paper's comparators", hint="add --costs")
    if costs and pattern != "*":
        raise ScalenetError("--costs lists all of the paper's comparators", hint="leave out the pattern")
    if costs:
        found = scalenet.comparators()
        if plot is not None:
            write_bytes(plot, _drawn(found, plot))
        rows = [asdict(row) for row in found]
    else:
        rows = [asdict(listed) for listed in scalenet.baselines(pattern, presets=presets)]
    hidden = ("name", "top5") if costs else ("kind", "source")
    table = {"rows": rows, "caption": f"FLOPs: {CONVENTION}", "formats": dict.fromkeys(COUNTS, count), "hidden": hidden}
    emit_report(rows, table, form=chosen_format(form, json=json))


def _drawn(found: Any, plot: Path) -> bytes:
    from scalenet.report.comparators import draw

    return draw(found, plot.suffix.removeprefix("."))
