"""Where images lie: class folders (ImageNet's included), tar shards, and CIFAR's own binary files.

A source is a listing: which encoded images there are, by class, to train on and held out. Nothing is decoded here.
"""

from __future__ import annotations

import tarfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from scalenet.training.decoding import CIFAR_SIDE, DataError, File, short_side, some

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Files: TypeAlias = dict[str, list[File]]
"""Encoded images by class, classes in the order of their labels."""

TRAIN_FOLDER = "train"
HELD_OUT_FOLDERS = ("val", "validation", "valid", "test")
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})

_CIFAR_FOLDERS = ("", "cifar-10-batches-bin", "cifar-100-binary")
_CIFAR_PIXELS = 3 * CIFAR_SIDE**2


@dataclass(frozen=True, slots=True)
class Source:
    """The images below a folder; `held_out` is None where the data come without held-out images."""

    root: Path
    train: Files
    held_out: Files | None

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.root.resolve().name

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes in the order of their labels."""
        return tuple(self.train)


def find_source(directory: str | Path) -> Source:
    """Return the images of a folder, in whatever form it holds them, or raise DataError."""
    root = Path(directory)
    if not root.is_dir():
        raise DataError(f"{root}: no such directory; give a folder that holds one folder of images a class")
    for folder in _CIFAR_FOLDERS:
        if (root / folder / "test_batch.bin").is_file() or (root / folder / "test.bin").is_file():
            return _cifar(root / folder)
    if (root / "data_batch_1").is_file() or (root / "meta").is_file():
        raise DataError(
            f"{root}: CIFAR as pickled Python objects, which can run any code when they are read",
            hint="take the binary version from the same page: cifar-10-binary.tar.gz or cifar-100-binary.tar.gz",
        )
    source = _shards(root) or _folders(root)
    if source.held_out is not None:
        _check_same(source)
    return source


def native_size(source: Source) -> int:
    """Return the median short side, in pixels, of up to 64 of the training images, as their files state it."""
    files = [file for found in source.train.values() for file in found]
    sides = [side for file in files[:: -(-len(files) // 64)] if (side := short_side(file)) is not None]
    if not sides:
        raise DataError(f"{source.root}: none of the images tried can be read; replace the files")
    return sorted(sides)[len(sides) // 2]


def _folders(root: Path) -> Source:
    given = root / TRAIN_FOLDER if (root / TRAIN_FOLDER).is_dir() else root
    held_out = next((root / name for name in HELD_OUT_FOLDERS if (root / name).is_dir()), None)
    if given == root or held_out is None:
        return Source(root, _classes(given), None)
    return Source(root, _classes(given), _classes(held_out))


def _classes(folder: Path) -> Files:
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


def _images(folder: Path) -> list[File]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    # macOS leaves files like ._cat.jpg that are no images.
    return [File(path) for path in sorted(path.as_posix() for path in found if not path.name.startswith("."))]


def _check_same(source: Source) -> None:
    assert source.held_out is not None
    for one, other, place in (
        (source.train, source.held_out, "held-out"),
        (source.held_out, source.train, "training"),
    ):
        missing = sorted(set(one) - set(other))
        if missing:
            raise DataError(
                f"{source.root}: the {place} images lack the classes {some(missing)}; both parts need the same classes"
            )


def _shards(root: Path) -> Source | None:
    """List the images of tar shards as webdataset writes them: `KEY.jpg` with `KEY.cls` beside it.

    `train-*.tar` and `val-*.tar` (or another name of `HELD_OUT_FOLDERS`), or folders of these names with shards. A
    `.cls` holds a number or a name; `classes.txt` names the numbers, a line each.
    """
    shards = sorted([*root.glob("*.tar"), *root.glob("*/*.tar")])
    if not shards:
        return None
    held_out = [shard for shard in shards if _part(shard, root).startswith(HELD_OUT_FOLDERS)]
    train = [shard for shard in shards if shard not in held_out]
    if not train:
        raise DataError(f"{root}: no shards to train on; call them train-000.tar and so on")
    names = root / "classes.txt"
    classes = names.read_text(encoding="utf-8").splitlines() if names.is_file() else None
    return Source(root, _members(train, classes), _members(held_out, classes) if held_out else None)


def _part(shard: Path, root: Path) -> str:
    return shard.relative_to(root).parts[0]


def _members(shards: Sequence[Path], classes: list[str] | None) -> Files:
    found: defaultdict[str, list[File]] = defaultdict(list)
    for shard in shards:
        for file, label in _pairs(shard):
            found[_class_name(label, classes, shard)].append(file)
    if len(found) < 2:
        raise DataError(f"{shards[0]}: {len(found)} classes; a classifier needs two or more")
    order = classes or sorted(found, key=lambda name: (0, int(name), "") if name.isdecimal() else (1, 0, name))
    empty = [name for name in order if name not in found]
    if empty:
        raise DataError(f"{shards[0].parent}: no images of {some(empty)}; add some or change classes.txt")
    return {name: found[name] for name in order}


def _pairs(shard: Path) -> Iterator[tuple[File, str]]:
    """Yield the images of a shard with the text of their labels, in their order."""
    images, labels, end = {}, {}, 0
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                folder, _, name = member.name.rpartition("/")
                key, _, kind = name.partition(".")
                file = File(str(shard), member.offset_data, member.size, member.name)
                if f".{kind.lower()}" in SUFFIXES:
                    images[folder, key] = file
                elif kind == "cls":
                    labels[folder, key] = file.content().decode().strip()
                end = -(-(file.offset + member.size) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        # tarfile takes a header that is cut short for the end.
        if File(str(shard), end, tarfile.BLOCKSIZE).content() != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("no mark at the end")
    except (tarfile.TarError, UnicodeDecodeError) as error:
        raise DataError(f"{shard}: {error}", hint="the shard is cut short or damaged; copy it again") from None
    bare = [file.member for key, file in images.items() if key not in labels]
    if bare:
        raise DataError(f"{shard}: no .cls beside {some(bare)}; each image needs its class")
    yield from ((file, labels[key]) for key, file in images.items())


def _class_name(label: str, classes: list[str] | None, shard: Path) -> str:
    if classes is None or label in classes:
        return label
    if label.isdecimal() and int(label) < len(classes):
        return classes[int(label)]
    raise DataError(f"{shard}: class {label!r} is not one of the {len(classes)} in classes.txt")


def _cifar(folder: Path) -> Source:
    """List the records of CIFAR-10 (a label and 3,072 values) or CIFAR-100 (two labels, the second is the class)."""
    fine = (folder / "test.bin").is_file()
    names = folder / ("fine_label_names.txt" if fine else "batches.meta.txt")
    train = [folder / "train.bin"] if fine else sorted(folder.glob("data_batch_*.bin"))
    test = folder / ("test.bin" if fine else "test_batch.bin")
    for file in (names, *train, test):
        if not file.is_file():
            raise DataError(f"{file}: no such file; unpack the whole archive")
    classes = names.read_text(encoding="utf-8").split()
    return Source(folder, _records(train, classes, 1 + fine), _records([test], classes, 1 + fine))


def _records(files: Sequence[Path], classes: list[str], labels: int) -> Files:
    found: Files = {name: [] for name in classes}
    for path in files:
        content, length = path.read_bytes(), labels + _CIFAR_PIXELS
        if not content or len(content) % length:
            raise DataError(f"{path}: {len(content)} bytes are no whole number of records; download it again")
        for number, label in enumerate(content[labels - 1 :: length]):
            if label >= len(classes):
                raise DataError(f"{path}: class {label} of record {number} is not one of {len(classes)}")
            start = number * length + labels
            found[classes[label]].append(File(str(path), start, _CIFAR_PIXELS, f"record {number}", planes=True))
    if not all(found.values()):
        raise DataError(f"{files[0]}: no image of {some([name for name, those in found.items() if not those])}")
    return found
