"""`scalenet weights`: weights of other libraries, in and out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalenet.arch.quantities import parse_size

from .errors import plain_errors
from .headings import Command
from .options import IMAGES, KEPT, Force, Json
from .output import emit, emit_json, note

if TYPE_CHECKING:
    from scalenet.exchange.exporting import ExportedWeights
    from scalenet.exchange.importing import ImportedWeights

app = typer.Typer(help="Take weights of other libraries, and give weights to them.", no_args_is_help=True)


@app.command("import", cls=Command)
@plain_errors
def import_(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Weights: .pth, .pt, .bin, .safetensors, or a folder with config.json."),
    ],
    library: Annotated[
        str, typer.Option("--from", metavar="torchvision|timm|huggingface|auto", help="The library they are of.")
    ] = "auto",
    name: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="NAME|FILE",
            help="The network's name there, its weights behind a dot (resnet50.IMAGENET1K_V2), or a config that "
            "describes it.  [default: what the tensors tell]",
        ),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Names of the classes, a line each.  [default: those known, or numbers]"),
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Input size: 224 or 511x513.", rich_help_panel=IMAGES)
    ] = None,
    crop: Annotated[
        float | None, typer.Option(help="Central share of the side to evaluate.", rich_help_panel=IMAGES)
    ] = None,
    interpolation: Annotated[
        str | None,
        typer.Option(metavar="bilinear|bicubic", help="How images are resampled.", rich_help_panel=IMAGES),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(metavar="R,G,B", help="Means of values between 0 and 1.", rich_help_panel=IMAGES),
    ] = None,
    std: Annotated[
        str | None, typer.Option(metavar="R,G,B", help="Standard deviations of them.", rich_help_panel=IMAGES)
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to write.", rich_help_panel=KEPT)
    ] = Path("runs/imported"),
    force: Force = False,
    json: Json = False,
) -> None:
    """Write weights of torchvision, timm or Hugging Face as a folder that `train --init` and `evaluate` take.

    \b
    scalenet weights import resnet50-11ad3fa6.pth -o runs/r50
    scalenet weights import model.safetensors --from timm --as tf_efficientnet_b0.ns_jft_in1k -o runs/b0
    """
    import scalenet

    found = scalenet.import_weights(
        file,
        output,
        library=library,
        name=name,
        classes=classes,
        size=None if size is None else parse_size(size),
        crop=crop,
        interpolation=interpolation,
        mean=None if mean is None else _colours(mean, "--mean"),
        std=None if std is None else _colours(std, "--std"),
        force=force,
        say=note,
    )
    _answer(found, json=json)


@app.command(cls=Command)
@plain_errors
def export(
    weights: Annotated[
        Path, typer.Argument(metavar="WEIGHTS", help="A file of weights, or the folder of a training or import.")
    ],
    to: Annotated[
        str, typer.Option("--to", metavar="torch|torchvision|timm|huggingface", help="What they are written for.")
    ] = "torch",
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to write.", rich_help_panel=KEPT)
    ] = Path("runs/exported"),
    force: Force = False,
    json: Json = False,
) -> None:
    """Write network and weights as files that need PyTorch alone, or as another library has them.

    Outputs of what is written are compared with ours, where that library is installed. One that cannot express the
    network is told in one line, with the first number that differs.

    \b
    scalenet weights export runs/flowers --to torch -o flowers
    scalenet weights export runs/flowers --to huggingface -o flowers_hub
    """
    import scalenet

    found = scalenet.export_weights(weights, output, to=to, force=force, say=note)
    _say_written(found, json=json)


def _say_written(found: ExportedWeights, *, json: bool) -> None:
    row = {**asdict(found), "folder": str(found.folder)}
    if json:
        emit_json({**row, "files": list(found.files)})
    else:
        emit([{**row, "files": " ".join(found.files)}], formats={"params": _count})


def _answer(found: ImportedWeights, *, json: bool) -> None:
    row = {key: value for key, value in asdict(found).items() if key != "preprocessing"}
    row |= {"folder": str(found.folder), "left_out": list(found.left_out), "doubts": list(found.doubts)}
    if json:
        emit_json({**row, "preprocessing": found.preprocessing.data()})
        return
    shown = ("folder", "network", "source", "params", "classes", "spread")
    emit([{key: row[key] for key in shown}], formats={"params": _count, "classes": _count})


def _colours(text: str, option: str) -> list[float]:
    """Return the three numbers of `0.485,0.456,0.406`."""
    from scalenet.arch.errors import ScalenetError

    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise ScalenetError(f"{option} {text!r} are not three numbers", hint="write 0.485,0.456,0.406") from None


def _count(value: Any) -> str:
    return f"{value:,}"
