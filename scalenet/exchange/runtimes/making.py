"""The content of a file, held against the network before it is one."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scalenet.arch.errors import ScalenetError
from scalenet.exchange.runtimes import onnx_files, programs
from scalenet.exchange.runtimes.compared import BATCHES, compare
from scalenet.model.modules import Position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

    from scalenet.exchange.runtimes.compared import Compared
    from scalenet.exchange.runtimes.programs import Axes
    from scalenet.exchange.runtimes.subject import Subject

_LARGER = ((32, 64), (13, 7))
"""Pixels by which sizes are larger that a file with a free size is tried with."""


@dataclass(frozen=True, slots=True)
class Made:
    """The content of a file, what opens it, how far its outputs were from the network's, and the least free size."""

    content: bytes
    opened: Callable[[bytes], nn.Module]
    compared: Compared
    least: tuple[int, ...] | None
    opset: int | None = None
    ir: int | None = None


def check_network(subject: Subject, axes: Axes, to: str) -> None:
    """Refuse a network that cannot have this form."""
    if axes.size and any(isinstance(layer, Position) for layer in subject.network.modules()):
        raise ScalenetError(f"{subject.name} adds a number a place: its size is fixed", hint="--dynamic batch")
    if to == "onnx":
        onnx_files.check_size(subject.network)


def make(subject: Subject, axes: Axes, to: str, opset: int | None) -> Made:
    """Return a file's content, compared with the network; drawn weights are stirred for that, in another content."""
    example = subject.images(subject.model.size, 2 if axes.batch else 1)
    program = programs.traced(subject.network, example, axes)

    def content() -> bytes:
        if to == "onnx":
            return onnx_files.converted(program, axes, subject.record(), opset)
        return programs.saved(program, subject.record())

    opened: Callable[[bytes], nn.Module] = onnx_files.Session if to == "onnx" else programs.Program
    file = content()
    batches = BATCHES if axes.batch else (1,) * sum(BATCHES)
    with nullcontext() if subject.trained else subject.stirred():
        other = opened(file if subject.trained else content())
        compared = compare(subject.network, other, _inputs(subject, axes), batches)
    versions = onnx_files.versions(file) if to == "onnx" else {}
    least = tuple(fewest for fewest, _ in programs.sides(program, axes).values())
    return Made(file, opened, compared, least or None, **versions)


def _inputs(subject: Subject, axes: Axes) -> Iterator[Tensor]:
    """Yield images of the network's size, and of others where the size is free."""
    tall, wide = subject.model.size
    yield subject.images((tall, wide))
    if axes.size:
        for more, further in _LARGER:
            yield subject.images((tall + more, wide + further))
