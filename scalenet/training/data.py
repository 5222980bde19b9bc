"""Images and labels to train on and to hold out: in memory as pixels, or left encoded and read when they are needed."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from scalenet.training.decoding import DataError, decode, digests_of, some
from scalenet.training.embedded import CLASS_NAMES, render
from scalenet.training.memory import check_memory
from scalenet.training.selection import Selection, minival_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from scalenet.training.decoding import File, Files
    from scalenet.training.preprocessing import Interpolation
    from scalenet.training.sources import Source

CONTENTS, SIZES = "contents", "sizes"
"""What a digest of images is of, beside their names."""

_CHUNK = 64


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Hold images, uint8 [N, 3, H, W], and their labels, int64 [N]."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class FileSet:
    """Hold encoded images below `root`, and their labels, int64 [N]; `strict` refuses those that cannot be decoded."""

    root: Path
    files: tuple[File, ...]
    labels: Tensor
    strict: bool = False

    def __len__(self) -> int:
        return len(self.labels)


Images: TypeAlias = ImageSet | FileSet


@dataclass(frozen=True, eq=False)
class Splits:
    """Hold the images to train on, the held-out ones, and those that choose the best epoch, if any (`minival`).

    `digest` is a sha256 of the class names, labels and pixels: the same images give the same digest wherever they lie;
    `names` is one of the names of classes and files and of what is in the files: of images that are left encoded, of
    their sizes alone. `drawn` is the share that was drawn to be held out. `skipped` has one line for each file that
    could not be decoded, and `found` is what lies in the folder, as `Source.data` has it.
    """

    train: Images
    validation: Images
    classes: tuple[str, ...]
    name: str
    digest: str
    skipped: tuple[str, ...] = ()
    minival: Images | None = None
    names: str = ""
    drawn: float | None = None
    found: dict[str, Any] | None = None
    spare: int = 0
    """Images that could have been trained on, but for the limit of their number."""


def embedded_splits(
    *, train: int = 8000, validation: int = 4000, size: int = 48, seed: int = 0, minival: int = 0
) -> Splits:
    """Render the embedded task: `train` and `validation` images of `size` pixels.

    The held-out images follow from the seed alone, however many images there are to train on. Raise
    `EmbeddedTaskError` for counts, sizes and seeds that cannot be rendered.
    """
    sets = [
        ImageSet(torch.from_numpy(images), torch.from_numpy(labels))
        # Two seeds, since one series cut in two would tie the held-out images to the number before them.
        for images, labels in (
            render(train, size=size, seed=2 * seed),
            render(validation, size=size, seed=2 * seed + 1),
        )
    ]
    kept = train - minival_size(minival, train)
    parts = [ImageSet(sets[0].images[part], sets[0].labels[part]) for part in (slice(kept), slice(kept, None))]
    splits = _splits(parts[0], sets[1], parts[1] if kept < train else None, classes=CLASS_NAMES, name="embedded")
    return replace(splits, names=splits.digest)


def read(
    selection: Selection,
    *,
    size: int,
    copies: int = 2,
    memory: int | None = None,
    strict: bool = False,
    interpolation: Interpolation = "bilinear",
    progress: Callable[[int, int], None] | None = None,
) -> Splits:
    """Decode all images into memory: RGB, upright, `size` pixels on the short side, cropped to the central square.

    Files that cannot be decoded are left out and named in `Splits.skipped`; `strict` refuses them, and what of the
    folder is left out although it was meant to be used. `copies` is how
    often the pixels will be held (resampled ones count), `memory` the number of bytes that may be used (the free
    memory of this machine unless given); `progress` is called with the number of files read and their total. Raise
    `DataError` where the memory does not suffice, or broken files leave a class empty.
    """
    source = selection.source
    if size < 1:
        raise DataError(f"{source.root}: images of {size} px asked for; ask for 1 px or more")
    if strict:
        source.check_whole()
    check_memory(selection, size=size, copies=copies, memory=memory)
    sets, skipped, digests = [], list[str](), list[bytes]()
    tell = _counting(progress, len(selection))
    for part, kind in zip(selection.parts(), ("training", "held-out", None), strict=False):
        images, broken, contents = _read(
            part, source, size=size, strict=strict, interpolation=interpolation, progress=tell
        )
        if kind is not None:  # a minival may do without a class
            _check_left(images.labels, source, kind=kind, broken=broken)
        sets.append(images)
        skipped += broken
        digests += contents
    minival = sets[2] if selection.minival else None
    splits = _splits(sets[0], sets[1], minival, classes=source.classes, name=source.name, skipped=tuple(skipped))
    names = _names(selection, CONTENTS, digests)
    return replace(splits, names=names, drawn=selection.drawn, found=source.data(), spare=selection.spare)


def read_part(
    part: Files,
    source: Source,
    *,
    size: int,
    strict: bool = False,
    interpolation: Interpolation = "bilinear",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[ImageSet, list[str]]:
    """Decode one part as `read` does; return the images, and a line for each file that could not be decoded."""
    images, skipped, _ = _read(part, source, size=size, strict=strict, interpolation=interpolation, progress=progress)
    return images, skipped


def _read(
    part: Files,
    source: Source,
    *,
    size: int,
    strict: bool,
    interpolation: Interpolation,
    progress: Callable[[int, int], None] | None,
) -> tuple[ImageSet, list[str], tuple[bytes, ...]]:
    files = _labelled(part)
    encoded = [file for file, _ in files]
    found = decode(encoded, size=size, root=source.root, interpolation=interpolation, progress=progress)
    skipped = list(found.skipped.values())
    if strict and skipped:
        raise DataError(f"{source.root}: {len(skipped)} broken files: {some(skipped)}")
    kept = np.ones(len(files), dtype=np.bool_)
    kept[list(found.skipped)] = False
    labels = np.array([label for _, label in files], dtype=np.int64)
    pixels = found.pixels if kept.all() else found.pixels[kept]
    return ImageSet(torch.from_numpy(pixels), torch.from_numpy(labels[kept])), skipped, found.digests


def stream(selection: Selection, *, strict: bool = False) -> Splits:
    """Leave all images encoded, to be read when they are needed."""
    source = selection.source
    if strict:
        source.check_whole()
    sets = [stream_part(part, source, strict=strict) for part in selection.parts()]
    names = names_of(selection, SIZES)
    return Splits(
        sets[0],
        sets[1],
        source.classes,
        source.name,
        names,
        minival=sets[2] if selection.minival else None,
        names=names,
        drawn=selection.drawn,
        found=source.data(),
        spare=selection.spare,
    )


def stream_part(part: Files, source: Source, *, strict: bool = False) -> FileSet:
    """Leave one part encoded."""
    files = _labelled(part)
    labels = torch.tensor([label for _, label in files])
    return FileSet(source.root, tuple(file for file, _ in files), labels, strict)


def names_of(selection: Selection, kind: str) -> str:
    """Return `Splits.names` of images that are not read: by their `CONTENTS` as `read` has it, or by their `SIZES`."""
    files = [file for part in selection.parts() for file, _ in _labelled(part)]
    return _names(selection, kind, digests_of(files) if kind == CONTENTS else [file.size() for file in files])


def chance(images: Splits | Selection) -> float:
    """Return the share of the largest class among the held-out images: the accuracy of always saying this class."""
    counts = _held_out_counts(images)
    return max(counts) / sum(counts)


def stakes(images: Splits | Selection) -> str:
    """Say how many images there are for what, how much one held-out image is worth, and what chance gives."""
    counts = _held_out_counts(images)
    train = len(images.train) if isinstance(images, Splits) else sum(map(len, images.train.values()))
    spare = f" ({images.spare:,} more are left out)" if images.spare else ""
    return (
        f"{images.name}: {train:,} images to train on{spare}, {sum(counts):,} held out; one held-out image is "
        f"{100 / sum(counts):.3g} points, and chance is {100 * chance(images):.1f} % ({len(counts)} classes)"
    )


def _held_out_counts(images: Splits | Selection) -> list[int]:
    if isinstance(images, Selection):
        return [len(found) for found in images.validation.values()]
    return torch.bincount(images.validation.labels, minlength=len(images.classes)).tolist()


def resample(images: Tensor, height: int, width: int, interpolation: Interpolation = "bilinear") -> Tensor:
    """Resample uint8 images [N, 3, H, W] to [N, 3, height, width], antialiased.

    Images that have the size already are returned as they are, not copied.
    """
    if tuple(images.shape[2:]) == (height, width):
        return images
    out = torch.empty((len(images), images.shape[1], height, width), dtype=torch.uint8, device=images.device)
    for start in range(0, len(images), _CHUNK):
        part = images[start : start + _CHUNK].to(torch.float32)
        part = functional.interpolate(part, (height, width), mode=interpolation, antialias=True)
        out[start : start + _CHUNK] = part.round_().clamp_(0, 255).to(torch.uint8)
    return out


def central(images: Tensor, share: float) -> Tensor:
    """Return the central part of images [N, 3, H, W], `share` of each side."""
    height, width = (max(1, round(share * side)) for side in images.shape[2:])
    top, left = (images.shape[2] - height) // 2, (images.shape[3] - width) // 2
    return images[:, :, top : top + height, left : left + width]


def _splits(
    train: ImageSet,
    validation: ImageSet,
    minival: ImageSet | None,
    *,
    classes: tuple[str, ...],
    name: str,
    skipped: tuple[str, ...] = (),
) -> Splits:
    digest = hashlib.sha256("\0".join(classes).encode())
    for images in (train, validation, *([] if minival is None else [minival])):
        digest.update(repr(tuple(images.images.shape)).encode())
        digest.update(images.labels.numpy().astype("<i8").tobytes())
        digest.update(np.ascontiguousarray(images.images.numpy()).data)
    return Splits(train, validation, classes, name, f"sha256:{digest.hexdigest()}", skipped, minival)


def _names(selection: Selection, kind: str, contents: Sequence[bytes | int]) -> str:
    """Return a digest of the names of classes and files, in their order, and of what says what is in each file."""
    source, told = selection.source, (one.hex() if isinstance(one, bytes) else one for one in contents)
    digest = hashlib.sha256("\0".join(source.classes).encode())
    for part in selection.parts():
        for file, label in _labelled(part):
            line = f"{file.label(source.root)}\0{file.offset}\0{next(told)}\0{label}\n"
            digest.update(line.encode(errors="surrogateescape"))
        digest.update(b"\n")
    return f"{kind}-sha256:{digest.hexdigest()}"


def _labelled(files: Files) -> list[tuple[File, int]]:
    return [(file, label) for label, found in enumerate(files.values()) for file in found]


def _counting(progress: Callable[[int, int], None] | None, total: int) -> Callable[[int, int], None] | None:
    """Return what counts the files of all parts together."""
    count = itertools.count(1)
    return None if progress is None else lambda *_: progress(next(count), total)


def _check_left(labels: Tensor, source: Source, *, kind: str, broken: list[str]) -> None:
    left = set(labels.tolist())
    empty = [name for label, name in enumerate(source.classes) if label not in left]
    if empty:
        raise DataError(
            f"{source.root}: no {kind} image of {some(empty)} can be decoded: {some(broken)}",
            hint="replace the files",
        )
