"""`scalenet evaluate`: how good are trained weights on these images?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalenet.arch.quantities import parse_size
from scalenet.arch.words import percentage

from .errors import plain_errors
from .options import (
    IMAGES,
    OUTPUT,
    Device,
    Json,
    Layout,
    Strict,
    Workers,
    the_device,
    the_source,
    the_workers,
)
from .output import emit, emit_json, must_not_exist, note

if TYPE_CHECKING:
    from scalenet.training.scoring import Scores

PARTS = ("held-out", "all")


@plain_errors
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="A file of weights, or the folder of a training.")],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            envvar="SCALENET_DATA",
            help="Images as for `train`.  [default: embedded]",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    layout: Layout = None,
    part: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(PARTS),
            help="Which images.  [default: held-out where there are some]",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    resolution: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Input size instead of the training's: 224 or 511x513.", rich_help_panel=IMAGES
        ),
    ] = None,
    crop: Annotated[
        float | None,
        typer.Option(
            help="Central share of the side to evaluate.  [default: the recipe's test_crop]", rich_help_panel=IMAGES
        ),
    ] = None,
    per_class: Annotated[bool, typer.Option("--per-class", help="A line a class.", rich_help_panel=OUTPUT)] = False,
    confusion: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write which class was taken for which, as CSV.", rich_help_panel=OUTPUT),
    ] = None,
    strict: Strict = False,
    device: Device = None,
    workers: Workers = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the confusion file.", rich_help_panel=OUTPUT)] = False,
    json: Json = False,
) -> None:
    """Evaluate trained weights: top-1, top-5, loss, and the classes one by one."""
    from scalenet.training import runs
    from scalenet.training.checkpoint import read_trained

    _check(part, crop)
    if confusion is not None:
        must_not_exist(confusion, force=force)
    trained = read_trained(checkpoint)
    size = None if resolution is None else parse_size(resolution)
    source = the_source(data, layout, note)
    scores = runs.evaluate(
        trained,
        source,
        part=part,  # type: ignore[arg-type]
        resolution=(size, size) if isinstance(size, int) else size,
        test_crop=crop,
        strict=strict,
        device=the_device(device),
        workers=the_workers(workers),
        note=note,
    )
    classes = trained.about.plan.classes
    if confusion is not None:
        _write_confusion(confusion, scores, classes)
    for line in scores.doubts(classes):
        note(line)
    _answer(scores, classes, None if source is None else source.data(), per_class=per_class, json=json)


def _check(part: str | None, crop: float | None) -> None:
    from scalenet.arch.errors import ScalenetError, nearest

    if part is not None and part not in PARTS:
        raise ScalenetError(f"unknown --part {part!r}", hint=nearest(part, PARTS) or f"known: {', '.join(PARTS)}")
    if crop is not None and not 0 < crop <= 1:
        raise ScalenetError(f"--crop {crop:g} is no share of the side", hint="give a number above 0, up to 1")


def _write_confusion(path: Path, scores: Scores, classes: tuple[str, ...]) -> None:
    import csv
    import io

    from scalenet.arch.files import write_text

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class", *classes])
    writer.writerows([name, *row] for name, row in zip(classes, scores.confusion().tolist(), strict=True))
    write_text(path, text.getvalue())


def _answer(
    scores: Scores, classes: tuple[str, ...], found: dict[str, Any] | None, *, per_class: bool, json: bool
) -> None:
    whole = {"images": len(scores), **scores.figures()}
    if json:
        emit_json({**whole, "classes": _by_class(scores, classes), "found": found})
    else:
        rows = _by_class(scores, classes) if per_class else [whole]
        hidden = ("top5",) if scores.top5 is None else ()
        emit(rows, formats=dict.fromkeys(("top1", "top5", "precision"), percentage), hidden=hidden)


def _by_class(scores: Scores, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return a row a class: its images, how many of them are found, and how many of those taken for it are it."""
    counts = scores.confusion()
    rows = []
    for number, name in enumerate(classes):
        right, images, taken = (int(n) for n in (counts[number, number], counts[number].sum(), counts[:, number].sum()))
        rows.append(
            {
                "class": name,
                "images": images,
                "top1": round(right / images, 6) if images else None,
                "precision": round(right / taken, 6) if taken else None,
            }
        )
    return rows
