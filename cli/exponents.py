"""`scalenet exponents`: with which powers of depth, width and resolution a baseline's costs really grow."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from scalenet.arch.convention import CONVENTION
from scalenet.arch.words import times

from .errors import plain_errors
from .options import FormatOption, Json
from .output import Format, chosen_format, emit_report, note


@plain_errors
def exponents(
    base: Annotated[str, typer.Option(metavar="NAME|FILE", help="The network to measure.")] = "efficientnet_b0",
    form: FormatOption = None,
    json: Json = False,
) -> None:
    """Measure how costs grow with depth, width and resolution, beside the paper's d · w² · r²."""
    import scalenet
    from scalenet.scaling.rules import PAPER_COEFFICIENTS

    form = chosen_format(form, json=json)
    architecture = scalenet.load(base)
    rows = [asdict(exponent) for exponent in scalenet.exponents(architecture)]
    step = asdict(scalenet.growth(architecture))
    if form is Format.csv:
        note(", ".join(f"{name} {times(value)}" for name, value in step.items()))
    emit_report(
        {"name": architecture.name, "convention": CONVENTION, "exponents": rows, "growth": step},
        {
            "rows": rows,
            "title": f"{architecture.name}: costs grow with these powers of each multiplier",
            "caption": f"doubled, halved: the cost at 2 and 1/2 times the base's, rounded; FLOPs: {CONVENTION}",
            "formats": dict.fromkeys(("doubled", "halved"), times),
        },
        {
            "rows": [step],
            "title": f"FLOPs of one step of φ, with α, β, γ = {', '.join(map(str, PAPER_COEFFICIENTS.values()))}",
            "caption": "nominal: αβ²γ²; measured: by the local exponents; achieved: rounded",
            "formats": dict.fromkeys(step, times),
        },
        form=form,
    )
