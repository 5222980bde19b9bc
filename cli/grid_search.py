"""`scalenet grid-search`: STEP 1, which α, β, γ are best for this network on these images?"""

from __future__ import annotations

from dataclasses import fields
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalenet.search.request import EMBEDDED_BASE, FOLDER, TRAIN, Request

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
    SearchName,
    Storage,
    Strict,
    Threads,
    Trainings,
    with_environment,
)
from .output import emit_json, note
from .search_report import emit_answer, emit_candidates, watch

if TYPE_CHECKING:
    from scalenet.search.search import Search

JUDGED = "How a candidate is judged"
_what = partial(typer.Option, rich_help_panel="What is searched")
_judged = partial(typer.Option, rich_help_panel=JUDGED)
_long = partial(typer.Option, rich_help_panel="How much is trained")
_wins = partial(typer.Option, rich_help_panel="What wins")
_kept = partial(typer.Option, rich_help_panel=KEPT)
_output = partial(typer.Option, rich_help_panel=OUTPUT)


class GoalName(StrEnum):
    """What candidates are ranked by."""

    accuracy = "accuracy"
    accuracy_flops = "accuracy-flops"


@plain_errors
@under({IMAGES: JUDGED, TRAINING: JUDGED})
def grid_search(
    base: Annotated[str, _what(metavar="NAME|FILE", help="The baseline whose α, β, γ are wanted.")] = EMBEDDED_BASE,
    grid: Annotated[
        str | None,
        _what(metavar="NAME|FILE", help="Grid of α, β, γ: see `scalenet grids`.  [default: small or shares]"),
    ] = None,
    resolution: Annotated[
        str | None, _what(metavar="SIZE", help="Input size of the baseline, instead of its own: 32.")
    ] = None,
    max_params: Annotated[
        str | None, _what(metavar="AMOUNT", help="Drop candidates with more parameters: 5M, or 1.5x.")
    ] = None,
    max_activations: Annotated[
        str | None, _what(metavar="AMOUNT", help="Drop candidates with more activations: 10M, or 2x.")
    ] = None,
    max_latency: Annotated[
        str | None, _what(metavar="TIME", help="Drop candidates that are slower here at batch 1: 30ms.")
    ] = None,
    evaluate: Annotated[
        str,
        _judged(
            metavar="HOW",
            help="What says how accurate a candidate is: train, table:FILE.csv, package.module:function, or a command: "
            "'python my_train.py --config {config} --epochs {budget} --seed {seed}'.",
        ),
    ] = TRAIN,
    data: Data = None,
    images: FewImages = None,
    held_out: HeldOut = None,
    folds: Annotated[
        int | None, _judged(min=2, help="Hold every image out once instead, by so many seeds: each has its own fold.")
    ] = None,
    layout: Layout = None,
    strict: Strict = False,
    classes: Annotated[
        int | None, _judged(min=1, help="Classes of the baseline, where --evaluate has the images.")
    ] = None,
    recipe: RecipeName = None,
    changes: Changes = None,
    batch_size: Annotated[int | None, _judged(min=2, help="Images a step.  [default: the recipe's]")] = None,
    learning_rate: Annotated[
        float | None, _judged(help="Peak learning rate, or {learning_rate}.  [default: what a pilot finds]")
    ] = None,
    rates: Rates = None,
    epochs: Annotated[
        int | None, _long(min=1, help="Epochs of a training to the end, or {budget}.  [default: the recipe's]")
    ] = None,
    seeds: Annotated[int, _long(min=1, help="Seeds of each candidate that is trained to the end.")] = Request.seeds,
    seed: Annotated[
        int, _long(min=0, max=2**31, help="First seed; also draws the held-out images of a folder.")
    ] = Request.seed,
    halving: Annotated[
        int | None,
        _long(
            min=1,
            help="Train so many times fewer candidates in each rung, for so many times longer; 1: all to the end.  "
            "[default: a race, or 1 where that saves nothing]",
        ),
    ] = None,
    spend: Annotated[
        float | None,
        _long(
            metavar="SHARE",
            help="Train this share of what all candidates to the end take.  [default: 0.35, or 18 to the end]",
        ),
    ] = None,
    within: Annotated[
        float | None,
        _long(metavar="POINTS", help="Stop once no candidate can be better than the best by more points than this."),
    ] = None,
    time_limit: Annotated[
        str | None, _long(metavar="TIME", help="Train for about so long, and as many epochs as that holds: 15min.")
    ] = None,
    objective: Annotated[
        GoalName, _wins(help="What to rank by; accuracy-flops: accuracy × (FLOPs / target)^-0.07.")
    ] = GoalName.accuracy,
    proxies: Annotated[
        bool, _wins("--proxies", help="Training-free scores too (synflow, NASWOT, Zen), and how they rank.")
    ] = False,
    workers: Trainings = None,
    threads: Threads = Request.threads,
    device: Devices = None,
    keep_models: KeepModels = False,
    output: Annotated[Path, _kept("--output", "-o", metavar="DIR", help="Folder of the search.")] = FOLDER,
    storage: Storage = None,
    name: SearchName = None,
    grace: Grace = Request.grace,
    force: Annotated[bool, _kept("--force", help="Discard another search in the folder.")] = False,
    begin: Annotated[
        bool, _kept("--begin", help="Begin the search and train nothing: `search workers` starts jobs that do.")
    ] = False,
    dry_run: Annotated[
        bool, _output("--dry-run", help="List the candidates, their costs, and about how long it takes; train nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Find α, β, γ for a baseline by training the candidates of a grid (STEP 1).

    Without arguments: a small network on rendered images, a few minutes. The same command goes on where it stopped;
    with one --storage for all, each machine that starts it takes part.

    \b
    scalenet grid-search --base mobilenet_v2 --resolution 64 --data photos --epochs 30 -o runs/photos
    scalenet grid-search --base mobilenet_v2 --resolution 64 --data photos --dry-run
    scalenet search status runs/photos
    """
    given = with_environment(locals())
    given["objective"] = objective.value
    search = asked_for(given)
    if dry_run:
        emit_candidates(search, json=json)
    elif begin:
        search.begin(say=note)
        note(f"begun; {search.command('workers', '--launch', 'slurm')} starts jobs that train")
        if json:
            emit_json(search.status().data())
    else:
        run(search, json=json)


def asked_for(given: dict[str, Any]) -> Search:
    """Return the search that the options ask for, and say what lies in the data and how many candidates there are."""
    from scalenet.search.calls import grid_search as ask

    options = {field.name: given[field.name] for field in fields(Request)}
    return ask(
        **options, folder=given["output"], storage=given["storage"], name=given["name"], force=given["force"], say=note
    )


def run(search: Search, *, json: bool, **here: Any) -> None:
    """Train what is left of a search, with a process for each worker, and say what was found."""
    with watch() as ears:
        search.run(**here, apart=True, **ears)
    finish(search, json=json)


def finish(search: Search, *, json: bool) -> None:
    """Say what a search found; one that was asked to stop ends as on Ctrl-C."""
    if not search.status().finished:
        raise typer.Exit(INTERRUPTED)
    emit_answer(search, json=json)
