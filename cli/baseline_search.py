"""`scalenet baseline-search`: the best member of a space at a cost, by training."""

from __future__ import annotations

from dataclasses import fields
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalenet.arch.convention import CONVENTION
from scalenet.search.baseline.request import FOLDER, BaselineRequest
from scalenet.search.request import TRAIN

from .errors import INTERRUPTED, plain_errors
from .options import (
    IMAGES,
    KEPT,
    OUTPUT,
    TRAINING,
    BatchSize,
    Changes,
    Data,
    Devices,
    FewImages,
    Force,
    Grace,
    HeldOut,
    Json,
    KeepModels,
    Layout,
    LearningRate,
    RecipeName,
    ResolutionText,
    SearchName,
    Storage,
    Strict,
    Threads,
    Trainings,
    with_environment,
)
from .output import emit, emit_json, note
from .search_report import FORMATS, emit_baseline, watch

if TYPE_CHECKING:
    from scalenet.search.baseline.hunting import BaselineSearch

_what = partial(typer.Option, rich_help_panel="What is searched")
_judged = partial(typer.Option, rich_help_panel=IMAGES)
_long = partial(typer.Option, rich_help_panel=TRAINING)
_kept = partial(typer.Option, rich_help_panel=KEPT)


class ObjectiveName(StrEnum):
    """What members are ranked by."""

    accuracy = "accuracy"
    paper = "paper"


@plain_errors
def baseline_search(
    space: Annotated[
        str, _what(metavar="NAME|FILE", help="Networks to choose from: see `scalenet spaces`.")
    ] = "small_images",
    flops: Annotated[
        str | None, _what(metavar="BAND", help="What all members cost: 400M±2%, 300M..400M, or 400M (within 2 %).")
    ] = None,
    params: Annotated[str | None, _what(metavar="AMOUNT", help="At most so many parameters: 5M, or 4M..5M.")] = None,
    memory: Annotated[
        str | None, _what(metavar="BYTES", help="At most so much memory of inference at batch 1: 64MiB.")
    ] = None,
    latency: Annotated[
        str | None, _what(metavar="TIME", help="At most so long, by the table of --latencies: 12ms, or 10ms..12ms.")
    ] = None,
    latencies: Annotated[
        Path | None,
        _what(metavar="FILE", help="What the space's blocks take on a device: `scalenet latency --space` writes it."),
    ] = None,
    resolution: ResolutionText = None,
    method: Annotated[
        str,
        _what(
            metavar="METHOD",
            help="What proposes members after the first, random ones: mixture (of evolution and predictor), evolution, "
            "predictor, random, or a sampler of Optuna: optuna:TPESampler.",
        ),
    ] = BaselineRequest.method,
    objective: Annotated[
        ObjectiveName, _what(help="What to rank by; paper: accuracy × (FLOPs / target)^-0.07.")
    ] = ObjectiveName.accuracy,
    data: Data = None,
    images: FewImages = None,
    held_out: HeldOut = None,
    layout: Layout = None,
    strict: Strict = False,
    evaluate: Annotated[
        str,
        _judged(
            metavar="HOW",
            help="What says how accurate a member is: train, package.module:function, or a command: "
            "'python my_train.py --config {config} --epochs {budget} --seed {seed}'.",
        ),
    ] = TRAIN,
    classes: Annotated[int | None, _judged(min=1, help="Classes, where --evaluate has the images.")] = None,
    recipe: RecipeName = None,
    changes: Changes = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    epochs: Annotated[
        int | None, _long(min=2, help="Epochs of a training to the end, or {budget}.  [default: the recipe's]")
    ] = None,
    trials: Annotated[
        int | None,
        _long(min=5, help="Members that get a short training.  [default: 50, or what the time holds]"),
    ] = None,
    seeds: Annotated[int, _long(min=1, help="Seeds of the finalists, at least.")] = BaselineRequest.seeds,
    seed: Annotated[
        int, _long(min=0, max=2**31, help="First seed; also draws members and held-out images.")
    ] = BaselineRequest.seed,
    time_limit: Annotated[
        str | None, _long(metavar="TIME", help="Train for about so long, and as many epochs as that holds: 8h.")
    ] = None,
    workers: Trainings = None,
    threads: Threads = BaselineRequest.threads,
    device: Devices = None,
    keep_models: KeepModels = False,
    output: Annotated[Path, _kept("--output", "-o", metavar="DIR", help="Folder of the search.")] = FOLDER,
    storage: Storage = None,
    name: SearchName = None,
    grace: Grace = BaselineRequest.grace,
    force: Force = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Say how many members there are and list some; train nothing.", rich_help_panel=OUTPUT
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Find a baseline: the best member of a space at a cost, by training (section 4 of the paper).

    Random members first, as a control; then a method proposes others, and the best are trained to the end with several
    seeds. The same command goes on where it stopped; with one --storage for all, each machine that starts it takes
    part. The answer is DIR/baseline.yaml.

    \b
    scalenet baseline-search --space mnasnet --flops 400M±2% --data photos --time-limit 8h -o runs/baseline
    scalenet baseline-search --flops 5M --data photos --dry-run
    scalenet grid-search --base runs/baseline/baseline.yaml --data photos
    """
    given = with_environment(locals())
    given |= {"objective": objective.value}
    from scalenet.search.baseline.calls import baseline_search as ask

    options: dict[str, Any] = {field.name: given[field.name] for field in fields(BaselineRequest)}
    search = ask(**options, folder=output, storage=storage, name=name, force=force, say=note)
    if dry_run:
        _emit_sample(search, json=json)
        return
    with watch() as ears:
        search.run(apart=True, say=ears["say"], bar=ears["bar"])
    if not search.status().finished:
        raise typer.Exit(INTERRUPTED)  # a stopped search is no answer
    emit_baseline(search, json=json)


def _emit_sample(search: BaselineSearch, *, json: bool) -> None:
    """Write some members of the band; nothing is trained."""
    rows = search.sample()
    emit_json(rows) if json else emit(rows, caption=f"FLOPs: {CONVENTION}", formats=FORMATS)
