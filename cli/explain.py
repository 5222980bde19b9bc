"""`scalenet explain`: what φ a scaled network really has, and where each percent of its FLOPs comes from."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalenet.arch.convention import CONVENTION
from scalenet.arch.words import count, times

from .errors import plain_errors
from .options import FormatOption, Json, Target
from .output import Format, chosen_format, emit_report, note, percent, points, signed_count

if TYPE_CHECKING:
    from scalenet.scaling.explanation import Explanation


@plain_errors
def explain(
    target: Target,
    base: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Compare with this network of as many stages instead of its base."),
    ] = None,
    form: FormatOption = None,
    json: Json = False,
) -> None:
    """Explain a scaled config or a preset: the φ it really has, and why its FLOPs are not those asked for."""
    import scalenet

    form = chosen_format(form, json=json)
    found = scalenet.explain(target, base)
    report = _report(found)
    if form is Format.csv:
        flops = report["axes"][-1]
        note(f"asked {times(flops['asked'])}, achieved {times(flops['achieved'])}, φ {flops['phi']:.4g}")
        for cliff in found.cliffs:
            note(str(cliff))
    emit_report(report, *_tables(found, report, compared=base is not None), form=form)


def _tables(found: Explanation, report: dict[str, Any], *, compared: bool) -> list[dict[str, Any]]:
    """Return the tables of parts, axes and causes, as the sink takes them."""
    causes = [one.cause for one in found.deviations]
    parts = {
        "rows": [_stage_row(stage, report["asked_flops"]) for stage in report["stages"]],
        "title": f"{found.config.name}, from {found.base.name}: FLOPs of each part",
        "caption": f"differences and their causes in % of the FLOPs asked for in all; FLOPs: {CONVENTION}",
        "formats": {
            **dict.fromkeys(("base", "asked", "achieved"), count),
            **dict.fromkeys(causes, signed_count),
            "difference": points,
        },
        "hidden": ("base", *causes),
    }
    axes = {
        "rows": report["axes"],
        "title": "ratios to the base, and the φ that they stand for",
        "caption": "; ".join(map(str, found.cliffs)) or None,
        "formats": dict.fromkeys(("asked", "achieved"), times),
    }
    reasons = {
        "rows": [{key: row[key] for key in ("reason", "factor", "flops")} for row in report["deviations"]],
        "title": "why achieved is not asked: the factors multiply, the FLOPs add up",
        "caption": _UNSCALED if compared else None,
        "formats": {"factor": percent, "flops": signed_count},
    }
    return [parts, axes, reasons]


_UNSCALED = "asked is d · w² · r² of the ratios; rounded means: not in the base's proportions"


def _report(found: Explanation) -> dict[str, Any]:
    """Return the JSON of `scalenet explain`."""
    assert found.config.scaling is not None
    return {
        "name": found.config.name,
        "base": found.base.name,
        "rule": found.config.scaling.rule.model_dump(),
        "rounding": found.config.scaling.rounding.name,
        "asked_flops": sum(part.asked for part in found.parts),
        "achieved_flops": sum(part.achieved for part in found.parts),
        "convention": CONVENTION,
        "axes": [
            {
                "axis": axis.name,
                "asked": axis.asked,
                "achieved": axis.achieved,
                "coefficient": axis.coefficient,
                "asked_phi": axis.asked_phi,
                "phi": axis.phi,
            }
            for axis in found.axes
        ],
        "deviations": [
            {"cause": one.cause, "reason": one.reason, "factor": one.factor, "flops": sum(one.flops)}
            for one in found.deviations
        ],
        "stages": [
            {"stage": part.name, "base": part.base, "asked": part.asked, "achieved": part.achieved, "added": part.added}
            for part in found.parts
        ],
        "cliffs": [{**asdict(cliff), "sentence": str(cliff)} for cliff in found.cliffs],
    }


def _stage_row(stage: dict[str, Any], whole: float) -> dict[str, Any]:
    """Return a part's row; `mostly` names what adds or saves at least half a percent of all that was asked for."""
    shares = {cause: flops / whole for cause, flops in stage["added"].items()}
    largest = sorted((cause for cause in shares if abs(shares[cause]) >= 0.005), key=lambda cause: -abs(shares[cause]))
    return {
        **{key: stage[key] for key in ("stage", "base", "asked", "achieved")},
        "difference": (stage["achieved"] - stage["asked"]) / whole,
        "mostly": ", ".join(f"{cause.replace('_', ' ')} {points(shares[cause])}" for cause in largest),
        **stage["added"],
    }
