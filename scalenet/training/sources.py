"""Where images lie: class folders (ImageNet's included), tar shards, and CIFAR's own binary files.

A source is a listing: which encoded images there are, by class, to train on and held out, and what is left out. Every
file below the folder is one of these. Nothing is decoded here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from scalenet.arch.errors import nearest
from scalenet.training.cifar import find_cifar, read_cifar
from scalenet.training.decoding import DataError, Files, below, short_side, some
from scalenet.training.layout import find_parts, read_classes
from scalenet.training.shards import find_shards, read_shards
from scalenet.training.tree import LOST, LeftOut, Why, scan, unused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scalenet.training.tree import Folder

Layout: TypeAlias = Literal["auto", "folders", "classes", "shards", "cifar"]
LAYOUTS = ("auto", "folders", "classes", "shards", "cifar")
"""How data may lie: `classes` takes every folder for a class, where `folders` knows splits by their names."""

_WORDS = {"folders": "class folders", "classes": "class folders", "shards": "tar shards", "cifar": "CIFAR's files"}
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Source:
    """The images below a folder; `held_out` is None where the data come without held-out images.

    `layout` is how they lie, `places` where each part does, and `left_out` what of the folder is not used.
    """

    root: Path
    train: Files
    held_out: Files | None
    layout: str = "folders"
    places: tuple[str, str] = ("", "")
    left_out: tuple[LeftOut, ...] = ()

    @property
    def name(self) -> str:
        """The folder's name."""
        return _text(self.root.resolve().name)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes in the order of their labels."""
        return tuple(self.train)

    def lines(self) -> Iterator[str]:
        """Yield what was found, in lines: splits, classes, the images of each, and what is left out and why."""
        parts = zip(("to train on", "held out"), self.places, (self.train, self.held_out), strict=True)
        for what, place, files in parts:
            if files is not None:
                where = f" in {place}" if place else ""
                yield f"{self.name}: {_WORDS[self.layout]}: {what}{where}: {_counted(files)}"
        for line in unused(list(self.left_out)):
            yield f"{self.name}: left out: {line}"

    def data(self) -> dict[str, Any]:
        """Return what was found, as JSON has it: all numbers and names."""
        counts = [None if files is None else _counts(files) for files in (self.train, self.held_out)]
        places: dict[str, list[str]] = {}
        for one in self.left_out:
            places.setdefault(one.why.name, []).append(_text(one.place))
        return {"layout": self.layout, "train": counts[0], "held_out": counts[1], "left_out": places}

    def check_whole(self) -> None:
        """Raise DataError where something is left out that was meant to be used."""
        lost = [one for one in self.left_out if one.why in LOST]
        if lost:
            raise DataError(f"{self.root}: {'; '.join(unused(lost))}", hint="without --strict they are left out")


def told_source(data: str | Path | Source, layout: Layout | None, hear: Callable[[str], None]) -> Source:
    """Return the images of a folder, and say what was found there; of a source that was said before."""
    if isinstance(data, Source):
        return data
    source = find_source(data, layout or "auto")
    for line in source.lines():
        hear(line)
    return source


def find_source(directory: str | Path, layout: Layout = "auto") -> Source:
    """Return the images of a folder, in whatever form it holds them, or raise DataError where that is not clear."""
    root = Path(directory)
    if layout not in LAYOUTS:
        raise DataError(f"unknown layout {layout!r}", hint=nearest(layout, LAYOUTS) or f"known: {', '.join(LAYOUTS)}")
    if root.is_file():
        raise DataError(f"{root}: is a file", hint="give the folder that holds it, and unpack what is no tar shard")
    if not root.is_dir():
        raise DataError(f"{root}: no such directory; give a folder that holds one folder of images a class")
    tree = scan(root)
    form = layout if layout != "auto" else _form(tree)
    source = _READERS[form](tree)
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


def _form(tree: Folder) -> str:
    """Return in which form a folder holds its images, or raise DataError where it is several."""
    holds = {
        "cifar": find_cifar(tree) is not None,
        "shards": bool(find_shards(tree)),
        "folders": bool(tree.living()),
    }
    forms = [form for form, there in holds.items() if there] or ["folders"]
    if len(forms) > 1:
        raise DataError(
            f"{tree.path}: holds images as {' and as '.join(_WORDS[form] for form in forms)}",
            hint=f"move one of them away, or say which counts: {' or '.join(f'--layout {form}' for form in forms)}",
        )
    return forms[0]


def _read_folders(tree: Folder) -> Source:
    parts = find_parts(tree)
    train = read_classes(parts.train)
    held_out = None if parts.held_out is None else read_classes(parts.held_out)
    places = (parts.train.place, "" if parts.held_out is None else parts.held_out.place)
    reasons = {path: why for folder, why in parts.unused for path in folder.below()}
    used = {file.path for files in (train, held_out or {}) for found in files.values() for file in found}
    left_out = _left_out(tree, used, reasons)
    return Source(Path(tree.path), train, held_out, "folders", places, left_out)


def _read_every_class(tree: Folder) -> Source:
    train = read_classes(tree, checked=False)
    used = {file.path for found in train.values() for file in found}
    return Source(Path(tree.path), train, None, "classes", left_out=_left_out(tree, used))


def _read_shards(tree: Folder) -> Source:
    if not find_shards(tree):
        raise DataError(f"{tree.path}: no tar shards; call them train-000.tar and so on")
    found = read_shards(tree)
    left_out = (*found.left_out, *_left_out(tree, found.read))
    return Source(Path(tree.path), found.train, found.held_out, "shards", left_out=left_out)


def _read_cifar(tree: Folder) -> Source:
    folder = find_cifar(tree)
    if folder is None:
        raise DataError(f"{tree.path}: no test_batch.bin or test.bin; unpack CIFAR's binary version there")
    train, held_out, read = read_cifar(folder)
    return Source(Path(tree.path), train, held_out, "cifar", (folder.place,) * 2, _left_out(tree, read))


_READERS = {
    "folders": _read_folders,
    "classes": _read_every_class,
    "shards": _read_shards,
    "cifar": _read_cifar,
}


def _left_out(tree: Folder, used: set[str], reasons: dict[str, Why] | None = None) -> tuple[LeftOut, ...]:
    """Return everything below a folder that is not used, with the reasons given, or else by what it is."""
    found = [one for folder in tree.walk() for one in folder.left_out]
    for folder in tree.walk():
        rest = [(path, (reasons or {}).get(path, Why.loose)) for path in folder.images]
        rest += [(path, Why.other) for path in (*folder.shards, *folder.others)]
        for path, why in rest:
            if path not in used:
                found.append(LeftOut(why, below(path, Path(tree.path))))
    return tuple(sorted(found, key=lambda one: one.place))


def _text(name: str) -> str:
    """Return a name that may not be UTF-8 as text that is."""
    return name.encode(errors="backslashreplace").decode()


def _counts(files: Files) -> dict[str, int]:
    return {name: len(found) for name, found in files.items()}


def _counted(files: Files) -> str:
    """Say how many images there are, and how many of each class where they are few."""
    counts = _counts(files)
    total = f"{sum(counts.values()):,} images of {len(counts):,} classes"
    if len(counts) <= _SHOWN:
        return f"{total}: {', '.join(f'{name} {count:,}' for name, count in counts.items())}"
    return f"{total} ({min(counts.values()):,} to {max(counts.values()):,} of each): {some(list(counts))}"


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
