"""From files to pixels: every kind of image as upright RGB, decoded no larger than needed.

Only the formats of `FORMATS` are opened, and nothing beyond `MOST_PIXELS` or `MOST_BYTES` is decoded: a file's header
says how large it is before its pixels take memory.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from scalenet.arch.errors import ScalenetError
from scalenet.training.preprocessing import before_crop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scalenet.training.preprocessing import Interpolation

Pixels: TypeAlias = NDArray[np.uint8]
Size: TypeAlias = tuple[int, int]
Box: TypeAlias = tuple[float, float, float, float]

FORMATS: dict[str, tuple[str, ...]] = {
    "AVIF": (".avif", ".avifs"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "JPEG": (".jfif", ".jpe", ".jpeg", ".jpg", ".mpo"),
    "PNG": (".apng", ".png"),
    "PPM": (".pbm", ".pfm", ".pgm", ".pnm", ".ppm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
"""The formats that are read, by Pillow's names, with the ends of their files' names; of frames the first counts."""

_IN_TURN = ("JPEG", *(name for name in FORMATS if name != "JPEG"))
"""The formats as they are tried, the usual one first."""

SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)

MOST_PIXELS = 64_000_000
"""Pixels of an image at most: of a JPEG, as it is decoded, which is at 1/8 where that suffices."""

MOST_BYTES = 2**29
"""Bytes of an encoded image at most."""

CIFAR_SIDE = 32

_POINTERS = (b"version https://git-lfs.github.com/", b"/annex/objects/")
_LARGE = 16_000_000
_ONE_BY_ONE = threading.Lock()
_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)
_WHITE, _DARK = 255, 4096
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
        """Return the bytes, or raise DataError where they are too many."""
        with Path(self.path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size if self.length is None else self.length
            if size > MOST_BYTES:
                raise DataError(f"{size / 2**20:,.0f} MiB; {MOST_BYTES / 2**20:,.0f} MiB are the most")
            file.seek(self.offset)
            return file.read(size)

    def size(self) -> int:
        """Return the number of bytes, -1 where the file is gone."""
        try:
            return os.stat(self.path).st_size if self.length is None else self.length  # noqa: PTH116
        except OSError:
            return -1

    def label(self, root: Path) -> str:
        """Return how messages name the image, wherever the data lie."""
        place = below(self.path, root)
        return f"{place}: {self.member}" if self.member else place


def below(path: str, root: Path) -> str:
    """Return where a path that begins with the root's lies below it; `Path.relative_to` is slow for a million."""
    return path.removeprefix(os.path.join(root, "")).replace(os.sep, "/")  # noqa: PTH118


Files: TypeAlias = dict[str, list[File]]
"""Encoded images by class, classes in the order of their labels."""


def read_centre(file: File, size: Size, share: float = 1.0, interpolation: Interpolation = "bilinear") -> Pixels:
    """Decode the central square, `share` of the short side, as uint8 [3, height, width]."""
    with _opened(file) as opened:
        return centre(opened, size, share, interpolation)


def upright_size(file: File) -> Size:
    """Return width and height of an image as people see it."""
    with _opened(file) as opened:
        stated = opened.size
        opened.load()  # Exif data may stand behind the pixels
        return _turned(stated, opened)


def centre(opened: Image.Image, size: Size, share: float = 1.0, interpolation: Interpolation = "bilinear") -> Pixels:
    """Return what `read_centre` does, of an image that is open."""
    # Twice the size leaves the resampling something to average.
    stated = opened.size
    image = _upright(opened, round(2 * max(size) / share))
    whole = _turned(stated, opened)  # only now, for where Exif data stand behind the pixels they are read with them
    (left, right), (top, bottom) = (
        (image.size[axis] * first, image.size[axis] * last)
        for axis, (first, last) in enumerate(_central(whole, size, share))
    )
    return _resized(image, (left, top, right, bottom), size, interpolation)


def _central(whole: Size, size: Size, share: float) -> list[tuple[float, float]]:
    """Return where the central square begins and ends, as shares of the width and the height of an image.

    It is cut at whole pixels of the image whose short side is resized, as torchvision and timm do, so that it has
    their pixels.
    """
    resized, cut = before_crop(max(size), share), max(size)
    sides = [int(resized * side / min(whole)) for side in whole]
    return [(round((side - cut) / 2) / side, (round((side - cut) / 2) + cut) / side) for side in sides]


def _turned(size: Size, opened: Image.Image) -> Size:
    """Return width and height as the file states them, turned as its EXIF data turn it."""
    return (size[1], size[0]) if _orientation(opened) in _SIDEWAYS else size


def read_crop(
    file: File, boxes: Callable[[float], Box], size: Size, interpolation: Interpolation = "bilinear"
) -> Pixels:
    """Decode a crop as uint8 [3, height, width]; `boxes` gives top, left, height, width as shares for an aspect."""
    with _opened(file) as opened:
        wide, high = _turned(opened.size, opened)
        top, left, height, width = boxes(wide / high)
        image = _upright(opened, round(max(size[0] / height, size[1] / width)))
    left, right = left * image.width, (left + width) * image.width
    top, bottom = top * image.height, (top + height) * image.height
    return _resized(image, (left, top, right, bottom), size, interpolation)


@dataclass(frozen=True, slots=True)
class Decoded:
    """Pixels, uint8 [N, 3, size, size]; why which files, by place, could not be read; and a digest of each file."""

    pixels: Pixels
    skipped: dict[int, str]
    digests: tuple[bytes, ...]


def decode(
    files: Sequence[File],
    *,
    size: int,
    root: Path,
    interpolation: Interpolation = "bilinear",
    progress: Callable[[int, int], None] | None,
) -> Decoded:
    """Decode files, several at a time."""
    pixels = np.zeros((len(files), 3, size, size), dtype=np.uint8)
    digests = [b""] * len(files)
    skipped: dict[int, str] = {}

    def read(place: int) -> None:
        content = files[place].content()
        digests[place] = _digest(content)
        with _opened(files[place], content) as opened, _turn(opened):
            pixels[place] = centre(opened, (size, size), 1.0, interpolation)

    with quiet(), ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        tasks = {pool.submit(read, place): place for place in range(len(files))}
        try:
            for done, task in enumerate(as_completed(tasks), start=1):
                place = tasks.pop(task)
                try:
                    task.result()
                # Pillow raises a dozen unrelated types for broken files, bare SyntaxError and struct.error among them.
                except Exception as error:
                    skipped[place] = f"{files[place].label(root)}: {reason(error)}"
                if progress is not None:
                    progress(done, len(files))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return Decoded(pixels, dict(sorted(skipped.items())), tuple(digests))


def digests_of(files: Sequence[File]) -> list[bytes]:
    """Return the digest of each file that `decode` gives, without decoding it; empty of one that cannot be read."""

    def digest(file: File) -> bytes:
        try:
            return _digest(file.content())
        except (OSError, DataError):
            return b""

    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        return list(pool.map(digest, files))


def short_side(file: File) -> int | None:
    """Return the short side in pixels as the file states it, or None where it cannot be read."""
    try:
        with quiet(), _opened(file) as opened:
            return min(opened.size)
    except Exception:  # as in decode
        return None


def reason(error: Exception) -> str:
    """Say in one line why a file could not be decoded."""
    if isinstance(error, UnidentifiedImageError):  # its text is a path, which the caller names already
        return "not an image that can be read"
    return " ".join(str(error).split()) or type(error).__name__


def quiet() -> AbstractContextManager[object]:
    """Keep Pillow's warnings from the terminal: what it decodes in spite of them is used, and the rest is named."""
    return warnings.catch_warnings(action="ignore")


def some(names: Sequence[str]) -> str:
    """Name a few and count the rest."""
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _opened(file: File, content: bytes | None = None) -> Image.Image:
    """Open a file, of which no more is read here than the header; a part of one is read whole."""
    if content is None and (file.planes or file.length is not None):
        content = file.content()
    if content is not None and file.planes:
        planes = np.frombuffer(content, dtype=np.uint8).reshape(3, CIFAR_SIDE, CIFAR_SIDE)
        return Image.fromarray(planes.transpose(1, 2, 0))
    try:
        return Image.open(file.path if content is None else io.BytesIO(content), formats=_IN_TURN)
    except UnidentifiedImageError:
        if (file.content() if content is None else content).startswith(_POINTERS):
            raise DataError("stands for an image of git-lfs or git-annex that was not fetched") from None
        raise


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _turn(opened: Image.Image) -> AbstractContextManager[object]:
    """Let threads decode large images one after the other, so that their memory does not add up."""
    large = opened.format != "JPEG" and opened.width * opened.height > _LARGE
    return _ONE_BY_ONE if large else nullcontext()


def _upright(opened: Image.Image, wanted: int) -> Image.Image:
    """Return an image as its EXIF data turn it; JPEG is decoded at 1/2, 1/4 or 1/8 if `wanted` pixels remain."""
    stated = opened.size
    if min(stated) >= 2 * wanted:
        opened.draft("RGB", (wanted, wanted))
    # A progressive JPEG takes the memory of its full size, however small it is decoded.
    wide, high = stated if "progressive" in opened.info else opened.size
    if wide * high > MOST_PIXELS:
        raise DataError(f"{stated[0]:,} × {stated[1]:,} px; {MOST_PIXELS:,} pixels are the most")
    opened.load()
    # Each of these would copy an image that it leaves as it is.
    image = opened if _orientation(opened) == 1 else ImageOps.exif_transpose(opened)
    return image if image.mode == "RGB" else _rgb(image)


def _orientation(opened: Image.Image) -> int:
    found = opened.getexif()
    return int(found[_ORIENTATION]) if _ORIENTATION in found else 1  # `get` is slow where there is none


def _resized(image: Image.Image, box: Box, size: Size, interpolation: Interpolation) -> Pixels:
    resized = image.resize((size[1], size[0]), Image.Resampling[interpolation.upper()], box=box)
    return np.asarray(resized, dtype=np.uint8).transpose(2, 0, 1)


def _rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB; numbers of more than 8 bits are scaled, where Pillow's conversion would clip them."""
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_eight_bits(np.asarray(image), image.mode, image.format)).convert("RGB")
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _eight_bits(values: NDArray[Any], mode: str, form: str | None) -> Pixels:
    """Scale grey values to 8 bits, or raise DataError where their range cannot be known."""
    most = values.max(initial=0)
    if mode == "F":
        if not np.isfinite(values).all() or values.min(initial=0) < 0 or most > _WHITE:
            raise DataError("float values beyond 0 to 255; save it with 8 or 16 bits")
        scaled: Pixels = np.rint(values * (_WHITE if most <= 1 else 1)).astype(np.uint8)
        return scaled
    # Pillow reads 16-bit PGM as 32-bit numbers, scaled to 16 bits.
    if mode == "I" and form != "PPM":
        raise DataError("32-bit numbers, whose range is not known; save it with 8 or 16 bits")
    if 0 < most < _DARK:
        raise DataError(f"16-bit values of {most} at most would be black; scale them to 65535 or save 8 bits")
    eight: Pixels = (values.astype(np.uint16) >> 8).astype(np.uint8)
    return eight
