"""Images and labels to train on and to hold out: in memory as pixels, or left encoded and read when they are needed."""

from __future__ import annotations

import hashlib
import itertools
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from scalenet.training.decoding import DataError, decode, some
from scalenet.training.embedded import CLASS_NAMES, render

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scalenet.training.decoding import File, Files
    from scalenet.training.sources import Source

HELD_OUT = 0.1
"""The share of each class that is held out where the data have no held-out images."""

_CHUNK = 1024


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
    kept = train - _minival(minival, train)
    parts = [ImageSet(sets[0].images[part], sets[0].labels[part]) for part in (slice(kept), slice(kept, None))]
    splits = _splits(parts[0], sets[1], parts[1] if kept < train else None, classes=CLASS_NAMES, name="embedded")
    return replace(splits, names=splits.digest)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which encoded images of a source are for what."""

    source: Source
    train: Files
    validation: Files
    minival: Files | None
    drawn: float | None
    spare: int = 0

    def __len__(self) -> int:
        return sum(len(found) for part in self.parts() for found in part.values())

    @property
    def name(self) -> str:
        """The name of the data."""
        return self.source.name

    def parts(self) -> list[Files]:
        """Return all parts."""
        return [part for part in (self.train, self.validation, self.minival) if part is not None]


def select(
    source: Source, *, seed: int, limit: int | None = None, fraction: float = HELD_OUT, minival: int = 0
) -> Selection:
    """Draw by the seed, class by class, which images are for what.

    Where the source has no held-out images, `fraction` of each class is held out. `limit` keeps that many training
    images, in proportion to the classes. `minival` is taken from them, but no more than a tenth. Raise `DataError` for
    numbers that do not add up.
    """
    train, validation, drawn = source.train, source.held_out, None
    if validation is None:
        drawn = fraction
        train, validation = _held_out(train, seed=seed, fraction=fraction, root=source.root)
    spare = 0
    if limit is not None:
        train, rest = _divided(train, limit, seed=seed, stream=1, root=source.root)
        spare = sum(map(len, rest.values()))
    count = sum(map(len, train.values()))
    wanted = _minival(minival, count)
    if not wanted:
        return Selection(source, train, validation, None, drawn, spare)
    return Selection(source, *_with_minival(train, validation, wanted, count, seed, source.root), drawn, spare)


def read(
    selection: Selection,
    *,
    size: int,
    copies: int = 2,
    memory: int | None = None,
    strict: bool = False,
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
    _check_memory(selection, size=size, copies=copies, memory=memory)
    sets, skipped, digests = [], list[str](), list[bytes]()
    tell = _counting(progress, len(selection))
    for part, kind in zip(selection.parts(), ("training", "held-out", None), strict=False):
        images, broken, contents = _read(part, source, size=size, strict=strict, progress=tell)
        if kind is not None:  # a minival may do without a class
            _check_left(images.labels, source, kind=kind, broken=broken)
        sets.append(images)
        skipped += broken
        digests += contents
    minival = sets[2] if selection.minival else None
    splits = _splits(sets[0], sets[1], minival, classes=source.classes, name=source.name, skipped=tuple(skipped))
    names = _names(selection, [digest.hex() for digest in digests])
    return replace(splits, names=f"contents-{names}", drawn=selection.drawn, found=source.data(), spare=selection.spare)


def read_part(
    part: Files,
    source: Source,
    *,
    size: int,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[ImageSet, list[str]]:
    """Decode one part as `read` does; return the images, and a line for each file that could not be decoded."""
    images, skipped, _ = _read(part, source, size=size, strict=strict, progress=progress)
    return images, skipped


def _read(
    part: Files, source: Source, *, size: int, strict: bool, progress: Callable[[int, int], None] | None
) -> tuple[ImageSet, list[str], tuple[bytes, ...]]:
    files = _labelled(part)
    found = decode([file for file, _ in files], size=size, root=source.root, progress=progress)
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
    names = "sizes-" + _names(selection, [str(file.size()) for part in sets for file in part.files])
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


def chance(images: Splits | Selection) -> float:
    """Return the share of the largest class among the held-out images: the accuracy of always saying this class."""
    counts = _held_out_counts(images)
    return max(counts) / sum(counts)


def stakes(images: Splits | Selection) -> str:
    """Say how many images there are for what, how much one held-out image is worth, and what chance gives."""
    counts = _held_out_counts(images)
    train = len(images.train) if isinstance(images, Splits) else sum(map(len, images.train.values()))
    spare = f" ({images.spare:,} more are left out by --images)" if images.spare else ""
    return (
        f"{images.name}: {train:,} images to train on{spare}, {sum(counts):,} held out; one held-out image is "
        f"{100 / sum(counts):.3g} points, and chance is {100 * chance(images):.1f} % ({len(counts)} classes)"
    )


def _held_out_counts(images: Splits | Selection) -> list[int]:
    if isinstance(images, Selection):
        return [len(found) for found in images.validation.values()]
    return torch.bincount(images.validation.labels, minlength=len(images.classes)).tolist()


def fits(count: int, *, size: int, copies: int, memory: int | None = None) -> bool:
    """Return whether the free memory (or `memory` bytes) holds `count` images of `size` pixels `copies` times."""
    free = _free_memory() if memory is None else memory
    return free is None or _needed(count, size, copies) <= free


def resample(images: Tensor, height: int, width: int) -> Tensor:
    """Resample uint8 images [N, 3, H, W] to [N, 3, height, width], antialiased (bilinear).

    Images that have the size already are returned as they are, not copied.
    """
    if tuple(images.shape[2:]) == (height, width):
        return images
    out = torch.empty((len(images), images.shape[1], height, width), dtype=torch.uint8, device=images.device)
    for start in range(0, len(images), _CHUNK):
        part = images[start : start + _CHUNK].to(torch.float32)
        part = functional.interpolate(part, (height, width), mode="bilinear", antialias=True)
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


def _names(selection: Selection, contents: Sequence[str]) -> str:
    """Return a digest of the names of classes and files, in their order, and of what says what is in each file."""
    source, told = selection.source, iter(contents)
    digest = hashlib.sha256("\0".join(source.classes).encode())
    for part in selection.parts():
        for file, label in _labelled(part):
            line = f"{file.label(source.root)}\0{file.offset}\0{next(told)}\0{label}\n"
            digest.update(line.encode(errors="surrogateescape"))
        digest.update(b"\n")
    return f"sha256:{digest.hexdigest()}"


def _minival(wanted: int, count: int) -> int:
    return min(wanted, count // 10)


def _held_out(files: Files, *, seed: int, fraction: float, root: Path) -> tuple[Files, Files]:
    """Draw a share of every class by the seed."""
    if not 0.0 < fraction < 1.0:
        raise DataError(f"{root}: a held-out fraction of {fraction:g} asked for; it must lie between 0 and 1")
    for name, found in files.items():
        if len(found) < 2:
            raise DataError(f"{root}: class {name} has one image only; add more, since some images are held out")
    counts = [min(len(found) - 1, max(1, round(fraction * len(found)))) for found in files.values()]
    held_out, train = _drawn(files, counts, seed=seed, stream=0)
    return train, held_out


def _divided(files: Files, count: int, *, seed: int, stream: int, root: Path) -> tuple[Files, Files]:
    """Divide files into `count` drawn ones, every class by its share and at least one of each, and the rest."""
    if count < len(files):
        raise DataError(f"{root}: {count} images for {len(files)} classes; give --images {len(files)} or more")
    if count >= sum(map(len, files.values())):
        return files, {}
    return _drawn(files, _shares([len(found) for found in files.values()], count), seed=seed, stream=stream)


def _with_minival(
    train: Files, validation: Files, wanted: int, count: int, seed: int, root: Path
) -> tuple[Files, Files, Files]:
    if wanted < len(train) or min(map(len, train.values())) < 2:
        raise DataError(
            f"{root}: {count} training images are too few to keep some of each class for choosing the best epoch",
            hint="--set minival=0 --set patience=null trains on all of them",
        )
    kept, minival = _divided(train, count - wanted, seed=seed, stream=2, root=root)
    return kept, validation, minival


def _drawn(files: Files, counts: Sequence[int], *, seed: int, stream: int) -> tuple[Files, Files]:
    """Draw that many of each class by the seed, each class from a stream of its own; return them and the rest."""
    drawn: Files = {}
    rest: Files = {}
    for index, ((name, found), count) in enumerate(zip(files.items(), counts, strict=True)):
        sequence = np.random.SeedSequence(abs(seed), spawn_key=(stream, index))
        chosen = set(np.random.Generator(np.random.PCG64(sequence)).permutation(len(found))[:count].tolist())
        drawn[name] = [file for place, file in enumerate(found) if place in chosen]
        rest[name] = [file for place, file in enumerate(found) if place not in chosen]
    return drawn, rest


def _shares(sizes: Sequence[int], limit: int) -> list[int]:
    """Divide a limit in proportion to sizes: one each, then always to the class that is furthest behind."""
    total = sum(sizes)
    counts = [max(1, limit * size // total) for size in sizes]
    while sum(counts) < limit:
        behind = max(range(len(sizes)), key=lambda place: (sizes[place] * limit / total - counts[place], -place))
        counts[behind] += 1
    while sum(counts) > limit:
        ahead = max(range(len(sizes)), key=lambda place: (counts[place] - sizes[place] * limit / total, -place))
        counts[ahead] -= 1
    return counts


def _labelled(files: Files) -> list[tuple[File, int]]:
    return [(file, label) for label, found in enumerate(files.values()) for file in found]


def _check_memory(selection: Selection, *, size: int, copies: int, memory: int | None) -> None:
    count, free = len(selection), _free_memory() if memory is None else memory
    if free is not None and not fits(count, size=size, copies=copies, memory=free):
        raise DataError(
            f"{selection.source.root}: {count} images of {size} px, held {copies} times, need "
            f"{_needed(count, size, copies) / 2**30:.1f} GiB of memory and {free / 2**30:.1f} GiB are free",
            hint="take fewer with --images",
        )


def _needed(count: int, size: int, copies: int) -> int:
    return copies * count * 3 * size * size


def _free_memory() -> int | None:
    """Return the free memory in bytes, or None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") + _reclaimable()
    except (ValueError, OSError, AttributeError):
        return None


def _reclaimable() -> int:
    """Return the bytes that Linux keeps as file cache and gives back when asked."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    return max(0, sizes.get("MemAvailable", 0) - sizes.get("MemFree", 0))


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
