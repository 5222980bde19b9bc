"""Images and labels for training: the embedded task, or a folder of class folders."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

from scalenet.arch.errors import ScalenetError
from scalenet.training.embedded import CLASS_NAMES, render

TRAIN_FOLDER = "train"
HELD_OUT_FOLDERS = ("val", "validation", "valid", "test")
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})

_CHUNK = 1024
_THREADS = 8
_SHOWN = 5

Pixels = NDArray[np.uint8]
Callback = Callable[[int, int], None]


class DataError(ScalenetError):
    """Report image data that cannot be read or used."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Hold images, uint8 [N, 3, H, W], and their labels, int64 [N]."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Splits:
    """Hold the images to train on and the held-out ones.

    ``digest`` is a sha256 of the class names, labels and pixels: the same images give the same digest wherever they
    lie. ``skipped`` has one line for each file that could not be decoded.
    """

    train: ImageSet
    validation: ImageSet
    classes: tuple[str, ...]
    name: str
    digest: str
    skipped: tuple[str, ...] = ()


def embedded_splits(*, train: int = 8000, validation: int = 4000, size: int = 48, seed: int = 0) -> Splits:
    """Render the embedded task: ``train`` and ``validation`` images of ``size`` pixels.

    The held-out images follow from the seed alone, however many images there are to train on. Raise
    ``EmbeddedTaskError`` for counts, sizes and seeds that cannot be rendered.
    """
    sets = [
        ImageSet(torch.from_numpy(images), torch.from_numpy(labels))
        # Two seeds, since one series cut in two would tie the held-out images to the number before them.
        for images, labels in (
            render(train, size=size, seed=2 * seed),
            render(validation, size=size, seed=2 * seed + 1),
        )
    ]
    return _splits(sets[0], sets[1], classes=CLASS_NAMES, name="embedded", skipped=())


def folder_splits(
    directory: str | Path,
    *,
    size: int,
    seed: int,
    limit: int | None = None,
    validation_fraction: float = 0.1,
    memory: int | None = None,
    progress: Callback | None = None,
) -> Splits:
    """Read a folder of class folders, each full of images.

    The folder holds ``train`` and one of ``HELD_OUT_FOLDERS``, or class folders only; then ``validation_fraction`` of
    each class is held out, drawn by the seed. Images become RGB, upright, ``size`` pixels on the short side and
    cropped to the central square. ``limit`` keeps that many training images, drawn by the seed in proportion to the
    classes. Files that cannot be decoded are left out and named in ``Splits.skipped``. ``memory`` is the number of
    bytes that may be used (the free memory of this machine unless given); ``progress`` is called with the number of
    files read and their total. Raise ``DataError`` for folders, classes or numbers that do not add up.
    """
    root = Path(directory)
    if size < 1:
        raise DataError(f"{root}: images of {size} px asked for; ask for 1 px or more")
    train, held_out = _listed(root, seed=seed, fraction=validation_fraction)
    if limit is not None:
        train = _limited(train, limit=limit, seed=seed, root=root)
    files = [*_labelled(train), *_labelled(held_out)]
    _check_memory(root, len(files), size=size, memory=memory)
    pixels, skipped = _decode([file for file, _ in files], size=size, root=root, progress=progress)
    kept = np.ones(len(files), dtype=np.bool_)
    kept[list(skipped)] = False
    labels = np.array([label for _, label in files], dtype=np.int64)
    border = sum(map(len, train.values()))
    sets = []
    for part, kind in ((slice(0, border), "training"), (slice(border, None), "held-out")):
        _check_left(labels[part][kept[part]], tuple(train), kind=kind, skipped=len(skipped), root=root)
        sets.append(ImageSet(*map(torch.from_numpy, (pixels[part][kept[part]], labels[part][kept[part]]))))
    return _splits(sets[0], sets[1], classes=tuple(train), name=root.resolve().name, skipped=tuple(skipped.values()))


def class_names(directory: str | Path) -> tuple[str, ...]:
    """Return the names of the class folders that ``folder_splits`` would read, in its order."""
    return tuple(_classes(_train_root(Path(directory))))


def native_size(directory: str | Path) -> int:
    """Return the median short side, in pixels, of up to 64 of the training images, as their files state it."""
    paths = [path for found in _classes(_train_root(Path(directory))).values() for path in found]
    sides = [side for path in paths[:: -(-len(paths) // 64)] if (side := _short_side(path)) is not None]
    if not sides:
        raise DataError(f"{directory}: none of the images tried can be read; replace the files")
    return sorted(sides)[len(sides) // 2]


def resample(images: Tensor, height: int, width: int) -> Tensor:
    """Resample uint8 images [N, 3, H, W] to [N, 3, height, width], antialiased (bilinear).

    Images that have the size already are returned as they are, not copied.
    """
    if tuple(images.shape[2:]) == (height, width):
        return images
    out = torch.empty((len(images), images.shape[1], height, width), dtype=torch.uint8)
    for start in range(0, len(images), _CHUNK):
        part = images[start : start + _CHUNK].to(torch.float32)
        part = functional.interpolate(part, (height, width), mode="bilinear", antialias=True)
        out[start : start + _CHUNK] = part.round_().clamp_(0, 255).to(torch.uint8)
    return out


_Files = dict[str, list[Path]]


def _splits(
    train: ImageSet, validation: ImageSet, *, classes: tuple[str, ...], name: str, skipped: tuple[str, ...]
) -> Splits:
    digest = hashlib.sha256("\0".join(classes).encode())
    for images in (train, validation):
        digest.update(repr(tuple(images.images.shape)).encode())
        digest.update(images.labels.numpy().astype("<i8").tobytes())
        digest.update(np.ascontiguousarray(images.images.numpy()).data)
    return Splits(train, validation, classes, name, f"sha256:{digest.hexdigest()}", skipped)


def _listed(root: Path, *, seed: int, fraction: float) -> tuple[_Files, _Files]:
    """List the files to train on and the held-out ones, by class."""
    given = _train_root(root)
    train = _classes(given)
    held_out = next((root / name for name in HELD_OUT_FOLDERS if (root / name).is_dir()), None)
    if given != root and held_out is not None:
        other = _classes(held_out)
        _check_same(train, other, root=root, names=(TRAIN_FOLDER, held_out.name))
        return train, other
    return _held_out(train, seed=seed, fraction=fraction, root=root)


def _train_root(root: Path) -> Path:
    if not root.is_dir():
        raise DataError(f"{root}: no such directory; give a folder that holds one folder of images a class")
    return root / TRAIN_FOLDER if (root / TRAIN_FOLDER).is_dir() else root


def _classes(folder: Path) -> _Files:
    """List the image files of each class folder, sorted, so that no file system's order matters."""
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise DataError(f"{folder}: no class folders; put the images of each class into a folder of its own")
    if len(names) == 1:
        raise DataError(f"{folder}: only one class ({names[0]}); a classifier needs two or more class folders")
    files = {name: _images(folder / name) for name in names}
    for name, found in files.items():
        if not found:
            raise DataError(f"{folder / name}: no images ({', '.join(sorted(SUFFIXES))}); add some or remove it")
    return files


def _images(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    # macOS leaves files like ._cat.jpg that are no images.
    return sorted((path for path in found if not path.name.startswith(".")), key=lambda path: path.as_posix())


def _check_same(train: _Files, held_out: _Files, *, root: Path, names: tuple[str, str]) -> None:
    for one, other, place in ((train, held_out, names[1]), (held_out, train, names[0])):
        missing = sorted(set(one) - set(other))
        if missing:
            raise DataError(f"{root / place}: lacks the classes {_some(missing)}; both folders need the same classes")


def _held_out(files: _Files, *, seed: int, fraction: float, root: Path) -> tuple[_Files, _Files]:
    """Draw a share of every class by the seed."""
    if not 0.0 < fraction < 1.0:
        raise DataError(f"{root}: a held-out fraction of {fraction:g} asked for; it must lie between 0 and 1")
    train: _Files = {}
    held_out: _Files = {}
    for index, (name, found) in enumerate(files.items()):
        if len(found) < 2:
            raise DataError(f"{root}: class {name} has one image only; add more, since some images are held out")
        count = min(len(found) - 1, max(1, round(fraction * len(found))))
        chosen = set(_draw(len(found), count, seed=seed, stream=(0, index)))
        train[name] = [path for place, path in enumerate(found) if place not in chosen]
        held_out[name] = [path for place, path in enumerate(found) if place in chosen]
    return train, held_out


def _limited(files: _Files, *, limit: int, seed: int, root: Path) -> _Files:
    """Keep about ``limit`` files, every class by its share and at least one of each."""
    if limit < len(files):
        raise DataError(f"{root}: {limit} images for {len(files)} classes; give --images {len(files)} or more")
    total = sum(map(len, files.values()))
    if limit >= total:
        return files
    counts = _shares([len(found) for found in files.values()], limit)
    kept: _Files = {}
    for index, ((name, found), count) in enumerate(zip(files.items(), counts, strict=True)):
        kept[name] = [found[place] for place in _draw(len(found), count, seed=seed, stream=(1, index))]
    return kept


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


def _draw(size: int, count: int, *, seed: int, stream: tuple[int, int]) -> list[int]:
    """Draw ``count`` of the places 0 to ``size`` - 1 from a stream of its own, in ascending order."""
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(abs(seed), spawn_key=stream)))
    return sorted(generator.permutation(size)[:count].tolist())


def _labelled(files: _Files) -> list[tuple[Path, int]]:
    return [(path, label) for label, found in enumerate(files.values()) for path in found]


def _check_memory(root: Path, count: int, *, size: int, memory: int | None) -> None:
    # Twice: the images as read, and their copy at a candidate's resolution.
    needed = 2 * count * 3 * size * size
    free = _free_memory() if memory is None else memory
    if free is not None and needed > free:
        raise DataError(
            f"{root}: {count} images of {size} px need {needed / 2**30:.1f} GiB of memory and "
            f"{free / 2**30:.1f} GiB are free; take fewer with --images"
        )


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


def _decode(
    files: Sequence[Path], *, size: int, root: Path, progress: Callback | None
) -> tuple[Pixels, dict[int, str]]:
    """Decode files to uint8 [N, 3, size, size], and say which (by place) could not be read and why."""
    pixels = np.zeros((len(files), 3, size, size), dtype=np.uint8)
    skipped: dict[int, str] = {}
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        tasks = {pool.submit(_read, path, size): place for place, path in enumerate(files)}
        try:
            for done, task in enumerate(as_completed(tasks), start=1):
                place = tasks.pop(task)
                try:
                    pixels[place] = task.result()
                # Pillow raises a dozen unrelated types for broken files, bare SyntaxError and struct.error among them.
                except Exception as error:
                    skipped[place] = f"{_relative(files[place], root)}: {_reason(error)}"
                if progress is not None:
                    progress(done, len(files))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return pixels, dict(sorted(skipped.items()))


def _read(path: Path, size: int) -> Pixels:
    """Decode one file to the central square, uint8 [3, size, size]."""
    with Image.open(path) as opened:
        # JPEG can decode at 1/2, 1/4 or 1/8; twice the size leaves the resampling something to average.
        opened.draft("RGB", (2 * size, 2 * size))
        upright: Image.Image = ImageOps.exif_transpose(opened)
        square = ImageOps.fit(_rgb(upright), (size, size), method=Image.Resampling.BILINEAR)
    pixels: Pixels = np.asarray(square, dtype=np.uint8).transpose(2, 0, 1)
    return pixels


def _short_side(path: Path) -> int | None:
    try:
        with Image.open(path) as opened:
            return min(opened.size)
    except Exception:  # as in _decode
        return None


def _rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB; 16-bit greyscale keeps its upper bits, where Pillow's conversion would clip."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image, dtype=np.uint16) >> 8).astype(np.uint8)).convert("RGB")
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    """Say in one line why a file could not be decoded."""
    if isinstance(error, UnidentifiedImageError):  # its text is a path, which the caller names already
        return "not an image that can be read"
    return " ".join(str(error).split()) or type(error).__name__


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _check_left(labels: NDArray[np.int64], classes: Sequence[str], *, kind: str, skipped: int, root: Path) -> None:
    empty = [name for label, name in enumerate(classes) if label not in set(labels.tolist())]
    if empty:
        raise DataError(
            f"{root}: no {kind} image of {_some(empty)} can be decoded ({skipped} broken files); replace the files"
        )


def _some(names: Sequence[str]) -> str:
    """Name a few and count the rest."""
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
