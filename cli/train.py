"""`scalenet train`: train a network on images, or go on from trained weights on other images."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalenet.arch.words import percentage

from .errors import plain_errors
from .options import (
    IMAGES,
    KEPT,
    MACHINE,
    OUTPUT,
    TRAINING,
    BatchSize,
    Changes,
    Device,
    Epochs,
    Json,
    Layout,
    LearningRate,
    RecipeName,
    ResolutionText,
    Strict,
    Target,
    Workers,
    check_folder,
    the_source,
)
from .output import emit, emit_json, emit_line, note, progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scalenet.training.progress import Progress
    from scalenet.training.sources import Source


@plain_errors
def train(
    target: Target,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            envvar="SCALENET_DATA",
            help="Class folders, train/ and val/ with them, tar shards, or CIFAR's binary files. Repeatable: one "
            "training each.  [default: embedded]",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    recipe: RecipeName = None,
    changes: Changes = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    resolution: ResolutionText = None,
    init: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT",
            help="Start from these weights; other classes get a new head.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=2, help="Train on this many images only, drawn by --seed.", rich_help_panel=IMAGES)
    ] = None,
    held_out: Annotated[
        float, typer.Option(help="Share to hold out where the data have no held-out images.", rich_help_panel=IMAGES)
    ] = 0.1,
    layout: Layout = None,
    cache: Annotated[
        str,
        typer.Option(metavar="auto|memory|none", help="Decode once into memory, or each time.", rich_help_panel=IMAGES),
    ] = "auto",
    strict: Strict = False,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31, help="Seed of all random numbers.", rich_help_panel=TRAINING)
    ] = 0,
    device: Device = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of the CPU.  [default: torch's]", rich_help_panel=MACHINE)
    ] = None,
    workers: Workers = None,
    checkpoint_every: Annotated[
        int,
        typer.Option(
            min=1, metavar="STEPS", help="Steps between checkpoints; each epoch has one too.", rich_help_panel=KEPT
        ),
    ] = 1000,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the training.", rich_help_panel=KEPT)
    ] = Path("runs/train"),
    force: Annotated[
        bool, typer.Option("--force", help="Discard another training in the folder.", rich_help_panel=KEPT)
    ] = False,
    json: Json = False,
    json_lines: Annotated[
        bool,
        typer.Option(
            "--json-lines",
            help="Write a line of JSON after each epoch and at the end, as grid-search --evaluate reads.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
) -> None:
    """Train a network as a recipe says: the paper's, unless another is named; `finetune` with --init.

    The same command goes on where it stopped. `torchrun --no-python --nproc-per-node 2 scalenet train …` trains with
    several processes. With --json-lines a training that diverges has the accuracy null, and is no failure.

    \b
    scalenet train resnet18 --data photos --recipe small_images -o runs/photos
    scalenet train resnet18 --init runs/photos --data others -o runs/others
    """
    from scalenet.arch.errors import ScalenetError
    from scalenet.arch.quantities import parse_size
    from scalenet.scaling.scaler import load
    from scalenet.training.checkpoint import read_trained
    from scalenet.training.devices import usable_device
    from scalenet.training.distributed import world

    if json and json_lines:
        raise ScalenetError("--json and --json-lines exclude each other", hint="give one of them")
    folders = _folders(output, data)
    asked = {
        "recipe": recipe,
        "changes": [*os.environ.get("SCALENET_SET", "").split(), *(changes or [])],
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "resolution": None if resolution is None else parse_size(resolution),
        "images": images,
        "held_out": held_out,
        "cache": cache,
        "strict": strict,
        "seed": seed,
        "device": device,
        "threads": threads,
        "workers": workers,
        "checkpoint_every": checkpoint_every,
        "force": force,
    }
    with world(usable_device(device)) as here:
        speak = note if here.leads else _silent
        # All that may be asked wrongly is looked at before anything is trained or discarded.
        sources = {folder: the_source(directory, layout, speak) for folder, directory in folders.items()}
        weights = None if init is None else read_trained(init)
        rows = [
            _train(target, source, folder, init=weights, leads=here.leads, lines=json_lines, say=speak, **asked)
            for folder, source in sources.items()
        ]
    if here.leads:
        _answer(rows, load(target).name, json=json, lines=json_lines)


def _folders(output: Path, data: list[Path] | None) -> dict[Path, Path | None]:
    """Return the folder of each training: the output itself, or one below it for each of several data sets."""
    from scalenet.arch.errors import ScalenetError

    check_folder(output)
    if data is None or len(data) < 2:
        return {output: data[0] if data else None}
    found: dict[Path, Path | None] = {output / directory.resolve().name: directory for directory in data}
    if len(found) < len(data):
        raise ScalenetError("two --data have the same name", hint="train them one by one, each with its own -o")
    return found


def _train(
    target: str,
    source: Source | None,
    folder: Path,
    *,
    leads: bool,
    lines: bool,
    say: Callable[[str], None],
    **asked: Any,
) -> dict[str, Any]:
    """Train in the folder, and return the row of the results."""
    import scalenet
    from scalenet.training.progress import DivergedError
    from scalenet.training.runs import EMBEDDED

    with _bar("reading images", shown=leads) as update:
        try:
            result = scalenet.train(
                target,
                source,
                folder=folder,
                command=shlex.join(["scalenet", *sys.argv[1:]]),
                say=say,
                read=lambda done, total: update(completed=done, total=total),
                progress=lambda progress: _show(progress, update),
                epoch=_report if lines else None,
                **asked,
            )
        except KeyboardInterrupt:
            note(f"stopped; the same command goes on from the newest checkpoint in {folder}")
            raise
        except DivergedError as error:
            if not lines:
                raise
            note(str(error))
            name, found = (EMBEDDED, None) if source is None else (source.name, source.data())
            return {"data": name, "top1": None, "loss": None, "found": found}
    return {key: value for key, value in asdict(result).items() if key != "folder"}


def _show(progress: Progress, update: Callable[..., None]) -> None:
    speed = progress.images / progress.seconds
    text = f"epoch {progress.epoch} of {progress.epochs}, loss {progress.loss:.3f}, {speed:.0f} images/s"
    update(completed=progress.step, total=progress.steps, description=text)


@contextmanager
def _bar(text: str, *, shown: bool) -> Iterator[Callable[..., None]]:
    """Show a bar, and yield what moves it."""
    with progress(shown=shown) as bar:
        task = bar.add_task(text, total=None)
        yield lambda **values: bar.update(task, **values)


def _silent(_: object) -> None:
    pass


def _report(record: dict[str, float]) -> None:
    """Write an epoch's number, and its held-out accuracy where it has one."""
    held_out = {"accuracy": record["held_out_top1"]} if "held_out_top1" in record else {}
    emit_line({"epoch": record["epoch"], **held_out})


def _answer(rows: list[dict[str, Any]], name: str, *, json: bool, lines: bool) -> None:
    plain = [{key: value for key, value in row.items() if key != "found"} for row in rows]
    if lines:
        for row in plain:
            emit_line({"accuracy": row["top1"], **row})
        return
    formats = {"top1": percentage, "top5": percentage}
    hidden = ["best_epoch", "statistics_images"]
    if all(row.get("top5") is None for row in rows):
        hidden.append("top5")
    if not any(row.get("seen") for row in rows):
        hidden.append("seen")
    emit_json(rows) if json else emit(plain, title=name, formats=formats, hidden=hidden)
