"""From files to pixels: every kind of image as upright RGB, decoded no larger than needed."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from scalenet.arch.errors import ScalenetError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Pixels: TypeAlias = NDArray[np.uint8]
Size: TypeAlias = tuple[int, int]
Box: TypeAlias = tuple[float, float, float, float]

CIFAR_SIDE = 32

_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)
_THREADS = 8
_SHOWN = 5


class DataError(ScalenetError):
    """Report image data that cannot be read or used."""


@dataclass(frozen=True, slots=True)
class File:
    """An encoded image: a file, or `length` bytes of one from `offset` on, called `member` there.

    `planes` says that the bytes are no image file but CIFAR's three planes of 32 by 32 values.
    """

    path: str
    offset: int = 0
    length: int | None = None
    member: str = ""
    planes: bool = False

    def content(self) -> bytes:
        """Return the bytes."""
        with Path(self.path).open("rb") as file:
            file.seek(self.offset)
            return file.read(-1 if self.length is None else self.length)

    def label(self, root: Path) -> str:
        """Return how messages name the image, wherever the data lie."""
        place = Path(self.path).relative_to(root).as_posix()
        return f"{place}: {self.member}" if self.member else place


def read_centre(file: File, size: Size, share: float = 1.0) -> Pixels:
    """Decode the central square, `share` of the short side, as uint8 [3, height, width]."""
    # Twice the size leaves the resampling something to average.
    with _opened(file) as opened:
        image = _upright(opened, round(2 * max(size) / share))
    side = share * min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return _resized(image, (left, top, left + side, top + side), size)


def read_crop(file: File, boxes: Callable[[float], Box], size: Size) -> Pixels:
    """Decode a crop as uint8 [3, height, width]; `boxes` gives top, left, height, width as shares for an aspect."""
    with _opened(file) as opened:
        wide, high = reversed(opened.size) if _orientation(opened) in _SIDEWAYS else opened.size
        top, left, height, width = boxes(wide / high)
        image = _upright(opened, round(max(size[0] / height, size[1] / width)))
    left, right = left * image.width, (left + width) * image.width
    top, bottom = top * image.height, (top + height) * image.height
    return _resized(image, (left, top, right, bottom), size)


def decode(
    files: Sequence[File], *, size: int, root: Path, progress: Callable[[int, int], None] | None
) -> tuple[Pixels, dict[int, str]]:
    """Decode files to uint8 [N, 3, size, size], and say which (by place) could not be read and why."""
    pixels = np.zeros((len(files), 3, size, size), dtype=np.uint8)
    skipped: dict[int, str] = {}
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        tasks = {pool.submit(read_centre, file, (size, size)): place for place, file in enumerate(files)}
        try:
            for done, task in enumerate(as_completed(tasks), start=1):
                place = tasks.pop(task)
                try:
                    pixels[place] = task.result()
                # Pillow raises a dozen unrelated types for broken files, bare SyntaxError and struct.error among them.
                except Exception as error:
                    skipped[place] = f"{files[place].label(root)}: {reason(error)}"
                if progress is not None:
                    progress(done, len(files))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return pixels, dict(sorted(skipped.items()))


def short_side(file: File) -> int | None:
    """Return the short side in pixels as the file states it, or None where it cannot be read."""
    try:
        with _opened(file) as opened:
            return min(opened.size)
    except Exception:  # as in decode
        return None


def reason(error: Exception) -> str:
    """Say in one line why a file could not be decoded."""
    if isinstance(error, UnidentifiedImageError):  # its text is a path, which the caller names already
        return "not an image that can be read"
    return " ".join(str(error).split()) or type(error).__name__


def some(names: Sequence[str]) -> str:
    """Name a few and count the rest."""
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _opened(file: File) -> Image.Image:
    if file.planes:
        planes = np.frombuffer(file.content(), dtype=np.uint8).reshape(3, CIFAR_SIDE, CIFAR_SIDE)
        return Image.fromarray(planes.transpose(1, 2, 0))
    # Only the header is read here where the file is one image; a shard's member is read whole.
    return Image.open(file.path if file.length is None else io.BytesIO(file.content()))


def _upright(opened: Image.Image, wanted: int) -> Image.Image:
    """Return an image as its EXIF data turn it; JPEG is decoded at 1/2, 1/4 or 1/8 if `wanted` pixels remain."""
    opened.draft("RGB", (wanted, wanted))
    opened.load()
    # Each of these would copy an image that it leaves as it is.
    image = opened if _orientation(opened) == 1 else ImageOps.exif_transpose(opened)
    return image if image.mode == "RGB" else _rgb(image)


def _orientation(opened: Image.Image) -> int:
    return int(opened.getexif().get(_ORIENTATION, 1))


def _resized(image: Image.Image, box: Box, size: Size) -> Pixels:
    resized = image.resize((size[1], size[0]), Image.Resampling.BILINEAR, box=box)
    return np.asarray(resized, dtype=np.uint8).transpose(2, 0, 1)


def _rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB; 16-bit greyscale keeps its upper bits, where Pillow's conversion would clip."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image, dtype=np.uint16) >> 8).astype(np.uint8)).convert("RGB")
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
