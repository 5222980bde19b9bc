"""What lies below a folder: images, shards and other files, and what cannot be used, each with its place and reason."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from scalenet.training.decoding import SUFFIXES, DataError, some

if TYPE_CHECKING:
    from collections.abc import Iterator

DEEPEST = 64
"""Folders in folders that are looked into."""

SHARD = ".tar"


class Why(StrEnum):
    """Why something is left out, in words."""

    dangling = "links to nothing, such as data of DVC or git-annex that were not fetched"
    special = "pipes, sockets and devices"
    looping = "links back to their own folder, or folders too deep"
    unread = "images in formats that are not read"
    unpaired = "shard members that pair with nothing"
    repeated = "shard members that a later one replaces"
    loose = "images in no class folder"
    unlabelled = "images of a test set without classes"
    unused_split = "what belongs to a split that is not used"
    no_split = "images in folders that are no split"
    hidden = "hidden files, and what systems and tools keep"
    other = "other files"


LOST = frozenset({Why.dangling, Why.special, Why.looping, Why.unread, Why.unpaired, Why.repeated, Why.loose})
"""What was meant to be used: `--strict` refuses it."""

_RAW = frozenset({".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raw", ".rw2"})
UNREAD = _RAW | frozenset(
    {".dcm", ".exr", ".hdr", ".heic", ".heif", ".hif", ".ico", ".j2k", ".jp2", ".jpx", ".jxl"}
    | {".pcx", ".psd", ".svg", ".tga"}
)
_KEPT_BY_SYSTEMS = frozenset(
    {
        "@eadir",
        "@recently-snapshot",
        "@recycle",
        "@tmp",
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "__macosx",
        "__pycache__",
        "desktop.ini",
        "lost+found",
        "system volume information",
        "thumbs.db",
    }
)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something below the data's folder that is not used; the place of a folder ends with a slash."""

    why: Why
    place: str


@dataclass(slots=True)
class Folder:
    """A folder, with the paths of the files that it holds itself, and the folders in it; all sorted by name.

    `place` is where it lies below the data's folder: "" for that itself.
    """

    path: str
    place: str
    images: list[str] = field(default_factory=list)
    shards: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    folders: dict[str, Folder] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    alive: bool = False
    """Whether it or a folder in it holds images, or what was meant to be some."""

    def walk(self) -> Iterator[Folder]:
        """Yield this folder and all below it."""
        yield self
        for folder in self.folders.values():
            yield from folder.walk()

    def below(self) -> list[str]:
        """Return the paths of all images in it and below."""
        return [path for folder in self.walk() for path in folder.images]

    def living(self) -> list[Folder]:
        """Return the folders in it that are alive."""
        return [folder for folder in self.folders.values() if folder.alive]

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all lies in it."""
        return not (self.images or self.shards or self.others or self.folders or self.left_out)

    @property
    def shown(self) -> str:
        """How messages name it."""
        return self.place or Path(self.path).name or self.path


def scan(root: Path) -> Folder:
    """List what lies below a folder; links are followed. Raise DataError where a folder cannot be read."""
    return _scan(str(root), "", ())


def is_hidden(name: str) -> bool:
    """Return whether a name is of a file or folder that people do not see, or that systems and tools keep."""
    return name.startswith(".") or name.lower() in _KEPT_BY_SYSTEMS


def suffix(name: str) -> str:
    """Return the end of a name from its last dot on, in lower case."""
    return PurePath(name).suffix.lower()


def unused(left_out: list[LeftOut]) -> Iterator[str]:
    """Yield a line for each reason why something is left out: how many, and the names of some."""
    for why in Why:
        places = [one.place for one in left_out if one.why is why]
        if places:
            yield f"{why} ({len(places):,}): {some(places)}"


def _scan(path: str, place: str, above: tuple[tuple[int, int], ...]) -> Folder:
    folder = Folder(path, place)
    try:
        own = Path(path).stat()
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}", hint="give yourself the right to read it, or move it away"
        ) from None
    above = (*above, (own.st_dev, own.st_ino))
    for entry in entries:
        _add(entry, folder, above)
    own_alive = bool(folder.images) or any(one.why in LOST for one in folder.left_out)
    folder.alive = own_alive or any(one.alive for one in folder.folders.values())
    return folder


def _add(entry: os.DirEntry[str], folder: Folder, above: tuple[tuple[int, int], ...]) -> None:
    place = f"{folder.place}/{entry.name}" if folder.place else entry.name
    try:
        is_folder, is_file = entry.is_dir(), entry.is_file()
    except OSError:  # a link to itself
        is_folder = is_file = False
    if is_hidden(entry.name):
        folder.left_out.append(LeftOut(Why.hidden, f"{place}/" if is_folder else place))
    elif is_folder:
        inner = Path(entry.path).stat()
        if (inner.st_dev, inner.st_ino) in above or len(above) > DEEPEST:
            folder.left_out.append(LeftOut(Why.looping, f"{place}/"))
        else:
            folder.folders[entry.name] = _scan(entry.path, place, above)
    elif not is_file:
        folder.left_out.append(LeftOut(Why.dangling if entry.is_symlink() else Why.special, place))
    elif suffix(entry.name) in SUFFIXES:
        folder.images.append(entry.path)
    elif suffix(entry.name) in UNREAD:
        folder.left_out.append(LeftOut(Why.unread, place))
    else:
        (folder.shards if suffix(entry.name) == SHARD else folder.others).append(entry.path)
