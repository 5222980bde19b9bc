"""Weights and maps in eight bits: an ONNX file quantised by images, and what that costs in accuracy."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from scalenet.arch.errors import RunError, ScalenetError
from scalenet.arch.words import number
from scalenet.exchange.packages import imported
from scalenet.exchange.runtimes.onnx_files import INPUT, parsed
from scalenet.exchange.runtimes.programs import first_line, quietly
from scalenet.training.checkpoint import Plan
from scalenet.training.data import embedded_splits, stream_part
from scalenet.training.decoding import some
from scalenet.training.embedded import rendered_size
from scalenet.training.feed import UNKNOWN, feed, normalizer
from scalenet.training.preprocessing import before_crop
from scalenet.training.scoring import score
from scalenet.training.selection import HELD_OUT, divide, select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

    from scalenet.training.checkpoint import Trained
    from scalenet.training.data import Images
    from scalenet.training.decoding import Files
    from scalenet.training.feed import Feed
    from scalenet.training.scoring import Scores
    from scalenet.training.sources import Source

EMBEDDED = "embedded"
"""What the embedded images are called, in place of a folder."""

CALIBRATING, MEASURED = 256, 2000
"""Images by which ranges of values are found, and by which accuracies are measured, at most."""

LEAST = 32
"""Images that each takes at least."""

_MORE = f"give {LEAST} or more"
_NORMAL = 1.96


@dataclass(frozen=True, slots=True)
class Parts:
    """Images to find ranges by, and others to measure accuracies on, as the network takes them."""

    calibration: Feed
    measured: Feed
    prepare: Callable[[Tensor], Tensor]
    classes: int

    @property
    def broken(self) -> tuple[str, ...]:
        """The images that could not be decoded."""
        return tuple({**self.calibration.broken, **self.measured.broken})

    def batches(self, count: int) -> Iterator[Tensor]:
        """Yield the inputs to find ranges by, so many at once."""
        for images, labels in self.calibration.plain(torch.arange(len(self.calibration.labels))):
            known = images[labels != UNKNOWN]
            if len(known):
                yield from torch.split(self.prepare(known), count)

    def score(self, network: nn.Module) -> Scores:
        """Return what a network says of the images to measure on; raise ScalenetError where few can be decoded."""
        found = score(network, self.measured, prepare=self.prepare, classes=self.classes)
        if len(found) < LEAST:
            broken = some(list(self.broken))
            raise ScalenetError(f"{number(len(found), 'image')} to measure on can be decoded: {broken}", hint=_MORE)
        return found


@dataclass(frozen=True, slots=True)
class Int8Accuracy:
    """Accuracies of one network in single precision and in eight bits, on the same `images`.

    `low` and `high` bound the `loss`, a share of the images, at 95 % (Agresti and Min 2005, for pairs).
    """

    images: int
    float32: float
    int8: float
    low: float
    high: float

    @property
    def loss(self) -> float:
        """By how much fewer images are right in eight bits, as a share."""
        return self.float32 - self.int8

    @classmethod
    def of(cls, before: Scores, after: Scores) -> Int8Accuracy:
        """Return the accuracies of two scores of the same images."""
        lost = int((before.correct & ~after.correct).sum())
        won = int((after.correct & ~before.correct).sum())
        total = len(before) + 2
        middle = (lost - won) / total
        half = _NORMAL * math.sqrt(lost + won + 1 - (lost - won) ** 2 / total) / total
        return cls(len(before), before.top1, after.top1, middle - half, middle + half)


def find_parts(trained: Trained, source: Source | None, *, workers: int) -> Parts:
    """Return a training's images, or embedded ones: held-out ones to measure on, others to find ranges by.

    Images that a training drew to be held out are drawn again by its seed. Raise ScalenetError for images of classes
    that the network does not have, and for too few.
    """
    about = trained.about
    size, crop = about.plan.config.model.size, about.plan.crop
    if source is None:
        images = _embedded(trained, before_crop(max(size), crop))
        place = "the embedded images"
    else:
        images, place = _files(trained, source), str(source.root)
    for what, part in zip(("to calibrate by", "to measure on"), images, strict=True):
        if len(part) < LEAST:
            raise ScalenetError(f"{place}: {number(len(part), 'image')} {what}", hint=_MORE)
    calibration, measured = (
        feed(
            part,
            size=size,
            augmentation=None,
            test_crop=crop,
            device=torch.device("cpu"),
            layout=torch.contiguous_format,
            workers=workers,
            interpolation=about.interpolation,
        )
        for part in images
    )
    ready = normalizer(about.normalization, torch.device("cpu"), torch.contiguous_format)
    return Parts(calibration, measured, ready, len(about.plan.classes))


def _embedded(trained: Trained, size: int) -> tuple[Images, Images]:
    plan = trained.about.plan
    if not (isinstance(plan, Plan) and plan.images.name == EMBEDDED):
        raise ScalenetError(f"{trained.place}: {plan.source}", hint="give a folder of its images with --calibrate")
    splits = embedded_splits(train=CALIBRATING, validation=MEASURED, size=rendered_size(size))
    return splits.train, splits.validation


def _files(trained: Trained, source: Source) -> tuple[Images, Images]:
    plan = trained.about.plan
    unknown = [name for name in source.classes if name not in plan.classes]
    if unknown:
        raise ScalenetError(f"{source.root}: classes that {trained.place} was not trained on: {some(unknown)}")
    seed, drawn = (plan.drawn_by, plan.images.drawn) if isinstance(plan, Plan) else (0, None)
    chosen = select(source, seed=seed, fraction=drawn or HELD_OUT)

    def part(files: Files, most: int, stream: int) -> Images:
        kept, _ = divide(files, max(most, len(files)), seed=seed, stream=stream, root=source.root)
        return stream_part({name: kept.get(name, []) for name in plan.classes}, source)

    return part(chosen.train, CALIBRATING, 3), part(chosen.validation, MEASURED, 4)


def quantized(content: bytes, batches: Iterator[Tensor]) -> bytes:
    """Return an ONNX file with weights and maps in eight bits, whose ranges are those of batches of inputs.

    Weights have a range a channel; Q and DQ nodes say where (`quant_format=QDQ`). Raise RunError where onnxruntime
    cannot do it.
    """
    with tempfile.TemporaryDirectory(prefix="scalenet-") as folder, quietly():
        tools = imported("onnxruntime.quantization")
        file = Path(folder) / "int8.onnx"
        try:
            tools.quantize_static(
                parsed(content),
                str(file),
                _reader(tools, batches),
                quant_format=tools.QuantFormat.QDQ,
                per_channel=True,
                activation_type=tools.QuantType.QUInt8,  # x86 multiplies these with signed weights
                weight_type=tools.QuantType.QInt8,
            )
        except Exception as error:
            raise RunError(f"onnxruntime cannot quantise this network: {first_line(error)}") from None
        return file.read_bytes()


def _reader(tools: Any, batches: Iterator[Tensor]) -> Any:
    class Reader(tools.CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, Any] | None:
            images = next(batches, None)
            return None if images is None else {INPUT: images.numpy()}

    return Reader()
