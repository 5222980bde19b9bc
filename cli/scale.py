"""`scalenet scale`: STEP 2, a baseline scaled by a rule, as config files from which networks are rebuilt."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalenet.arch.convention import CONVENTION

from .errors import plain_errors
from .options import Force, Json, checked, parse_phis, parse_shares
from .output import count, emit, emit_json, must_not_exist, note, percent, times

if TYPE_CHECKING:
    from scalenet.arch.config import Config, Rule
    from scalenet.arch.spec import Architecture


class RuleName(StrEnum):
    """Rules that take φ."""

    compound = "compound"
    depth = "depth"
    width = "width"
    resolution = "resolution"
    dwr = "dwr"


_Factor = Annotated[float | None, typer.Option(help="Multiplier, instead of a rule.", min=0.0)]


@plain_errors
def scale(
    base: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="The baseline to scale.  [default: the preset's, or efficientnet_b0]"),
    ] = None,
    phi: Annotated[
        str | None, typer.Option(metavar="PHI", help="Compound coefficient: 3, -1.5, 1,2,3.5 or 1..7.")
    ] = None,
    rule: Annotated[RuleName, typer.Option(help="What φ scales; dwr is mostly width.")] = RuleName.compound,
    alpha: Annotated[float | None, typer.Option(help="Base of depth.  [default: 1.2]")] = None,
    beta: Annotated[float | None, typer.Option(help="Base of width.  [default: 1.1]")] = None,
    gamma: Annotated[float | None, typer.Option(help="Base of resolution.  [default: 1.15]")] = None,
    coefficients: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Take α, β, γ from a grid search's coefficients.yaml.")
    ] = None,
    shares: Annotated[
        str | None,
        typer.Option(metavar="D,W,R", help="Shares of the extra FLOPs, instead of a rule; they add up to 1."),
    ] = None,
    depth: _Factor = None,
    width: _Factor = None,
    resolution: _Factor = None,
    preset: Annotated[str | None, typer.Option(metavar="NAME", help="A published member: efficientnet_b7.")] = None,
    rounding: Annotated[
        str | None, typer.Option(metavar="NAME", help="Rounding set.  [default: the baseline's]")
    ] = None,
    classes: Annotated[int | None, typer.Option(min=1, help="Number of classes, instead of the baseline's.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE|DIR|-", help="Write the config; a folder for several φ."),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Scale a baseline and show what was asked, what is nominal, and what is achieved."""
    from dataclasses import replace

    from scalenet.scaling.scaler import load, scale_by

    architecture = load(base or _default_base(preset))
    if classes is not None:
        architecture = replace(architecture, model=architecture.model.with_classes(classes))
    given = {"alpha": alpha, "beta": beta, "gamma": gamma}
    factors = {"depth": depth, "width": width, "resolution": resolution}
    ways = {"preset": preset, "coefficients": coefficients, "shares": shares, **given, **factors}
    ways["rule"] = None if rule is RuleName.compound else rule
    _check_ways({name for name, value in ways.items() if value is not None}, phi=phi is not None)
    if preset is not None:
        rules = [_preset(preset)]
    elif any(factor is not None for factor in factors.values()):
        rules = [_multipliers(**factors)]
    else:
        phis = parse_phis(phi or "1")
        rules = _phi_rules(phis, rule, shares, coefficients, given, base=architecture.name)
    configs = [scale_by(architecture, one, rounding=rounding) for one in rules]
    _write(configs, output, force=force)
    reports = [_report(architecture, config) for config in configs]
    if json:
        emit_json(reports if len(reports) > 1 else reports[0])
    elif output != Path("-"):
        _print(reports)


_WAYS = (
    {"preset"},
    {"depth", "width", "resolution"},
    {"shares"},
    {"rule"},
    {"coefficients"},
    {"alpha", "beta", "gamma"},
)
_WITHOUT_PHI = ({"preset"}, {"depth", "width", "resolution"})


def _check_ways(given: set[str], *, phi: bool) -> None:
    """Refuse options that say in two ways how to scale."""
    from scalenet.arch.errors import ScalenetError

    ways = [sorted(way & given)[0] for way in _WAYS if way & given]
    if phi and any(way & given for way in _WITHOUT_PHI):
        ways.append("phi")
    if len(ways) > 1:
        raise ScalenetError(f"{' and '.join(f'--{way}' for way in ways)} exclude each other", hint="give one of them")


def _default_base(name: str | None) -> str:
    from scalenet.scaling.presets import preset

    return "efficientnet_b0" if name is None else preset(name).base


def _preset(name: str) -> Rule:
    from scalenet.arch.config import PresetRule

    return PresetRule(name=name.replace("-", "_"))


def _multipliers(**factors: float | None) -> Rule:
    from scalenet.arch.config import MultipliersRule

    return checked(MultipliersRule, **{name: 1.0 if factor is None else factor for name, factor in factors.items()})


def _phi_rules(
    phis: list[float],
    rule: RuleName,
    shares: str | None,
    file: Path | None,
    given: dict[str, float | None],
    *,
    base: str,
) -> list[Rule]:
    from scalenet.arch.config import CompoundRule, SharesRule
    from scalenet.scaling.rules import PAPER_COEFFICIENTS, SHARES

    if rule is RuleName.compound and shares is None:
        found = PAPER_COEFFICIENTS if file is None else _found(file, base)
        chosen = {**found, **{name: value for name, value in given.items() if value is not None}}
        return [checked(CompoundRule, **chosen, phi=phi) for phi in phis]
    split = SHARES[rule.value] if shares is None else parse_shares(shares)
    named = dict(zip(("depth", "width", "resolution"), split, strict=True))
    return [checked(SharesRule, **named, phi=phi) for phi in phis]


def _found(file: Path, base: str) -> dict[str, float]:
    """Return the coefficients of a search, and say so where they were found for another baseline."""
    from scalenet.search.coefficients import load_coefficients

    coefficients = load_coefficients(file)
    if coefficients.evidence is not None and coefficients.evidence.base != base:
        note(f"{file} was found for {coefficients.evidence.base}, not for {base}")
    return coefficients.multipliers()


def _write(configs: list[Config], output: Path | None, *, force: bool) -> None:
    from scalenet.arch.config import dumps, save
    from scalenet.arch.errors import ScalenetError

    if output is None:
        return
    if output == Path("-"):
        sys.stdout.write("---\n".join(dumps(config) for config in configs))
        return
    folder = len(configs) > 1 or output.is_dir() or not output.suffix
    if folder and output.is_file():
        raise ScalenetError(f"{output}: is a file", hint="several configs go into a folder")
    paths = [output / f"{config.name}.yaml" if folder else output for config in configs]
    if len(set(paths)) < len(paths):
        raise ScalenetError("two of the values of phi give files of one name", hint="write each value once")
    for path in paths:
        must_not_exist(path, force=force)
    for path, config in zip(paths, configs, strict=True):
        save(config, path)
        note(f"wrote {path}")


def _report(base: Architecture, config: Config) -> dict[str, Any]:
    """Return what a scaling asked, means and gives: the JSON of `scalenet scale`."""
    from scalenet.scaling.causes import deviations
    from scalenet.scaling.resolutions import cliffs_below

    from .show import stage_rows

    assert config.scaling is not None
    assert config.cost is not None
    scaling = config.scaling
    return {
        "name": config.name,
        "base": base.name,
        **config.cost.model_dump(),
        "asked": scaling.asked.model_dump(),
        "nominal": scaling.nominal,
        "applied": scaling.applied.model_dump(),
        "deviations": [
            {"cause": step.cause, "reason": step.reason, "factor": step.factor} for step in deviations(base, config)
        ],
        "cliffs": [str(cliff) for cliff in cliffs_below(config.model)],
        "stages": _stages(stage_rows(base.model), stage_rows(config.model)),
        "rule": scaling.rule.model_dump(),
        "rounding": scaling.rounding.name,
        "resolution": config.model.resolution,
        "regularization": config.model.regularization.model_dump(),
    }


def _stages(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row a part: layers, channels and size, of the base and scaled, with the growth of its FLOPs."""
    rows = []
    for old, new in zip(before, after, strict=True):
        row = {"stage": new["stage"], "operator": new["operator"]}
        for key in ("resolution", "channels", "layers"):
            row |= {f"base_{key}": old[key], key: new[key]}
        rows.append({**row, "flops": new["flops"], "params": new["params"], "flops_ratio": new["flops"] / old["flops"]})
    return rows


def _print(reports: list[dict[str, Any]]) -> None:
    """Show one scaling stage by stage with what was asked and why it was missed, or several in a line each."""
    caption = f"FLOPs: {CONVENTION}"
    if len(reports) > 1:
        emit([_summary(report) for report in reports], caption=caption, formats=_FORMATS, hidden=_WIDE)
        return
    (report,) = reports
    for cliff in report["cliffs"]:
        note(cliff)
    title = f"{report['name']}, from {report['base']}"
    if not sys.stdout.isatty():
        emit(report["stages"])
        asked, achieved = report["asked"]["flops_ratio"], report["applied"]["flops_ratio"]
        note(f"asked {times(asked)}, nominal {times(report['nominal'])}, achieved {times(achieved)}")
        return
    emit([_compact(stage) for stage in report["stages"]], title=title, caption=caption, formats=_FORMATS)
    emit([_summary(report)], title="asked, nominal, achieved", caption=caption, formats=_FORMATS, hidden=_WIDE)
    emit(report["deviations"], title="why achieved is not asked", formats={"factor": percent}, hidden=("cause",))


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
        "dropout": report["regularization"]["dropout"],
    }


_WIDE = ("depth", "width", "dropout")
"""Columns of the summary that a terminal of 80 characters has no room for."""

_FORMATS = {
    **dict.fromkeys(("flops", "params", "activations"), count),
    **dict.fromkeys(("asked", "nominal", "achieved", "flops_ratio", "depth", "width"), times),
}
