"""`scalenet study`: is it so? The paper's comparisons on one's own network and images."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalenet.search.request import EMBEDDED_BASE, TRAIN, Request

from .errors import INTERRUPTED, plain_errors
from .headings import under
from .options import (
    IMAGES,
    KEPT,
    OUTPUT,
    TRAINING,
    Changes,
    Data,
    Devices,
    FewImages,
    Grace,
    HeldOut,
    Json,
    KeepModels,
    Layout,
    Rates,
    RecipeName,
    Storage,
    Strict,
    Threads,
    Trainings,
    with_environment,
)
from .output import emit, emit_json, note
from .search_report import FORMATS, bars

if TYPE_CHECKING:
    from scalenet.studies.study import Study

JUDGED = "How a network is judged"
_what = partial(typer.Option, rich_help_panel="What is compared")
_judged = partial(typer.Option, rich_help_panel=JUDGED)
_long = partial(typer.Option, rich_help_panel="How much is trained")
_kept = partial(typer.Option, rich_help_panel=KEPT)
_output = partial(typer.Option, rich_help_panel=OUTPUT)

_FORMATS = FORMATS | {"cost": lambda value: f"{value:g}×", "latency": lambda value: f"{1000 * value:.2f} ms"}


@plain_errors
@under({IMAGES: JUDGED, TRAINING: JUDGED})
def study(
    name_or_file: Annotated[str, typer.Argument(metavar="NAME|FILE", help="What is compared: see `scalenet studies`.")],
    base: Annotated[str, _what(metavar="NAME|FILE", help="The baseline that grows.")] = EMBEDDED_BASE,
    resolution: Annotated[
        str | None, _what(metavar="SIZE", help="Input size of the baseline, instead of its own: 32.")
    ] = None,
    coefficients: Annotated[
        Path | None, _what(metavar="FILE", help="α, β, γ that a search found, compared as the series `found`.")
    ] = None,
    upsample: Annotated[
        bool, _what("--upsample", help="Let networks see more pixels than the images have: these are blown up.")
    ] = False,
    data: Data = None,
    images: FewImages = None,
    held_out: HeldOut = None,
    layout: Layout = None,
    strict: Strict = False,
    evaluate: Annotated[
        str,
        _judged(
            metavar="HOW",
            help="What says how accurate a network is: train, table:FILE.csv, package.module:function, or a command.",
        ),
    ] = TRAIN,
    classes: Annotated[
        int | None, _judged(min=1, help="Classes of the baseline, where --evaluate has the images.")
    ] = None,
    recipe: RecipeName = None,
    changes: Changes = None,
    batch_size: Annotated[int | None, _judged(min=2, help="Images a step.  [default: the recipe's]")] = None,
    learning_rate: Annotated[
        float | None, _judged(help="Peak learning rate of all networks.  [default: what a pilot finds]")
    ] = None,
    rates: Rates = None,
    epochs: Annotated[
        int | None, _long(min=1, help="Epochs of each training, or {budget}.  [default: the recipe's]")
    ] = None,
    seeds: Annotated[int, _long(min=1, help="Seeds of each network.")] = 3,
    seed: Annotated[
        int, _long(min=0, max=2**31, help="First seed; also draws the held-out images of a folder.")
    ] = Request.seed,
    time_limit: Annotated[
        str | None, _long(metavar="TIME", help="Train for so many epochs as fit into about so long: 30min.")
    ] = None,
    workers: Trainings = None,
    threads: Threads = Request.threads,
    device: Devices = None,
    keep_models: KeepModels = False,
    output: Annotated[Path, _kept("--output", "-o", metavar="DIR", help="Folder of the study.")] = Path("runs/study"),
    storage: Storage = None,
    name: Annotated[
        str | None, _kept("--name", help="Name of the study in --storage.  [default: the folder's]")
    ] = None,
    grace: Grace = Request.grace,
    force: Annotated[bool, _kept("--force", help="Discard another study in the folder.")] = False,
    dry_run: Annotated[
        bool, _output("--dry-run", help="List the networks, their costs, and about how long it takes; train nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Compare networks at equal FLOPs as the paper does, and say what can be told apart.

    The same command goes on where it stopped; --seeds 5 after --seeds 3 adds two. The report, tables (CSV, LaTeX) and
    figures (PDF, SVG, PNG) lie in the folder.

    \b
    scalenet study methods --base mobilenet_v2 --resolution 64 --data photos --time-limit 8h -o runs/methods
    scalenet study single-dimension --data photos --resolution 16 --dry-run
    """
    given = with_environment(locals())
    found = _asked_for(given)
    if dry_run:
        for line in found.expected():
            note(line)
        _emit(found.points(), json=json)
        return
    with bars() as bar:
        found.run(apart=True, say=note, bar=bar)
    if not found.finished:
        raise typer.Exit(INTERRUPTED)
    if json:
        emit_json(found.data())
        return
    _emit(found.findings().rows())
    for line in found.sentences():
        note(line)


def _asked_for(given: dict[str, Any]) -> Study:
    """Return the study that the options ask for, and say what lies in the data and how many networks there are."""
    from scalenet.studies.calls import study as ask

    known = {field.name for field in fields(Request)}
    own = ("coefficients", "upsample", "storage", "name", "force")
    options = {key: value for key, value in given.items() if key in known or key in own}
    options = {key: value for key, value in options.items() if key not in _OF_SEARCHES}
    return ask(given["name_or_file"], **options, folder=given["output"], say=note)


_OF_SEARCHES = ("grid", "folds", "objective", "halving", "spend", "within", "proxies")


def _emit(rows: list[dict[str, Any]], *, json: bool = False) -> None:
    """Write a row a point, without the columns in which nothing stands."""
    from scalenet.arch.convention import CONVENTION

    if json:
        emit_json(rows)
        return
    empty = [name for name in rows[0] if all(row[name] in (None, 0) for row in rows)]
    hidden = ("network", "met", "flops", "loss", *empty)
    emit(rows, caption=f"FLOPs: {CONVENTION}", formats=_FORMATS, hidden=hidden)
