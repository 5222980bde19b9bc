"""`scalenet latency`: how long networks take, after the paper's table 4."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalenet.arch.errors import ScalenetError
from scalenet.arch.words import seconds_text, times

from .errors import plain_errors
from .options import Inputs, Json, Networks, ResolutionText, find_networks
from .output import emit, emit_json, progress

if TYPE_CHECKING:
    from torch import nn

    from scalenet.checks.targets import Target as ModuleTarget
    from scalenet.costs.latency import Latency, Setup


@plain_errors
def latency(
    targets: Networks,
    inputs: Inputs = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, …")] = "cpu",
    batch: Annotated[int, typer.Option(min=1, help="Images a run.")] = 1,
    dtype: Annotated[str, typer.Option(help="float32, float16, bfloat16 or float64.")] = "float32",
    channels_last: Annotated[bool, typer.Option("--channels-last", help="Keep a pixel's channels together.")] = False,
    compiled: Annotated[bool, typer.Option("--compile", help="Run through torch.compile.")] = False,
    runs: Annotated[int, typer.Option(min=1, help="Runs that count.")] = 20,
    warmup: Annotated[int, typer.Option(min=1, help="Runs before them.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads of one operator on the CPU.")] = 1,
    resolution: ResolutionText = None,
    json: Json = False,
) -> None:
    """Measure how long networks take: batch 1, one core, the mean of 20 runs, as in the paper's table 4.

    Several are measured in turns, and compared with the first one. package.module:callable is imported from here, and
    its input says its own batch.
    """
    from scalenet.arch.spec import Architecture

    found = find_networks(targets, inputs, resolution)
    if batch > 1 and inputs:
        raise ScalenetError("the batch of a module is its input's", hint="leave out --batch")
    networks = [network if isinstance(network, Architecture) else _made(network) for network in found]
    names = [network.name for network in found]
    from scalenet.costs.latency import Setup, latencies

    setup = Setup(device, batch, dtype, threads, runs, warmup, channels_last, compiled)
    with progress(auto_refresh=False) as bar:
        task = bar.add_task("measuring", total=runs)
        bar.refresh()
        measured = latencies(networks, setup, progress=lambda: bar.update(task, advance=1, refresh=True))
    rows = [_row(name, each, measured[0]) for name, each in zip(names, measured, strict=True)]
    if json:
        emit_json({"networks": rows, **asdict(setup)})
    else:
        figures = ("mean", "std", "median", "minimum")
        emit(rows, caption=_caption(setup), formats={**dict.fromkeys(figures, seconds_text), "ratio": times})


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
