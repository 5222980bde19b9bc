"""The `scalenet` command: one file a command; nothing heavy is imported before a command runs."""

from __future__ import annotations

import gc
import sys
from typing import Annotated, Any

import typer

from scalenet._version import __version__

from .baseline_search import baseline_search
from .baselines import baselines
from .cam import cam
from .check import check
from .cost import cost
from .diff import diff
from .errors import ASKED_WRONGLY, FAILED, INTERRUPTED
from .evaluate import evaluate
from .explain import explain
from .exponents import exponents
from .export import export
from .grid_search import grid_search
from .grids import grids
from .headings import WIDEST, Command
from .inherit import inherit
from .latency import latency
from .lock import lock
from .output import note, note_lines
from .recipes import recipes
from .scale import scale
from .schema import schema
from .search import app as search
from .show import show
from .spaces import spaces
from .streams import Streams
from .studies import studies
from .study import study
from .train import train
from .transfer import transfer
from .verify import verify
from .weights import app as weights

_COMMANDS = (
    grid_search,
    baseline_search,
    scale,
    train,
    evaluate,
    cam,
    export,
    transfer,
    inherit,
    explain,
    diff,
    exponents,
    baselines,
    show,
    cost,
    latency,
    verify,
    lock,
    check,
    study,
    grids,
    spaces,
    studies,
    recipes,
    schema,
)
_BY_NAME = {command.__name__.replace("_", "-"): command for command in _COMMANDS} | {
    "search": search,
    "weights": weights,
}


UsageError: Any = typer.BadParameter.__bases__[0]  # what Typer raises where a command line is wrong


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"scalenet {__version__}")
        raise typer.Exit


def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Compound model scaling for ConvNets, after EfficientNet (Tan & Le 2019)."""


def application(wanted: str = "") -> typer.Typer:
    """Return the command line, with `wanted` alone where it is a command: the options of each take time to read."""
    found = typer.Typer(
        name="scalenet",
        help="Compound model scaling for ConvNets, after EfficientNet (Tan & Le 2019).",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST},
    )
    found.callback()(root)
    for name, command in _BY_NAME.items():
        if wanted not in _BY_NAME or wanted == name:
            if isinstance(command, typer.Typer):
                found.add_typer(command, name=name)
            else:
                found.command(name, cls=Command)(command)
    return found


app = application()


def main() -> None:
    """Run the command line and exit with the command's code; lost data make a success a failure, lost notes nothing."""
    gc.set_threshold(50_000)  # a large network is many small records without cycles: half the time went into looking
    streams = Streams()
    code = _run()
    lost = streams.lost()
    if lost is not None:
        note(f"scalenet: stdout cannot be written: {lost}")
    gc.freeze()  # nor is anything found in a last look for cycles, which takes seconds once torch is loaded
    sys.exit(code or (0 if lost is None else FAILED))


def _run() -> int:
    try:
        return application(*sys.argv[1:2])(prog_name="scalenet", standalone_mode=False) or 0
    except UsageError as error:
        context = error.ctx
        if context is not None and error.message == context.get_help():  # nothing was asked
            note_lines(error.message)
        else:
            note(f"scalenet: {error.format_message()}")
            note(f"  see `{context.command_path if context else 'scalenet'} --help`")
        return ASKED_WRONGLY
    except (typer.Abort, KeyboardInterrupt):
        note("scalenet: interrupted")
        return INTERRUPTED
