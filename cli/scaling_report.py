"""What a scaling asked, means and gives: the JSON and the tables of `scalenet scale`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from scalenet.arch.convention import CONVENTION
from scalenet.arch.words import count, seconds_text, times

from .output import bytes_text, emit, note, percent

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalenet.arch.config import BudgetRule, Config
    from scalenet.arch.spec import Architecture
    from scalenet.library import Scaled


def scaling_report(base: Architecture, scaled: Scaled) -> dict[str, Any]:
    """Return what a scaling asked, means and gives: the JSON of `scalenet scale`."""
    from scalenet.arch.factory import Factory

    config = scaled.config
    assert config.scaling is not None
    assert config.cost is not None
    latency = None if scaled.asked is None else {"asked": scaled.asked, "measured": scaled.measured}
    scaling = config.scaling
    budget = _budget(base, config)
    return {
        "name": config.name,
        "base": base.name,
        **({"budget": budget} if budget else {}),
        **({"latency": latency} if latency else {}),
        **config.cost.model_dump(),
        "asked": scaling.asked.model_dump(),
        "nominal": scaling.nominal,
        "applied": scaling.applied.model_dump(),
        **(_made(base, config) if isinstance(config.network, Factory) else _described(base, config)),
        "rule": scaling.rule.model_dump(),
        "rounding": scaling.rounding.name,
        "resolution": config.network.resolution,
    }


def _described(base: Architecture, config: Config) -> dict[str, Any]:
    """Return why a description does not cost what was asked, and what became of its stages."""
    from scalenet.costs.tables import stage_rows
    from scalenet.scaling.causes import deviations
    from scalenet.scaling.resolutions import cliffs_below

    return {
        "deviations": [
            {"cause": step.cause, "reason": step.reason, "factor": step.factor} for step in deviations(base, config)
        ],
        "cliffs": [str(cliff) for cliff in cliffs_below(config.model)],
        "stages": _stages(stage_rows(base.model), stage_rows(config.model)),
        "regularization": config.model.regularization.model_dump(),
    }


def _made(base: Architecture, config: Config) -> dict[str, Any]:
    """Return what a factory is called with, and what became of the top modules of its network."""
    from scalenet.costs.network import rows_of

    before, after = base.network, config.network
    return {
        "arguments": [
            {"argument": name, "base": getattr(before, name), "scaled": getattr(after, name)}
            for name in ("depth", "width", "resolution")
        ],
        "deviations": [],
        "cliffs": [],
        "stages": _paired(rows_of(before), rows_of(after)),
    }


def _paired(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row a top module of the scaled network, with the growth of its FLOPs where the base has it too."""
    own = {row["stage"]: row["flops"] for row in before}
    return [
        {
            **{key: row[key] for key in ("stage", "operator", "flops", "params")},
            "flops_ratio": row["flops"] / own[row["stage"]] if own.get(row["stage"]) else None,
        }
        for row in after
    ]


def _budget(base: Architecture, config: Config) -> dict[str, Any] | None:
    """Return how a budget was met, and why not where it was not."""
    from scalenet.arch.config import BudgetRule
    from scalenet.scaling.scaler import why_missed

    assert config.scaling is not None
    rule, solution = config.scaling.rule, config.scaling.solution
    if not isinstance(rule, BudgetRule) or solution is None:
        return None
    return {
        "metric": rule.metric,
        "asked": rule.value,
        "achieved": solution.achieved,
        "tolerance": rule.tolerance,
        "met": solution.met,
        "ceilings": _ceilings(config, rule),
        "phi": solution.phi,
        "distance": solution.distance,
        "spread": solution.spread,
        "off_ray": solution.off_ray.model_dump(),
        "why": [] if solution.met else why_missed(base, config),
    }


def _ceilings(config: Config, rule: BudgetRule) -> dict[str, dict[str, int]]:
    """Return the limits that a network keeps, with what it costs."""
    from scalenet.costs.memory import memory

    assert config.cost is not None
    found: dict[str, int] = config.cost.model_dump(include={"flops", "params", "activations"})
    if "memory" in rule.ceilings:
        found["memory"] = memory(config.model, batch=rule.batch, training=rule.training).peak
    return {metric: {"limit": limit, "achieved": found[metric]} for metric, limit in rule.ceilings.items()}


def _stages(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row a part: layers, channels and size, of the base and scaled, with the growth of its FLOPs."""
    rows = []
    for old, new in zip(before, after, strict=True):
        row = {"stage": new["stage"], "operator": new["operator"]}
        for key in ("resolution", "channels", "layers"):
            row |= {f"base_{key}": old[key], key: new[key]}
        rows.append({**row, "flops": new["flops"], "params": new["params"], "flops_ratio": new["flops"] / old["flops"]})
    return rows


def print_reports(reports: list[dict[str, Any]]) -> None:
    """Show one scaling stage by stage with what was asked and why it was missed, or several in a line each."""
    caption = f"FLOPs: {CONVENTION}"
    if len(reports) > 1:
        _print_family(reports, caption)
        return
    (report,) = reports
    for cliff in report["cliffs"]:
        note(cliff)
    title = f"{report['name']}, from {report['base']}"
    if not sys.stdout.isatty():
        emit(report["stages"])
        for row in report.get("arguments", ()):
            note(f"{row['argument']} {row['base']} → {row['scaled']}")
        asked, achieved = report["asked"]["flops_ratio"], report["applied"]["flops_ratio"]
        note(f"asked {times(asked)}, nominal {times(report['nominal'])}, achieved {times(achieved)}")
        for line in _budget_lines(report):
            note(line)
        return
    stages = report["stages"] if "arguments" in report else list(map(_compact, report["stages"]))
    emit(stages, title=title, caption=caption, formats=_FORMATS)
    if "arguments" in report:
        emit(report["arguments"], title="what the factory is called with")
    emit([_summary(report)], title="asked, nominal, achieved", caption=caption, formats=_FORMATS, hidden=_WIDE)
    if "budget" in report:
        _print_budget(report)
    if report["deviations"]:
        emit(report["deviations"], title="why achieved is not asked", formats={"factor": percent}, hidden=("cause",))


def _print_family(reports: list[dict[str, Any]], caption: str) -> None:
    """Show members in a line each, with the growth of the FLOPs from one to the next."""
    rows = [_summary(report) for report in reports]
    for row, before in zip(rows, [None, *reports], strict=False):
        row["growth"] = None if before is None else row["flops"] / before["flops"]
    emit(rows, caption=caption, formats=_FORMATS, hidden=(*_WIDE, "params", "resolution"))
    for report in reports:
        for cliff in report["cliffs"]:
            note(f"{report['name']}: {cliff}")
    budgets = [report for report in reports if "budget" in report]
    if budgets and sys.stdout.isatty():
        emit([_hit(report) for report in budgets], title="budgets", formats=_HIT_FORMATS)
    for report in () if sys.stdout.isatty() else budgets:
        for line in _budget_lines(report):
            note(f"{report['name']}: {line}")


def _print_budget(report: dict[str, Any]) -> None:
    """Show what was hit, what is kept, and how far the network lies from the ray."""
    budget = report["budget"]
    emit([_hit(report)], title="the budget", formats=_HIT_FORMATS)
    for line in _budget_lines(report)[1:]:
        note(line)
    rows = [
        {"dimension": name, "on the ray": report["asked"][name], "off the ray": budget["off_ray"][name]}
        for name in budget["off_ray"]
    ]
    emit(rows, title="how far from the ray", formats={"on the ray": times, "off the ray": percent})


def _hit(report: dict[str, Any]) -> dict[str, Any]:
    budget = report["budget"]
    form = _amount(budget["metric"])
    return {
        "name": report["name"],
        "metric": budget["metric"],
        "asked": form(budget["asked"]),
        "achieved": form(budget["achieved"]),
        "off": budget["achieved"] / budget["asked"],
        "φ": budget["phi"],
        "distance": budget["distance"],
    }


def _budget_lines(report: dict[str, Any]) -> list[str]:
    """Return what there is to say of a budget, a line each: the hit, the ceilings, the latency."""
    lines = []
    if "budget" in report:
        hit, budget = _hit(report), report["budget"]
        lines += [
            f"{hit['metric']}: asked {hit['asked']}, achieved {hit['achieved']} ({percent(hit['off'])}), "
            f"{hit['distance']:.3g} doublings from the ray"
        ]
        for metric, ceiling in budget["ceilings"].items():
            form = _amount(metric)
            lines.append(f"{metric}: {form(ceiling['achieved'])}, at most {form(ceiling['limit'])}")
    if "latency" in report:
        asked, measured = report["latency"]["asked"], report["latency"]["measured"]
        lines.append(f"latency: {seconds_text(measured)}, at most {seconds_text(asked)}")
    return lines


def _amount(metric: str) -> Callable[[float], str]:
    return bytes_text if metric == "memory" else count


def _compact(stage: dict[str, Any]) -> dict[str, Any]:
    """Return a stage's row for a terminal: from → to in one column."""
    changes = {
        key: f"{stage[f'base_{key}']} → {stage[key]}" if stage[f"base_{key}"] != stage[key] else str(stage[key])
        for key in ("resolution", "channels", "layers")
    }
    return {"stage": stage["stage"], **changes, **{key: stage[key] for key in ("flops", "params", "flops_ratio")}}


def _summary(report: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": report["name"],
        "asked": report["asked"]["flops_ratio"],
        "nominal": report["nominal"],
        "achieved": report["applied"]["flops_ratio"],
        "flops": report["flops"],
        "params": report["params"],
        "depth": report["applied"]["depth"],
        "width": report["applied"]["width"],
        "resolution": str(report["resolution"]),
        **({"dropout": report["regularization"]["dropout"]} if "regularization" in report else {}),
    }


_WIDE = ("depth", "width", "dropout")
"""Columns of the summary that a terminal of 80 characters has no room for."""

_HIT_FORMATS = {"off": percent}

_FORMATS = {
    **dict.fromkeys(("flops", "params", "activations"), count),
    **dict.fromkeys(("asked", "nominal", "achieved", "flops_ratio", "depth", "width", "growth"), times),
}
