"""`export` as one call: a file for a runtime, written once its outputs are the network's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from scalenet.arch.files import write_bytes
from scalenet.arch.words import hush, tell, times
from scalenet.costs.latency import Setup, latencies
from scalenet.exchange.runtimes.asked import check_options, find_images, find_places
from scalenet.exchange.runtimes.making import check_network, make
from scalenet.exchange.runtimes.onnx_files import check_packages
from scalenet.exchange.runtimes.programs import Axes
from scalenet.exchange.runtimes.quantizing import Int8Accuracy, quantized
from scalenet.exchange.runtimes.subject import find_subject
from scalenet.training.calls import decoders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scalenet.costs.latency import Latency
    from scalenet.exchange.runtimes.making import Made
    from scalenet.exchange.runtimes.subject import Subject
    from scalenet.scaling.scaler import Network
    from scalenet.training.checkpoint import Trained
    from scalenet.training.sources import Layout, Source

_LITTLE = 0.8
"""The share of the time in single precision above which eight bits are said to gain little."""

_GATES = (nn.SiLU, nn.Sigmoid, nn.Hardswish, nn.Hardsigmoid)
"""Layers between convolutions that eight bits make no faster (`benchmarks/export.py`)."""

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
    spread over embedded images, for inputs of all `shapes`; `least` are height and width of the smallest images that
    the file takes, None where their size is fixed. Of a description, whose weights are drawn (`trained` is
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
    least: tuple[int, ...] | None
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
    axes = Axes.named(dynamic)
    check_options(to, opset, int8, calibrate, layout)
    if to == "onnx":
        check_packages()
    subject = find_subject(network)
    places = find_places(Path(file), subject, to, int8=int8, force=force)
    check_network(subject, axes, to)
    images = find_images(subject, calibrate, layout, decoders(workers), hear) if int8 else None
    hear(_weights(subject))
    made = make(subject, axes, to, opset)
    hear(_outputs(made))
    contents = [made.content]
    if images is not None:
        contents.append(quantized(made.content, images.batches(16 if axes.batch else 1)))
    opened = [made.opened(content) for content in contents]
    accuracy = None if images is None else Int8Accuracy.of(*map(images.score, opened))
    for name in () if images is None else images.broken:
        hear(f"skipped {name}")
    own, *taken = _times(subject, opened)
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
        least=made.least,
        float32=files[0],
        int8=files[1] if int8 else None,
        accuracy=accuracy,
    )
    for line in _findings(found, subject.network):
        hear(line)
    return found


def _times(subject: Subject, opened: Sequence[nn.Module]) -> list[Latency]:
    """Return how long the network and its files take, in turns."""
    images = subject.images(subject.model.size, 1)
    return latencies([(network, images) for network in (subject.network, *opened)], Setup())


def _weights(subject: Subject) -> str:
    if subject.trained is not None:
        return f"{subject.name}: weights of {subject.trained.place}"
    return f"{subject.name}: a description, so its weights are drawn and know nothing; give a folder for trained ones"


def _outputs(made: Made) -> str:
    shapes = ", ".join("×".join(map(str, shape)) for shape in made.compared.shapes)
    versions = "" if made.opset is None else f"opset {made.opset}, IR {made.ir}: "
    difference = f"{made.compared.difference:.1e} of the logits' spread"
    smallest = "" if made.least is None else f"; images have {'×'.join(map(str, made.least))} pixels or more"
    return f"{versions}outputs differ by {difference} at most, for inputs of {shapes}{smallest}"


def _findings(found: Exported, network: nn.Module) -> Iterator[str]:
    """Yield what was measured of the quantised file, and what speaks against it."""
    if found.int8 is None or found.accuracy is None:
        return
    share = found.int8.latency.median / found.float32.latency.median
    if share > _LITTLE:
        gated = any(isinstance(layer, _GATES) for layer in network.modules())
        why = "; it has SiLU or squeeze-excites, which gain little" if gated else ""
        yield f"int8 takes {times(share)} the time of float32 here{why}"
    loss = found.accuracy
    bounds = f"{_points(-loss.high)} to {_points(-loss.low)} at 95 %"
    yield f"int8 changes top-1 by {_points(-loss.loss)} points on {loss.images} images, {bounds}"
    if loss.low > 0 and loss.loss > _MUCH:
        yield "that is much: the float32 file is beside it"


def _points(share: float) -> str:
    return f"{round(100 * share, 2) + 0.0:+.2f}"  # no -0.00
