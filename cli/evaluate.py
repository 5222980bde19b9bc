"""`scalenet evaluate`: how good are trained weights on these images?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    the_source,
)
from .output import emit, emit_json, must_not_exist, note

if TYPE_CHECKING:
    from scalenet.training.scoring import Evaluation


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
            metavar="held-out|all",
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
    import scalenet

    if confusion is not None:
        must_not_exist(confusion, force=force)
    found = scalenet.evaluate(
        checkpoint,
        the_source(data, layout, note),
        part=part,  # type: ignore[arg-type]
        resolution=None if resolution is None else parse_size(resolution),
        crop=crop,
        strict=strict,
        device=device,
        workers=workers,
        say=note,
    )
    if confusion is not None:
        _write_confusion(confusion, found)
    _answer(found, per_class=per_class, json=json)


def _write_confusion(path: Path, found: Evaluation) -> None:
    from scalenet.arch.files import write_text

    write_text(path, found.confusion().to_csv(index_label="class", lineterminator="\n"))


def _answer(found: Evaluation, *, per_class: bool, json: bool) -> None:
    whole = {"images": len(found), **found.figures()}
    if json:
        emit_json({**whole, "classes": found.by_class(), "found": found.found, "remarks": [*found.remarks]})
    else:
        rows = found.by_class() if per_class else [whole]
        hidden = ("top5",) if found.top5 is None else ()
        emit(rows, formats=dict.fromkeys(("top1", "top5", "precision"), percentage), hidden=hidden)
