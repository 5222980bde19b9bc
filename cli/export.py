"""`scalenet export`: a network as a file for a runtime."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalenet.arch.words import percentage, seconds_text, times

from .errors import plain_errors
from .options import IMAGES, KEPT, Force, Json, Layout, Workers
from .output import emit, emit_json, note

if TYPE_CHECKING:
    from scalenet.exchange.runtimes.calls import Exported, ExportedFile


@plain_errors
def export(
    target: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|FILE|NAME", help="Trained weights, or a YAML file or name, whose weights are drawn."
        ),
    ],
    to: Annotated[str, typer.Option("--to", metavar="onnx|torch-export", help="What it is written as.")] = "onnx",
    dynamic: Annotated[
        str, typer.Option(metavar="batch|size|batch,size|none", help="Axes of the images that are free.")
    ] = "batch",
    opset: Annotated[
        int | None, typer.Option(help="Version of ONNX's operators, 18 or later.  [default: the exporter's]")
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Write a second ONNX file in eight bits too, and measure both.")
    ] = False,
    calibrate: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|embedded",
            help="Images of --int8, as for `train`: ranges by some, accuracies on those held out.",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    layout: Layout = None,
    workers: Workers = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE|DIR", help="What to write.", rich_help_panel=KEPT)
    ] = Path("runs/exported"),
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a network as ONNX, or as a program of torch.export, once its outputs are those of PyTorch.

    \b
    scalenet export runs/flowers --to onnx -o flowers.onnx
    scalenet export runs/flowers --int8 --calibrate flowers -o exported
    """
    import scalenet

    found = scalenet.export(
        target,
        output,
        to=to,
        dynamic=dynamic,
        opset=opset,
        int8=int8,
        calibrate=calibrate,
        layout=layout,  # type: ignore[arg-type]
        workers=workers,
        force=force,
        say=note,
    )
    _answer(found, json=json)


def _answer(found: Exported, *, json: bool) -> None:
    files = {"float32": found.float32, **({} if found.int8 is None else {"int8": found.int8})}
    rows = {name: _row(file) for name, file in files.items()}
    if json:
        accuracy = None if found.accuracy is None else {**asdict(found.accuracy), "loss": found.accuracy.loss}
        whole = {key: value for key, value in asdict(found).items() if key not in ("float32", "int8")}
        emit_json({**whole, "shapes": list(found.shapes), "accuracy": accuracy, "files": rows})
        return
    if found.accuracy is not None:
        for name in files:
            rows[name]["top1"] = getattr(found.accuracy, name)
    formats = {"bytes": _megabytes, "latency": seconds_text, "torch": seconds_text, "ratio": times, "top1": percentage}
    emit([{"type": name, **row} for name, row in rows.items()], formats=formats, caption=_caption(found))


def _row(file: ExportedFile) -> dict[str, Any]:
    return {
        "file": str(file.file),
        "bytes": file.bytes,
        "latency": file.latency.median,
        "torch": file.torch_latency.median,
        "ratio": file.ratio,
    }


def _caption(found: Exported) -> str:
    return f"medians of {found.float32.latency.runs} runs in turns, batch 1, one thread; ratio to PyTorch's"


def _megabytes(value: int) -> str:
    return f"{value / 1e6:.3g} MB"
