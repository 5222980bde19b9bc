"""`scalenet transfer`: how good do trained models become on other images?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scalenet.arch.words import count, percentage, times

from .errors import plain_errors
from .options import IMAGES, KEPT, TRAINING, BatchSize, Changes, Device, Epochs, Json, RecipeName, Workers
from .output import emit, emit_json, note, points

if TYPE_CHECKING:
    from scalenet.studies.transfer import Transfers


@plain_errors
def transfer(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER…", help="Trainings, imports or weights; the first is the reference."),
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Images as for `train`. Repeatable.", rich_help_panel=IMAGES),
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=20, help="Train on this many images of each only.", rich_help_panel=IMAGES)
    ] = None,
    held_out: Annotated[
        float, typer.Option(help="Share to hold out where the data have no held-out images.", rich_help_panel=IMAGES)
    ] = 0.1,
    recipe: RecipeName = None,
    changes: Changes = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rates: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,…",
            help="Learning rates to choose from.  [default: a third, once and three times the recipe's]",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    weight_decays: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,…",
            help="Weight decays to choose from.  [default: once and ten times the recipe's]",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings with what was chosen.", rich_help_panel=TRAINING)] = 3,
    device: Device = None,
    workers: Workers = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of all trainings.", rich_help_panel=KEPT)
    ] = Path("runs/transfer"),
    force: Annotated[bool, typer.Option("--force", help="Forget what the folder knows.", rich_help_panel=KEPT)] = False,
    json: Json = False,
) -> None:
    """Fine-tune models on other images, each at rates chosen for it, and compare them (paper, section 5.3).

    The same command goes on where it stopped.

    \b
    scalenet transfer runs/b0 runs/b1 --data pets --data cars -o runs/transfer
    """
    import scalenet

    try:
        found = scalenet.transfer(
            models,
            data or [],
            folder=output,
            recipe=recipe or "finetune",
            changes=[*os.environ.get("SCALENET_SET", "").split(), *(changes or [])],
            epochs=epochs,
            batch_size=batch_size,
            learning_rates=_numbers(learning_rates, "--learning-rates"),
            weight_decays=_numbers(weight_decays, "--weight-decays"),
            seeds=seeds,
            images=images,
            held_out=held_out,
            device=device,
            workers=workers,
            force=force,
            say=note,
        )
    except KeyboardInterrupt:
        note(f"stopped; the same command goes on in {output}")
        raise
    written = found.save(output)
    note(f"{', '.join(file.name for file in written)} in {output}")
    _answer(found, json=json)


def _numbers(text: str | None, option: str) -> list[float] | None:
    from scalenet.arch.errors import ScalenetError

    if text is None:
        return None
    try:
        found = [float(one) for one in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 <= one < float("inf") for one in found):
        raise ScalenetError(f"{option} {text!r} are no numbers", hint="write them with commas: 0.01,0.03")
    return found


def _answer(found: Transfers, *, json: bool) -> None:
    if json:
        emit_json({"models": found.means(), "rows": found.table(), "trainings": list(found.trainings)})
        return
    shares = ("accuracy", "interval", "gain_interval")
    ratios = {"params": count, "params_ratio": times, "flops_ratio": times}
    formats = dict.fromkeys(shares, percentage) | {"gain": points} | ratios
    hidden = ("seeds", "flops") if any(found.seen.values()) else ("seeds", "flops", "seen")
    emit(found.table(), formats=formats, hidden=hidden, caption=_CAPTION)
    first, *others = found.means()
    for row in others:
        what = f"the errors of {first['model']} (geometric mean over data sets)"
        note(f"{row['model']}: {times(row['error_ratio'])} {what} with {times(1 / row['smaller'])} its parameters")


_CAPTION = (
    "top-1 on held-out images, ± its 95 % interval over seeds; gain: the difference to the first model with the same "
    "seeds. Parameters without the classifier; ratios are the first model's over this one's."
)
