"""`export` as one call: a file for a runtime, written once its outputs are the network's."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalenet.arch.errors import ScalenetError, UnknownNameError
from scalenet.arch.files import check_place, write_bytes
from scalenet.arch.words import hush, percentage, tell, times
from scalenet.costs.latency import Setup, latencies
from scalenet.exchange.runtimes import onnx_files, programs
from scalenet.exchange.runtimes.compared import BATCHES, compare
from scalenet.exchange.runtimes.programs import Axes
from scalenet.exchange.runtimes.quantizing import EMBEDDED, Int8Accuracy, find_parts, quantized
from scalenet.exchange.runtimes.subject import find_subject
from scalenet.model.modules import Position
from scalenet.training.calls import decoders
from scalenet.training.sources import Source, find_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

    from scalenet.costs.latency import Latency
    from scalenet.exchange.runtimes.compared import Compared
    from scalenet.exchange.runtimes.quantizing import Parts
    from scalenet.exchange.runtimes.subject import Subject
    from scalenet.scaling.scaler import Network
    from scalenet.training.checkpoint import Trained
    from scalenet.training.sources import Layout

SUFFIXES = {"onnx": ".onnx", "torch-export": ".pt2"}
"""What a network is exported to, and how such files are called."""

_LARGER = ((32, 64), (13, 7))
"""Pixels by which sizes are larger that a file with a free size is tried with."""

_LITTLE = 0.8
"""The share of the time in single precision above which eight bits are said to gain little."""

_MUCH = 0.01
"""The share of images above which a loss of accuracy is said to be large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedFile:
    """A file that was written, its `bytes`, and how long it and PyTorch take for an image, in turns on one thread."""

    file: Path
    bytes: int
    latency: Latency
    torch_latency: Latency

    @property
    def ratio(self) -> float:
        """The median time of the file, in PyTorch's."""
        return self.latency.median / self.torch_latency.median


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What came of an export.

    `difference` is the largest one between outputs of the file and of PyTorch in single precision, in the logits'
    spread over embedded images, for inputs of all `shapes`. Of a description, whose weights are drawn (`trained` is
    False), both are compared with weights as training leaves them, which the file does not have. `opset` and `ir` are
    versions of ONNX, None for `torch-export`. `int8` is the quantised file, and `accuracy` what it costs.
    """

    target: str
    network: str
    trained: bool
    dynamic: str
    opset: int | None
    ir: int | None
    difference: float
    shapes: tuple[tuple[int, ...], ...]
    float32: ExportedFile
    int8: ExportedFile | None
    accuracy: Int8Accuracy | None


def export(
    network: Network | Trained,
    file: str | Path = "runs/exported",
    *,
    to: str = "onnx",
    dynamic: str = "batch",
    opset: int | None = None,
    int8: bool = False,
    calibrate: str | Path | Source | None = None,
    layout: Layout | None = None,
    workers: int | None = None,
    force: bool = False,
    say: Callable[[str], None] | None = tell,
) -> Exported:
    """Write a network as a file for a runtime: weights, a file or folder of them, or a description, whose are drawn.

    `to` is `onnx` or `torch-export` (`.pt2`). `file` is the file, or a folder in which it is called as the network.
    `dynamic` says which axes of the images are free: `batch`, `size`, both, or `none`. `opset` is the version of ONNX's
    operators, by default the exporter's. The file is opened by onnxruntime, or loaded again, and its outputs are
    compared with PyTorch's, before anything is in its place.

    `int8` writes a second ONNX file, `NAME.int8.onnx`, whose ranges are found by images of `calibrate`, a folder as
    `train` takes it or `embedded`; accuracies of both are measured on other images of it, those that are held out.

    Raise ScalenetError for what is asked wrongly, and RunError where the outputs differ.
    """
    hear = say or hush
    if to not in SUFFIXES:
        raise UnknownNameError("format", to, SUFFIXES, listing=f"known: {', '.join(SUFFIXES)}")
    axes = Axes.named(dynamic)
    _check_options(to, opset, int8, calibrate, layout)
    if to == "onnx":
        onnx_files.check_packages()
    subject = find_subject(network)
    places = _places(Path(file), subject, to, int8=int8, force=force)
    if axes.size and any(isinstance(layer, Position) for layer in subject.network.modules()):
        raise ScalenetError(f"{subject.name} adds a number a place: its size is fixed", hint="--dynamic batch")
    parts = None
    if int8:
        parts = _parts(subject, calibrate, layout, decoders(workers), hear)
    hear(_weights(subject))
    made = _made(subject, axes, opset, to)
    hear(_outputs(made.compared))
    contents = [made.content]
    if parts is not None:
        contents.append(quantized(made.content, parts.batches()))
    opened = [made.opened(content) for content in contents]
    accuracy = None if parts is None else Int8Accuracy.of(*(parts.score(one) for one in opened))
    images = subject.images(subject.model.size, 1)
    own, *taken = latencies([(one, images) for one in (subject.network, *opened)], Setup())
    for place, content in zip(places, contents, strict=True):
        write_bytes(place, content)
    files = [
        ExportedFile(file=place, bytes=len(content), latency=one, torch_latency=own)
        for place, content, one in zip(places, contents, taken, strict=True)
    ]
    found = Exported(
        target=to,
        network=subject.name,
        trained=subject.trained is not None,
        dynamic=str(axes),
        opset=made.opset,
        ir=made.ir,
        difference=made.compared.difference,
        shapes=made.compared.shapes,
        float32=files[0],
        int8=files[1] if int8 else None,
        accuracy=accuracy,
    )
    for line in _doubts(found):
        hear(line)
    return found


@dataclass(frozen=True, slots=True)
class _Made:
    """The content of a file, what opens it, and how far its outputs were from the network's."""

    content: bytes
    opened: Callable[[bytes], nn.Module]
    compared: Compared
    opset: int | None = None
    ir: int | None = None


def _made(subject: Subject, axes: Axes, opset: int | None, to: str) -> _Made:
    """Return a file's content, compared with the network; drawn weights are stirred for that, in another content."""
    if to == "onnx":
        onnx_files.check_size(subject.network)
    count = 2 if axes.batch else 1
    program = programs.traced(subject.network, subject.images(subject.model.size, count), axes)

    def content() -> bytes:
        if to == "onnx":
            return onnx_files.converted(program, axes, subject.record(), opset)
        return programs.saved(program, subject.record())

    opened: Callable[[bytes], nn.Module] = onnx_files.Session if to == "onnx" else programs.Program
    file = content()
    with nullcontext() if subject.trained else subject.stirred():
        other = opened(file if subject.trained else content())
        batches = BATCHES if axes.batch else (1,) * sum(BATCHES)
        compared = compare(subject.network, other, _inputs(subject, axes), batches)
    versions = onnx_files.versions(file) if to == "onnx" else {}
    return _Made(file, opened, compared, **versions)


def _inputs(subject: Subject, axes: Axes) -> Iterator[Tensor]:
    """Yield images of the network's size, and of others where the size is free."""
    tall, wide = subject.model.size
    yield subject.images((tall, wide))
    if axes.size:
        for more, further in _LARGER:
            yield subject.images((tall + more, wide + further))


def _check_options(to: str, opset: int | None, int8: bool, calibrate: Any, layout: Any) -> None:
    if to != "onnx" and (opset is not None or int8):
        raise ScalenetError(f"{'--int8' if int8 else '--opset'} is for ONNX", hint="--to onnx")
    if int8 and calibrate is None:
        raise ScalenetError("--int8 needs images to find ranges by", hint="--calibrate DIR, or --calibrate embedded")
    if calibrate is not None and not int8:
        raise ScalenetError("--calibrate is for --int8", hint="give both, or neither")
    if layout is not None and calibrate in (None, EMBEDDED):
        raise ScalenetError("--layout is for the images of --calibrate")


def _places(file: Path, subject: Subject, to: str, *, int8: bool, force: bool) -> list[Path]:
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


def _parts(subject: Subject, calibrate: Any, layout: Any, workers: int, hear: Callable[[str], None]) -> Parts:
    """Return the images of eight bits, and say what they are."""
    if subject.trained is None:
        raise ScalenetError(
            f"{subject.name} is a description: accuracy is of trained weights", hint="give the folder of a training"
        )
    source = None
    if isinstance(calibrate, Source):
        source = calibrate
    elif str(calibrate) != EMBEDDED:
        source = find_source(calibrate, layout or "auto")
        for line in source.lines():
            hear(line)
    parts = find_parts(subject.trained, source, workers=workers)
    counts = len(parts.calibration.labels), len(parts.measured.labels)
    hear(f"ranges by {counts[0]} images to train on, accuracies on {counts[1]} held-out ones")
    return parts


def _weights(subject: Subject) -> str:
    if subject.trained is not None:
        return f"{subject.name}: weights of {subject.trained.place}"
    return f"{subject.name}: a description, so its weights are drawn and know nothing; give a folder for trained ones"


def _outputs(compared: Compared) -> str:
    shapes = ", ".join("×".join(map(str, shape)) for shape in compared.shapes)
    return f"outputs differ by {compared.difference:.1e} of the logits' spread at most, for inputs of {shapes}"


def _doubts(found: Exported) -> Iterator[str]:
    """Yield what speaks against the quantised file, as it was measured."""
    if found.int8 is None or found.accuracy is None:
        return
    share = found.int8.latency.median / found.float32.latency.median
    if share > _LITTLE:
        yield (
            f"int8 takes {times(share)} the time of float32 here: where activations such as SiLU and squeeze-excites "
            "stay in floats, or the CPU has no instructions for eight bits, little is gained"
        )
    loss = found.accuracy
    if loss.low > 0 and loss.loss > _MUCH:
        yield f"int8 loses {percentage(loss.loss)} of the images; the float32 file is beside it"
