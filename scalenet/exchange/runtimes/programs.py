"""A network as a program of PyTorch's operators (`torch.export`), and its file."""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.export import Dim

from scalenet.arch.errors import ScalenetError, UnknownNameError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor
    from torch.export import ExportedProgram

_AXES = {"batch": {0: "batch"}, "size": {2: "height", 3: "width"}}
"""Axes of the images that a file may leave free, by what they are asked for as: their names in the file."""

FREE = (*_AXES, "none")

_ANY = 10**9
"""Pixels of a side that no image has."""


@dataclass(frozen=True, slots=True)
class Axes:
    """Which axes of the images are free: those of the batch, of the size."""

    batch: bool
    size: bool

    @classmethod
    def named(cls, text: str) -> Axes:
        """Return the axes of `batch`, `size`, `batch,size` or `none`; raise UnknownNameError for others."""
        words = [word.strip() for word in text.split(",")]
        for word in words:
            if word not in FREE:
                raise UnknownNameError("dynamic axis", word, FREE, listing="write batch, size, batch,size or none")
        if "none" in words and len(set(words)) > 1:
            raise ScalenetError(f"dynamic {text!r}: none goes with no other", hint="write batch, size or none")
        return cls("batch" in words, "size" in words)

    @property
    def names(self) -> dict[int, str]:
        """The names of the free axes by their number."""
        chosen = [axes for word, axes in _AXES.items() if getattr(self, word)]
        return {number: name for axes in chosen for number, name in axes.items()}

    def dims(self) -> dict[int, Any]:
        """Return the free axes as `torch.export` takes them: it finds out which sizes a network can have."""
        return {number: Dim(name) if name == "batch" else Dim.AUTO for number, name in self.names.items()}

    def __str__(self) -> str:
        return ",".join(word for word in _AXES if getattr(self, word)) or "none"


def traced(network: nn.Module, images: Tensor, axes: Axes) -> ExportedProgram:
    """Return a network in evaluation mode as a program; their weights are the same tensors.

    The batch of `images` is two where it is free, for torch.export takes one for a constant. Raise ScalenetError for a
    network that cannot be traced with these axes free.
    """
    with quietly(), torch.no_grad():
        try:
            program = torch.export.export(network, (images,), dynamic_shapes=(axes.dims(),))
        except Exception as error:
            raise ScalenetError(
                f"torch.export cannot trace this network: {first_line(error)}", hint=_next(axes)
            ) from None
    _check_free(program, axes)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names places of this machine
    program.example_inputs = None
    return program


def _check_free(program: ExportedProgram, axes: Axes) -> None:
    """Refuse a program in which an axis that shall be free became a number."""
    shape = _shape(program)
    fixed = [name for number, name in axes.names.items() if isinstance(shape[number], int)]
    if fixed:
        raise ScalenetError(f"this network fixes the {fixed[0]} of its images", hint=_next(axes))
    for name, (least, most) in sides(program, axes).items():
        if most is not None:
            raise ScalenetError(f"torch.export takes images of a {name} from {least} to {most} alone", hint=_next(axes))


def sides(program: ExportedProgram, axes: Axes) -> dict[str, tuple[int, int | None]]:
    """Return the least and the most pixels that a program takes, of each side of its images that is free."""
    shape, found = _shape(program), {}
    for number, name in axes.names.items():
        if name != "batch":
            bounds = program.range_constraints[shape[number].node.expr]
            found[name] = int(bounds.lower), int(bounds.upper) if bounds.upper < _ANY else None
    return found


def _shape(program: ExportedProgram) -> Any:
    """Return the shape of a program's images, in which free axes are symbols."""
    images = next(node for node in reversed(program.graph.find_nodes(op="placeholder")))
    return images.meta["val"].shape


def saved(program: ExportedProgram, record: dict[str, str]) -> bytes:
    """Return the content of a `.pt2` file; `record` lies in it as texts of these names."""
    file = io.BytesIO()
    with quietly():
        torch.export.save(program, file, extra_files=dict(record))
    return file.getvalue()


class Program(nn.Module):
    """The module of a `.pt2` file, called as the network is; it knows evaluation mode alone."""

    def __init__(self, content: bytes) -> None:
        """Load a file."""
        super().__init__()
        with quietly():
            self.run = torch.export.load(io.BytesIO(content)).module().__call__  # with its checks of the input

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of images [N, channels, height, width], where the file takes them."""
        logits: Tensor = self.run(images)
        return logits


@contextmanager
def quietly() -> Iterator[None]:
    """Keep warnings and logs of exporters to themselves: of deprecations inside them, and packages they do without."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def first_line(error: Exception) -> str:
    """Return the first line of what an exporter says."""
    return one_line(error) if not str(error).strip() else str(error).strip().splitlines()[0]


def _next(axes: Axes) -> str:
    if axes.size:
        return "--dynamic batch leaves the size fixed"
    return "`scalenet weights export --to torch` writes any trained network"
