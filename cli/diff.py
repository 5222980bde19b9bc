"""`scalenet diff`: two architectures side by side."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from scalenet.arch.convention import CONVENTION
from scalenet.arch.words import count

from .errors import plain_errors
from .options import FormatOption, Json
from .output import Format, change, chosen_format, emit_report, note, text


@plain_errors
def diff(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="A baseline, a preset, a YAML file or a factory.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="Another one.")],
    form: FormatOption = None,
    json: Json = False,
) -> None:
    """Compare two architectures: stage by stage, by cost, and field by field."""
    import scalenet

    form = chosen_format(form, json=json)
    report = asdict(scalenet.diff(before, after))
    if form is Format.csv:
        note(", ".join(f"{row['cost']} {count(row['before'])} → {count(row['after'])}" for row in report["costs"]))
    if form is not Format.json and not report["differences"]:
        note("the descriptions are the same")
    fields = [
        {key: text(None) if value is None else str(value) for key, value in row.items()}
        for row in report["differences"]
    ]
    emit_report(
        report,
        {
            "rows": list(map(_flat if form is Format.csv else _compact, report["stages"])),
            "title": f"{report['before']} → {report['after']}",
            "caption": f"stages are paired by {report['paired_by']}; FLOPs: {CONVENTION}",
            "formats": {"change": change},
            "hidden": ("operator", "params"),
        },
        {
            "rows": report["costs"],
            "title": "costs",
            "formats": {"before": count, "after": count, "ratio": change},
        },
        *([{"rows": fields, "title": "fields that differ"}] if fields else []),
        form=form,
    )


def _flat(pair: dict[str, Any]) -> dict[str, Any]:
    """Return a pair as one row of CSV."""
    keys = pair["before"] or pair["after"]
    return {f"{side}_{key}": (pair[side] or {}).get(key) for key in keys for side in ("before", "after")}


def _compact(pair: dict[str, Any]) -> dict[str, Any]:
    """Return a pair as one row for readers: from → to in one column."""
    old, new = ({**(pair[side] or {})} for side in ("before", "after"))
    ratio = new["flops"] / old["flops"] if new and old.get("flops") else None
    for row in (old, new):
        row |= {key: count(row[key]) for key in ("flops", "params") if key in row}
    keys = ("stage", "operator", "resolution", "channels", "layers", "flops", "params")
    shown = [key for key in keys if key in {**old, **new}]
    return {**{key: _change(old.get(key), new.get(key)) for key in shown}, "change": ratio}


def _change(before: Any, after: Any) -> str:
    return text(before) if before == after else f"{text(before)} → {text(after).removeprefix('stages.')}"
