"""`scalenet scale`: STEP 2, a baseline scaled by a rule, as config files from which networks are rebuilt."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalenet.arch.quantities import parse_size

from .errors import plain_errors
from .options import KEPT, Force, Json, parse_phis, parse_shares, parse_sizes
from .output import emit_json, must_not_exist, note
from .scaling_report import print_reports, scaling_report

if TYPE_CHECKING:
    from scalenet.arch.config import Config
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


class RuleName(StrEnum):
    """Rules that take φ."""

    compound = "compound"
    depth = "depth"
    width = "width"
    resolution = "resolution"
    dwr = "dwr"
    tiny = "tiny"


_Factor = Annotated[float | None, typer.Option(help="Multiplier, instead of a rule.", min=0.0, rich_help_panel=RULE)]


@plain_errors
def scale(
    base: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE|MODULE:FACTORY",
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
    rewrite: Annotated[
        bool,
        typer.Option(
            "--rewrite",
            help="The base is package.module:callable of any nn.Module, whose layers are given other sizes.",
            rich_help_panel=WHAT,
        ),
    ] = False,
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
    from scalenet.arch.errors import ScalenetError
    from scalenet.library import scalings
    from scalenet.scaling.scaler import shortfall

    if json and output == Path("-"):
        raise ScalenetError("-o - and --json both go to standard output", hint="give one of them, or -o a file")
    texts = {"flops": flops, "params": params, "activations": activations, "memory": memory, "latency": latency}
    numbers = {"alpha": alpha, "beta": beta, "gamma": gamma, "depth": depth, "width": width, "resolution": resolution}
    asked: dict[str, Any] = {
        **texts,
        **numbers,
        "preset": preset,
        "coefficients": coefficients,
        "phi": None if phi is None else parse_phis(phi),
        "shares": None if shares is None else parse_shares(shares),
        "sizes": None if sizes is None else parse_sizes(sizes),
    }
    how: Any = {name: value for name, value in asked.items() if value is not None}
    network = _base(_rewritten(base) if rewrite else base, preset, classes, input_size)
    scaled = list(
        scalings(
            network,
            rule.value,
            rounding=rounding,
            say=note,
            exact=exact,
            tolerance=tolerance,
            per_stage=per_stage,
            batch=batch,
            training=training,
            device=device,
            **how,
        )
    )
    _write([one.config for one in scaled], output, force=force)
    reports = [scaling_report(network, one) for one in scaled]
    if json:
        emit_json(reports if len(reports) > 1 else reports[0])
    elif output != Path("-"):
        print_reports(reports)
    missed = [line for one in scaled for line in shortfall(network, one.config)]
    for line in missed:
        note(line)
    if missed:
        raise typer.Exit(1)


def _rewritten(base: str | None) -> Architecture:
    """Return the baseline that any callable of a module is, and say what there is to scale in it."""
    from scalenet.arch.errors import ScalenetError
    from scalenet.arch.factory import Factory, names_callable
    from scalenet.scaling.scaler import from_factory

    if base is None or not names_callable(base):
        raise ScalenetError("--rewrite is of a module", hint="--base package.module:callable")
    from scalenet.model.factories import knobs_of

    architecture = from_factory(base, rewrite=True)
    assert isinstance(architecture.network, Factory)
    note(str(knobs_of(architecture.network)))
    return architecture


def _base(
    base: str | Architecture | None, preset: str | None, classes: int | None, input_size: str | None
) -> Architecture:
    from scalenet.scaling.presets import preset as known_preset
    from scalenet.scaling.scaler import load

    network = load(base or ("efficientnet_b0" if preset is None else known_preset(preset).base))
    network = network if classes is None else network.with_classes(classes)
    return network if input_size is None else network.at(parse_size(input_size))


def _write(configs: list[Config], output: Path | None, *, force: bool) -> None:
    from scalenet.arch.config import dumps, save
    from scalenet.arch.errors import ScalenetError

    if output is None:
        return
    if output == Path("-"):
        sys.stdout.write("---\n".join(dumps(config) for config in configs))
        return
    suffix, there = output.suffix, output.exists() and not output.is_dir()  # a file, or a device
    folder = len(configs) > 1 or output.is_dir() or not (suffix in (".yaml", ".yml") or there)
    if folder and output.is_file():
        raise ScalenetError(f"{output}: is a file", hint="several configs go into a folder")
    if len(configs) == 1 and folder and suffix[1:].isalpha() and not output.is_dir():
        raise ScalenetError(f"{output}: configs are YAML", hint="end a file's name with .yaml, a folder's with none")
    paths = [output / f"{config.name}.yaml" if folder else output for config in configs]
    if len(set(paths)) < len(paths):
        raise ScalenetError("two of the values of phi give files of one name", hint="write each value once")
    for path in paths:
        must_not_exist(path, force=force)
    for path, config in zip(paths, configs, strict=True):
        save(config, path)
        note(f"wrote {path}")
