"""The images that maps are drawn on, and where the objects lie in them."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from PIL import Image, ImageDraw

from scalenet.arch.errors import nearest
from scalenet.arch.files import read_text
from scalenet.training.data import central, resample
from scalenet.training.decoding import SUFFIXES, DataError, File, centre, quiet, read_centre, reason, upright_size
from scalenet.training.embedded import CLASS_NAMES, render, render_masks, rendered_size
from scalenet.training.preprocessing import before_crop

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from scalenet.training.decoding import Pixels, Size
    from scalenet.training.preprocessing import Interpolation

_BOX = ("left", "top", "right", "bottom")
_COLUMNS = ("image", "mask", "class", *_BOX)
_HINT = f"columns are image, then {', '.join(_BOX)} in pixels or mask (a file), and class if it is known"
_HELD_OUT = 1
"""The seed of the embedded task's held-out images."""


class Pictures(Protocol):
    """So many images: their names and, where they are known, the names of their classes and their objects."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the images are called."""

    @property
    def labels(self) -> tuple[str | None, ...]:
        """The names of their classes, None where not known."""

    def read(self, part: slice, size: Size, crop: float, interpolation: Interpolation) -> Tensor:
        """Return some of them as a network of that size sees them, uint8 [n, 3, height, width]."""

    def masks(self, part: slice, size: Size, crop: float) -> Tensor | None:
        """Return how much of each of these pixels is the object, 0 to 1, [n, height, width]; None where not known."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """The first held-out images of the embedded task, whose striped objects are known."""

    count: int

    @property
    def names(self) -> tuple[str, ...]:
        """What the images are called."""
        return tuple(f"embedded-{number}" for number in range(self.count))

    @property
    def labels(self) -> tuple[str | None, ...]:
        """The names of their classes."""
        _, labels = render(self.count, size=8, seed=_HELD_OUT)
        return tuple(CLASS_NAMES[label] for label in labels)

    def read(self, part: slice, size: Size, crop: float, interpolation: Interpolation) -> Tensor:
        """Return some of the images."""
        images, _ = render(part.stop, size=_rendered(size, crop), seed=_HELD_OUT)
        return resample(central(torch.from_numpy(images[part]), crop), *size, interpolation)

    def masks(self, part: slice, size: Size, crop: float) -> Tensor:
        """Return how much of each pixel the striped object covers."""
        masks = render_masks(part.stop, size=_rendered(size, crop), seed=_HELD_OUT)[part]
        return resample(central(torch.from_numpy(masks)[:, None], crop), *size)[:, 0] / 255


def _rendered(size: Size, crop: float) -> int:
    return rendered_size(before_crop(max(size), crop))


@dataclass(frozen=True, slots=True)
class Region:
    """One object of an image: a box of its pixels (left, top, right, bottom), or a file that is white where it is."""

    box: tuple[float, float, float, float] | None
    mask: Path | None

    def draw(self, canvas: Image.Image) -> Image.Image:
        """Return a mask with this region added."""
        if self.box is not None:
            left, top, right, bottom = self.box
            ImageDraw.Draw(canvas).rectangle((left, top, right - 1, bottom - 1), fill=255)
            return canvas
        try:
            with quiet(), Image.open(str(self.mask)) as opened:
                own = np.asarray(opened.convert("L"))
        except Exception as error:  # Pillow's errors have no common type
            raise DataError(f"{self.mask}: {reason(error)}") from None
        if own.shape != (canvas.height, canvas.width):
            sizes = f"{own.shape[1]} × {own.shape[0]} px, its image {canvas.width} × {canvas.height}"
            raise DataError(f"{self.mask}: a mask of {sizes}")
        return Image.fromarray(np.maximum(np.asarray(canvas), np.where(own > 0, 255, 0).astype(np.uint8)))


@dataclass(frozen=True, slots=True)
class Objects:
    """What a table says of images, in their order: the regions of their objects, and their classes if it has those."""

    regions: Mapping[Path, list[Region]]
    classes: Mapping[Path, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Photographs:
    """Files of images; their class is what a table of objects says, or the folder that they lie in."""

    files: tuple[Path, ...]
    objects: Objects | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The files' names, as they were given."""
        return tuple(str(file) for file in self.files)

    @property
    def labels(self) -> tuple[str | None, ...]:
        """The names of their classes, as far as one can know."""
        told = {} if self.objects is None else self.objects.classes
        return tuple(told.get(file.resolve(), file.resolve().parent.name) for file in self.files)

    def read(self, part: slice, size: Size, crop: float, interpolation: Interpolation) -> Tensor:
        """Decode some of the images."""
        return torch.from_numpy(np.stack([_read(file, size, crop, interpolation) for file in self.files[part]]))

    def masks(self, part: slice, size: Size, crop: float) -> Tensor | None:
        """Return how much of each pixel belongs to objects."""
        if self.objects is None:
            return None
        regions = [self.objects.regions[file.resolve()] for file in self.files[part]]
        found = [_mask(file, own, size, crop) for file, own in zip(self.files[part], regions, strict=True)]
        return torch.from_numpy(np.stack(found)).float() / 255


def _read(file: Path, size: Size, crop: float, interpolation: Interpolation) -> Pixels:
    try:
        with quiet():
            return read_centre(File(str(file)), size, crop, interpolation)
    except Exception as error:  # Pillow's errors have no common type
        raise DataError(f"{file}: {reason(error)}", hint="leave it out, or give another") from None


def _mask(file: Path, regions: Sequence[Region], size: Size, crop: float) -> Pixels:
    """Return the mask of an image's objects, cut and resized as the image is."""
    wide, high = upright_size(File(str(file)))
    canvas = Image.new("L", (wide, high))
    for region in regions:
        canvas = region.draw(canvas)
    if not canvas.getextrema()[1]:
        raise DataError(f"{file}: its object lies outside its {wide} × {high} px", hint=_HINT)
    mask: Pixels = centre(canvas, size, crop)[0]
    return mask


def is_image(path: Path) -> bool:
    """Return whether a path's name is one of an image."""
    return path.suffix.lower() in SUFFIXES


def photographs(files: Sequence[Path], table: Path | None) -> Photographs:
    """Return files of images, by default all that a table of objects names; raise DataError where something lacks."""
    objects = None if table is None else read_objects(table)
    files = files or ([] if objects is None else list(objects.regions))
    for file in files:
        if not file.is_file():
            raise DataError(f"{file}: no such image")
        if objects is not None and file.resolve() not in objects.regions:
            raise DataError(f"{file}: {table} does not say where its object is")
    return Photographs(tuple(files), objects)


def read_objects(table: Path) -> Objects:
    """Return the objects of a CSV file; paths are as seen from its folder. Raise DataError with the line."""
    rows = csv.DictReader(io.StringIO(read_text(table, str(table))))
    columns = rows.fieldnames or []
    unknown = [name for name in columns if name not in _COLUMNS]
    if unknown:
        raise DataError(f"{table}: column {unknown[0]!r} is not known", hint=nearest(unknown[0], _COLUMNS) or _HINT)
    if "image" not in columns or not ("mask" in columns or set(_BOX) <= set(columns)):
        raise DataError(f"{table}: columns {', '.join(columns) or 'none'}", hint=_HINT)
    regions: dict[Path, list[Region]] = {}
    classes: dict[Path, str] = {}
    for number, row in enumerate(rows, start=2):
        image = (table.parent / (row["image"] or "")).resolve()
        regions.setdefault(image, []).append(_region(row, table, number))
        if row.get("class"):
            classes[image] = row["class"]
    if not regions:
        raise DataError(f"{table}: names no image", hint=_HINT)
    return Objects(regions, classes)


def _region(row: Mapping[str, str | None], table: Path, line: int) -> Region:
    if row.get("mask"):
        return Region(None, table.parent / str(row["mask"]))
    try:
        left, top, right, bottom = (float(row.get(name) or "") for name in _BOX)
    except ValueError:
        raise DataError(f"{table}: line {line} has neither a mask nor four numbers", hint=_HINT) from None
    if not (left < right and top < bottom):
        raise DataError(f"{table}: line {line} is an empty box", hint="left is less than right, top less than bottom")
    return Region((left, top, right, bottom), None)
