"""`scalenet latency`: how long networks take, after the paper's table 4."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalenet.arch.errors import ScalenetError
from scalenet.arch.words import seconds_text, times

from .errors import plain_errors
from .options import Inputs, Json, ResolutionText, find_networks
from .output import emit, emit_json, emit_record, note, progress

if TYPE_CHECKING:
    from torch import nn

    from scalenet.checks.targets import Target as ModuleTarget
    from scalenet.costs.latency import Latency, Setup

_space = partial(typer.Option, rich_help_panel="A space")


@plain_errors
def latency(
    targets: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME|FILE|MODULE:CALLABLE…]", help="Networks as `scalenet cost` takes them."),
    ] = None,
    inputs: Inputs = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, …")] = "cpu",
    batch: Annotated[int, typer.Option(min=1, help="Images a run.")] = 1,
    dtype: Annotated[str, typer.Option(help="float32, float16, bfloat16 or float64.")] = "float32",
    channels_last: Annotated[bool, typer.Option("--channels-last", help="Keep a pixel's channels together.")] = False,
    compiled: Annotated[bool, typer.Option("--compile", help="Run through torch.compile.")] = False,
    runs: Annotated[
        int | None, typer.Option(min=1, help="Runs that count.  [default: 20, of a space 3 in each of three passes]")
    ] = None,
    warmup: Annotated[int | None, typer.Option(min=1, help="Runs before them.  [default: 3, of a space 1]")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of one operator on the CPU.")] = 1,
    resolution: ResolutionText = None,
    space: Annotated[
        str | None, _space(metavar="NAME|FILE", help="Measure the blocks of a space instead (see `scalenet spaces`).")
    ] = None,
    classes: Annotated[int | None, _space(min=1, help="Classes of the space's members.")] = None,
    output: Annotated[
        Path | None, _space("--output", "-o", metavar="FILE", help="Where its table goes, for `baseline-search`.")
    ] = None,
    json: Json = False,
) -> None:
    """Measure how long networks take: batch 1, one core, the mean of 20 runs, as in the paper's table 4.

    Several are measured in turns, and compared with the first one. package.module:callable is imported from here, and
    its input says its own batch. With --space it is the blocks of a space, and `baseline-search --latency` reads what
    comes of it.

    \b
    scalenet latency efficientnet_b0 efficientnet_b1
    scalenet latency --space mnasnet --resolution 64 --classes 10 -o latencies.yaml
    """
    how: dict[str, Any] = {"device": device, "batch": batch, "dtype": dtype, "threads": threads}
    how |= {"channels_last": channels_last}
    how |= {name: value for name, value in (("runs", runs), ("warmup", warmup)) if value is not None}
    if space is not None:
        if targets or inputs or compiled:
            raise ScalenetError("--space measures the blocks of a space, as they are", hint="leave out the rest")
        _emit_space(space, resolution, classes, output, how, json=json)
        return
    if not targets:
        raise ScalenetError("no network was named", hint="scalenet latency efficientnet_b0, or --space mnasnet")
    if classes is not None or output is not None:
        raise ScalenetError("--classes and -o are of a --space", hint="leave them out")
    from scalenet.arch.spec import Architecture

    found = find_networks(targets, inputs, resolution)
    if batch > 1 and inputs:
        raise ScalenetError("the batch of a module is its input's", hint="leave out --batch")
    networks = [network if isinstance(network, Architecture) else _made(network) for network in found]
    names = [network.name for network in found]
    from scalenet.costs.latency import Setup, latencies

    setup = Setup(**how, compiled=compiled)
    with progress(auto_refresh=False) as bar:
        task = bar.add_task("measuring", total=setup.runs)
        bar.refresh()
        measured = latencies(networks, setup, progress=lambda: bar.update(task, advance=1, refresh=True))
    rows = [_row(name, each, measured[0]) for name, each in zip(names, measured, strict=True)]
    if json:
        emit_json({"networks": rows, **asdict(setup)})
    else:
        figures = ("mean", "std", "median", "minimum")
        emit(rows, caption=_caption(setup), formats={**dict.fromkeys(figures, seconds_text), "ratio": times})


def _emit_space(
    name: str, resolution: str | None, classes: int | None, output: Path | None, how: dict[str, Any], *, json: bool
) -> None:
    """Measure a space; its table goes to a file, or to stdout."""
    from scalenet.arch.quantities import parse_size
    from scalenet.spaces.timing import time_space

    size = None if resolution is None else parse_size(resolution)
    with progress(auto_refresh=False) as bar:
        task = bar.add_task("measuring", total=None)
        bar.refresh()
        table = time_space(
            name,
            resolution=size,
            classes=classes,
            **how,
            progress=lambda done, of: bar.update(task, completed=done, total=of, refresh=True),
        )
    if output is None:
        emit_record(table, json=json)
        return
    table.save(output)
    note(f"{output}: {table}")
    if table.doubtful:
        note("that is much: measure again while the machine does nothing else")


def _made(target: ModuleTarget) -> tuple[nn.Module, Any]:
    """Return a module, imported from here, and tensors of zeros as its input."""
    from scalenet.checks.inputs import zeros
    from scalenet.model.importing import found, let_in, made

    let_in(Path.cwd())
    module = made(found(target.name, Path.cwd()))
    return module, zeros(module, target.inputs)


def _row(name: str, found: Latency, first: Latency) -> dict[str, Any]:
    return {
        "name": name,
        "mean": found.mean,
        "std": found.std,
        "median": found.median,
        "minimum": found.minimum,
        "ratio": found.mean / first.mean,
    }


def _caption(setup: Setup) -> str:
    threads = f", threads {setup.threads}" * (setup.device == "cpu")
    how = ", channels last" * setup.channels_last + ", compiled" * setup.compiled
    return f"{setup.device}{threads}, batch {setup.batch}, {setup.dtype}{how}; {setup.runs} runs; ratio of means"
