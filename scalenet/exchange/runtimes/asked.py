"""What an export is asked for: refused before anything takes time where it cannot be meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scalenet.arch.errors import ScalenetError, UnknownNameError
from scalenet.arch.files import check_place
from scalenet.exchange.runtimes.quantizing import EMBEDDED, find_parts
from scalenet.training.redrawing import doubts, drawn_again
from scalenet.training.sources import told_source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scalenet.exchange.runtimes.quantizing import Parts
    from scalenet.exchange.runtimes.subject import Subject

SUFFIXES = {"onnx": ".onnx", "torch-export": ".pt2"}
"""What a network is exported to, and how such files are called."""


def check_options(to: str, opset: int | None, int8: bool, calibrate: Any, layout: Any) -> None:
    """Refuse what is unknown, or does not go together."""
    if to not in SUFFIXES:
        raise UnknownNameError("format", to, SUFFIXES, listing=f"known: {', '.join(SUFFIXES)}")
    if to != "onnx" and (opset is not None or int8):
        raise ScalenetError(f"{'--int8' if int8 else '--opset'} is for ONNX", hint="--to onnx")
    if int8 and calibrate is None:
        raise ScalenetError("--int8 needs images to find ranges by", hint="--calibrate DIR, or --calibrate embedded")
    if calibrate is not None and not int8:
        raise ScalenetError("--calibrate is for --int8", hint="give both, or neither")
    if layout is not None and calibrate in (None, EMBEDDED):
        raise ScalenetError("--layout is for the images of --calibrate")


def find_places(file: Path, subject: Subject, to: str, *, int8: bool, force: bool) -> list[Path]:
    """Return where files go; raise ScalenetError where one is already, or where none can be."""
    suffix = SUFFIXES[to]
    if file.is_dir() or not file.suffix:
        file = file / f"{subject.name}{suffix}"
    elif file.suffix != suffix:
        raise ScalenetError(f"{file}: files of {to} end with {suffix}", hint="name it so, or give another --to")
    places = [file, file.with_suffix(f".int8{suffix}")] if int8 else [file]
    for place in places:
        check_place(place, force=force)
    return places


def find_images(subject: Subject, calibrate: Any, layout: Any, workers: int, hear: Callable[[str], None]) -> Parts:
    """Return the images of eight bits, and say what they are; raise ScalenetError where they cannot be measured on."""
    if subject.trained is None:
        raise ScalenetError(
            f"{subject.name} is a description: accuracy is of trained weights", hint="give the folder of a training"
        )
    source = None if str(calibrate) == EMBEDDED else told_source(calibrate, layout, hear)
    parts = find_parts(subject.trained, source, workers=workers)
    counts = len(parts.calibration.labels), len(parts.measured.labels)
    hear(f"ranges by {counts[0]} images to train on, accuracies on {counts[1]} held-out ones")
    lines = [] if source is None else doubts(source, subject.trained)
    if source is not None and lines and drawn_again(source, subject.trained.about.training) is None:
        for line in lines:
            hear(line)
    return parts
