"""`scalenet study`: is it so? The paper's comparisons on one's own network and images."""

from __future__ import annotations

import os
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalenet.search.request import EMBEDDED_BASE, TRAIN, Request

from .errors import INTERRUPTED, plain_errors
from .headings import under
from .options import IMAGES, KEPT, MACHINE, OUTPUT, TRAINING, Changes, Json, Layout, RecipeName, Storage, Strict
from .output import emit, emit_json, note
from .search_report import FORMATS, bars

if TYPE_CHECKING:
    from scalenet.studies.study import Study

JUDGED = "How a network is judged"
_what = partial(typer.Option, rich_help_panel="What is compared")
_judged = partial(typer.Option, rich_help_panel=JUDGED)
_long = partial(typer.Option, rich_help_panel="How much is trained")
_here = partial(typer.Option, rich_help_panel=MACHINE)
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
    data: Annotated[
        Path | None,
        _judged(
            metavar="DIR",
            envvar="SCALENET_DATA",
            help="Folder of class folders, of train/ and val/, of shards.  [default: embedded]",
        ),
    ] = None,
    images: Annotated[int | None, _judged(min=2, help="Train on this many images only, drawn by --seed.")] = None,
    held_out: Annotated[
        float | None, _judged(help="Share to hold out where the data have no held-out images.  [default: 0.1]")
    ] = None,
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
    rates: Annotated[
        str | None,
        _judged(
            metavar="RATES",
            help="Learning rates that the pilot tries: 0.01,0.03,0.1.  [default: three around the recipe's]",
        ),
    ] = None,
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
    workers: Annotated[
        int | None,
        _here(min=1, envvar="SCALENET_WORKERS", help="Trainings at a time here.  [default: one a core or GPU]"),
    ] = None,
    threads: Annotated[int, _here(min=1, help="Threads of each training.")] = Request.threads,
    device: Annotated[
        str | None,
        _here(envvar="SCALENET_DEVICE", help="cpu, cuda, cuda:1, or cuda:0,cuda:2.  [default: cuda if there is one]"),
    ] = None,
    output: Annotated[Path, _kept("--output", "-o", metavar="DIR", help="Folder of the study.")] = Path("runs/study"),
    storage: Storage = None,
    name: Annotated[
        str | None, _kept("--name", help="Name of the study in --storage.  [default: the folder's]")
    ] = None,
    grace: Annotated[
        int, _kept(min=1, help="Seconds without a sign of life after which a worker counts as dead.")
    ] = Request.grace,
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
    given = locals()
    for option in ("recipe", "data"):  # those of the environment are meant for all trainings of scalenet's own
        if evaluate != TRAIN and str(given[option]) == os.environ.get(f"SCALENET_{option.upper()}"):
            given[option] = None
    if evaluate == TRAIN:
        given["changes"] = [*os.environ.get("SCALENET_SET", "").split(), *(changes or [])]
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
