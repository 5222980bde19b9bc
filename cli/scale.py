"""`scalenet scale`: STEP 2, a baseline scaled by a rule, as config files from which networks are rebuilt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scalenet.arch.quantities import parse_seconds, parse_size
from scalenet.arch.words import seconds_text

from .errors import plain_errors
from .options import KEPT, Force, Json, parse_phis
from .output import emit_json, must_not_exist, note
from .scaling_report import print_reports, scaling_report
from .scaling_rules import (
    RuleName,
    amounts,
    budget_rules,
    check_ways,
    multipliers_rule,
    phi_rule,
    preset_rule,
    ray_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalenet.arch.config import Config, Rule
    from scalenet.arch.spec import Architecture

WHAT, RULE, FAR, BUDGET = "What is scaled", "In which direction", "How far", "How a budget is met"

_Amount = Annotated[
    str | None,
    typer.Option(
        metavar="AMOUNT",
        help="Hit this cost, or keep below it: 4G, 8x the baseline's, 1G,2G for a family.",
        rich_help_panel=FAR,
    ),
]
_Factor = Annotated[float | None, typer.Option(help="Multiplier, instead of a rule.", min=0.0, rich_help_panel=RULE)]


@plain_errors
def scale(
    base: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="The baseline to scale.  [default: the preset's, or efficientnet_b0]",
            rich_help_panel=WHAT,
        ),
    ] = None,
    phi: Annotated[
        str | None,
        typer.Option(metavar="PHI", help="Compound coefficient: 3, -1.5, 1,2,3.5 or 1..7.", rich_help_panel=FAR),
    ] = None,
    rule: Annotated[
        RuleName, typer.Option(help="What φ scales: dwr is mostly width, tiny shrinks.", rich_help_panel=RULE)
    ] = RuleName.compound,
    alpha: Annotated[float | None, typer.Option(help="Base of depth.  [default: 1.2]", rich_help_panel=RULE)] = None,
    beta: Annotated[float | None, typer.Option(help="Base of width.  [default: 1.1]", rich_help_panel=RULE)] = None,
    gamma: Annotated[
        float | None, typer.Option(help="Base of resolution.  [default: 1.15]", rich_help_panel=RULE)
    ] = None,
    coefficients: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Take α, β, γ from a grid search's coefficients.yaml.", rich_help_panel=RULE),
    ] = None,
    shares: Annotated[
        str | None,
        typer.Option(
            metavar="D,W,R",
            help="Shares of the extra FLOPs, instead of a rule; they add up to 1.",
            rich_help_panel=RULE,
        ),
    ] = None,
    depth: _Factor = None,
    width: _Factor = None,
    resolution: _Factor = None,
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="A published member: efficientnet_b7.", rich_help_panel=RULE)
    ] = None,
    flops: _Amount = None,
    params: _Amount = None,
    activations: _Amount = None,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="BYTES", help="Peak memory at --batch, inference or --training: 2GiB, 0.5x.", rich_help_panel=FAR
        ),
    ] = None,
    latency: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Measured at --batch on --device, one thread: 20ms.", rich_help_panel=FAR),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Hit 2^φ times the baseline's FLOPs.", rich_help_panel=FAR)
    ] = False,
    tolerance: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="How near a budget is met.", rich_help_panel=BUDGET)
    ] = 0.01,
    sizes: Annotated[
        str | None,
        typer.Option(
            metavar="any|8|16|32|tight",
            help="Input sizes of budgets.  [default: the rounding set's]",
            rich_help_panel=BUDGET,
        ),
    ] = None,
    per_stage: Annotated[
        bool,
        typer.Option(
            "--per-stage", help="Let one stage's width be a step off the uniform multiple.", rich_help_panel=BUDGET
        ),
    ] = False,
    batch: Annotated[
        int, typer.Option(min=1, help="Images at once, for --memory and --latency.", rich_help_panel=BUDGET)
    ] = 1,
    training: Annotated[
        bool, typer.Option("--training", help="Memory of training, not of inference.", rich_help_panel=BUDGET)
    ] = False,
    device: Annotated[str, typer.Option(help="Where latency is measured: cpu, cuda.", rich_help_panel=BUDGET)] = "cpu",
    rounding: Annotated[
        str | None, typer.Option(metavar="NAME", help="Rounding set.  [default: the baseline's]", rich_help_panel=WHAT)
    ] = None,
    classes: Annotated[
        int | None, typer.Option(min=1, help="Number of classes, instead of the baseline's.", rich_help_panel=WHAT)
    ] = None,
    input_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="The baseline's input size, instead of its own: 192x256.", rich_help_panel=WHAT
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|DIR|-",
            help="Write the config; a folder for several φ.",
            rich_help_panel=KEPT,
        ),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Scale a baseline and show what was asked, what is nominal, and what is achieved.

    \b
    scalenet scale --base resnet50 --phi 1..4 -o family
    scalenet scale --base resnet50 --flops 8G --params 30M -o budget.yaml
    """
    from scalenet.scaling.scaler import scale_by

    coefficient = {"alpha": alpha, "beta": beta, "gamma": gamma}
    factors = {"depth": depth, "width": width, "resolution": resolution}
    limits = {"flops": flops, "params": params, "activations": activations, "memory": memory, "latency": latency}
    others = {"preset": preset, "coefficients": coefficients, "shares": shares, "phi": phi, "exact": exact or None}
    others |= {"rule": None if rule is RuleName.compound else rule, "sizes": sizes, "per_stage": per_stage or None}
    check_ways({name: value for name, value in (coefficient | factors | limits | others).items() if value is not None})
    network = _base(base, preset, classes, input_size)
    if preset is not None:
        rules = [preset_rule(preset)]
    elif any(factor is not None for factor in factors.values()):
        rules = [multipliers_rule(**factors)]
    else:
        ray, phis = ray_of(rule, shares, coefficients, coefficient, base=network.name), parse_phis(phi or "1")
        hit = phis if exact or rule is RuleName.tiny else None
        budgets = amounts(network, limits, hit, batch=batch, training=training)
        options = {"tolerance": tolerance, "per_stage": per_stage, "batch": batch, "training": training}
        rules = (
            budget_rules(network, ray, budgets, rounding, sizes=sizes, **options)
            if budgets
            else [phi_rule(ray, value) for value in phis]
        )
    scaled: list[tuple[Config, dict[str, float] | None]]
    if latency is None:
        scaled = [(scale_by(network, one, rounding=rounding), None) for one in rules]
    else:
        measure = _stopwatch(device, batch)
        capped = any(limits[metric] is not None for metric in limits if metric != "latency")
        scaled = [
            _within(network, one, seconds, measure, rounding=rounding, capped=capped)
            for one in rules
            for seconds in parse_seconds(latency)
        ]
    _write([config for config, _ in scaled], output, force=force)
    reports = [scaling_report(network, config, timing) for config, timing in scaled]
    if json:
        emit_json(reports if len(reports) > 1 else reports[0])
    elif output != Path("-"):
        print_reports(reports)
    missed = [report for report in reports if report.get("budget") and not report["budget"]["met"]]
    for report in missed:
        note(
            f"{report['name']}: no network meets the budget, this is the nearest: {'; '.join(report['budget']['why'])}"
        )
    if missed:
        raise typer.Exit(1)


def _base(base: str | None, preset: str | None, classes: int | None, input_size: str | None) -> Architecture:
    from dataclasses import replace

    from scalenet.scaling.presets import preset as known_preset
    from scalenet.scaling.scaler import load

    network = load(base or ("efficientnet_b0" if preset is None else known_preset(preset).base))
    model = network.model if classes is None else network.model.with_classes(classes)
    return replace(network, model=model if input_size is None else model.at(parse_size(input_size)))


def _stopwatch(device: str, batch: int) -> Callable[[Architecture], float]:
    """Return what measures a latency: the median of 20 runs, which other work on the machine moves least."""
    from scalenet.costs.latency import latency

    def measure(architecture: Architecture) -> float:
        taken = latency(architecture, device=device, batch=batch).median
        note(f"{architecture.name}: {seconds_text(taken)}")
        return taken

    return measure


def _within(
    base: Architecture,
    rule: Rule,
    seconds: float,
    measure: Callable[[Architecture], float],
    *,
    rounding: str | None,
    capped: bool,
) -> tuple[Config, dict[str, float]]:
    from scalenet.arch.config import BudgetRule
    from scalenet.scaling.timing import scale_within

    assert isinstance(rule, BudgetRule)
    config, taken = scale_within(base, rule, seconds, measure, rounding=rounding, capped=capped)
    return config, {"asked": seconds, "measured": taken}


def _write(configs: list[Config], output: Path | None, *, force: bool) -> None:
    from scalenet.arch.config import dumps, save
    from scalenet.arch.errors import ScalenetError

    if output is None:
        return
    if output == Path("-"):
        sys.stdout.write("---\n".join(dumps(config) for config in configs))
        return
    device = output.exists() and not (output.is_file() or output.is_dir())
    folder = len(configs) > 1 or output.is_dir() or not (output.suffix or device)
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
