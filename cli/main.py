"""The `scalenet` command: one file a command; nothing heavy is imported before a command runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from scalenet._version import __version__

from .baselines import baselines
from .check import check
from .cost import cost
from .diff import diff
from .evaluate import evaluate
from .explain import explain
from .exponents import exponents
from .grid_search import grid_search
from .grids import grids
from .latency import latency
from .lock import lock
from .recipes import recipes
from .scale import scale
from .schema import schema
from .search import app as search
from .show import show
from .train import train
from .verify import verify

app = typer.Typer(
    name="scalenet",
    help="Compound model scaling for ConvNets, after EfficientNet (Tan & Le 2019).",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS = (
    grid_search,
    scale,
    train,
    evaluate,
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
    grids,
    recipes,
    schema,
)
for _command in _COMMANDS:
    app.command()(_command)
app.add_typer(search, name="search")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"scalenet {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Compound model scaling for ConvNets, after EfficientNet (Tan & Le 2019)."""


def main() -> None:
    """Run the command line; a reader that has enough of its output, as `head` has, is no error."""
    try:
        app()
    except SystemExit as end:
        sys.exit(0 if isinstance(end.__context__, BrokenPipeError) else end.code)
