"""Tar shards as webdataset writes them: `KEY.jpg` with `KEY.cls` beside it.

A `.cls` holds a number or a name; `classes.txt` names the numbers, a line each. What a shard is for follows from its
name or that of its folder: `train-000.tar`, `val/000.tar`.
"""

from __future__ import annotations

import tarfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from scalenet.training.decoding import SUFFIXES, DataError, File, Files, below, some
from scalenet.training.layout import Role, role
from scalenet.training.names import class_names
from scalenet.training.tree import UNREAD, LeftOut, Why, is_hidden, suffix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalenet.training.tree import Folder

CLASSES = "classes.txt"
_LONGEST_LABEL = 1024


@dataclass(slots=True)
class Shards:
    """What shards hold: images by class, to train on and held out, what is left out, and the files that are read."""

    train: Files
    held_out: Files | None
    left_out: list[LeftOut] = field(default_factory=list)
    read: set[str] = field(default_factory=set)


def find_shards(root: Folder) -> list[str]:
    """Return the paths of the shards below a folder."""
    return [path for folder in root.walk() for path in folder.shards]


def read_shards(root: Folder) -> Shards:
    """List the images of all shards below a folder, or raise DataError."""
    parts = _parts(root)
    names = Path(root.path) / CLASSES
    named = str(names) in root.others
    classes = class_names(names) if named else None
    found = Shards({}, None, read={str(names)} if named else set())
    found.train = _members(parts[Role.train], classes, root, found)
    held_out = parts[Role.validation] or parts[Role.test]
    if held_out:
        found.held_out = _members(held_out, classes, root, found)
    if parts[Role.validation]:
        found.left_out += [LeftOut(Why.unused_split, _place(shard, root)) for shard in parts[Role.test]]
        found.read.update(parts[Role.test])
    return found


def _place(shard: str, root: Folder) -> str:
    return below(shard, Path(root.path))


def _parts(root: Folder) -> dict[Role, list[str]]:
    """Return the shards by what they are for: without any split's name all are to train on."""
    parts: defaultdict[Role | None, list[str]] = defaultdict(list)
    for shard in find_shards(root):
        roles = (role(part) for part in Path(_place(shard, root)).with_suffix("").parts)
        parts[next((found for found in roles if found is not None), None)].append(shard)
    bare, train = parts.pop(None, []), parts[Role.train]
    if bare and train:
        names = some([_place(shard, root) for shard in bare])
        raise DataError(
            f"{root.path}: {names}: beside shards to train on, and named neither for that nor to hold out",
            hint="call shards train-000.tar and val-000.tar, or move them away",
        )
    if not bare and not train:
        raise DataError(f"{root.path}: no shards to train on; call them train-000.tar and so on")
    return {Role.train: bare or train, Role.validation: parts[Role.validation], Role.test: parts[Role.test]}


def _members(shards: Sequence[str], classes: Sequence[str] | None, root: Folder, found: Shards) -> Files:
    files: defaultdict[str, list[File]] = defaultdict(list)
    for shard in shards:
        index = _index(shard, root)
        found.left_out += index.left_out
        found.read.add(shard)
        for key, file in index.images.items():
            files[_class_name(index.labels[key], classes, shard)].append(file)
    if len(files) < 2:
        raise DataError(f"{shards[0]}: {len(files)} classes; a classifier needs two or more")
    order = classes or sorted(files, key=lambda name: (0, int(name), "") if _is_number(name) else (1, 0, name))
    empty = [name for name in order if name not in files]
    if empty:
        raise DataError(f"{Path(shards[0]).parent}: no images of {some(empty)}; add some or change {CLASSES}")
    return {name: files[name] for name in order}


@dataclass(slots=True)
class _Index:
    """The images and labels of a shard by folder and key, in their order."""

    place: str
    images: dict[tuple[str, str], File] = field(default_factory=dict)
    labels: dict[tuple[str, str], str] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)

    def leave(self, why: Why, name: str) -> None:
        self.left_out.append(LeftOut(why, f"{self.place}: {name}"))


def _index(shard: str, root: Folder) -> _Index:
    index = _Index(_place(shard, root))
    try:
        size, end = Path(shard).stat().st_size, 0
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                if member.size < 0 or member.offset_data + member.size > size:
                    raise tarfile.ReadError(f"{member.name} does not lie in it")
                end = -(-(member.offset_data + member.size) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                _add(member, shard, index)
        # tarfile takes a header that is cut short or damaged for the end.
        if File(shard, end, tarfile.BLOCKSIZE).content() != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("no mark at the end")
    # Numbers in damaged headers raise what int(), seek() and read() do.
    except (tarfile.TarError, ValueError, ArithmeticError, OSError, EOFError, MemoryError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{shard}: {error}", hint="the shard is cut short or damaged; copy it again") from None
    _pair(shard, index)
    return index


def _add(member: tarfile.TarInfo, shard: str, index: _Index) -> None:
    if member.isdir():
        return
    folder, _, name = member.name.rpartition("/")
    key, _, kind = name.partition(".")
    file = File(shard, member.offset_data, member.size, member.name)
    if any(is_hidden(part) for part in Path(member.name).parts if part not in (".", "..")):
        index.leave(Why.hidden, member.name)
    elif not member.isreg() or member.issparse():
        index.leave(Why.special, member.name)
    elif kind == "cls":
        if (folder, key) in index.labels:
            index.leave(Why.repeated, member.name)
        index.labels[folder, key] = _label(file)
    elif suffix(name) not in SUFFIXES:
        index.leave(Why.unread if suffix(name) in UNREAD else Why.other, member.name)
    else:
        _add_image(file, (folder, key), kind, index)


def _add_image(file: File, key: tuple[str, str], kind: str, index: _Index) -> None:
    """Take a key's image: one called `KEY.jpg` before `KEY.input.jpg`, and the later one of a name."""
    before = index.images.get(key)
    if before is None:
        index.images[key] = file
    elif before.member == file.member:
        index.leave(Why.repeated, file.member)
        index.images[key] = file
    elif "." in kind or "." not in Path(before.member).name.partition(".")[2]:
        index.leave(Why.unpaired, file.member)
    else:
        index.leave(Why.unpaired, before.member)
        index.images[key] = file


def _label(file: File) -> str:
    """Return the text of a `.cls`: a number without leading zeros, or a name."""
    content = file.content() if file.length and file.length <= _LONGEST_LABEL else b""
    try:
        text = content.decode().strip()
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise DataError(f"{file.path}: {file.member}: names no class", hint="it holds a number, or a name in UTF-8")
    return str(int(text)) if _is_number(text) else text


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _pair(shard: str, index: _Index) -> None:
    """Leave out images without labels and labels without images; raise DataError where nothing is left."""
    bare = [file.member for key, file in index.images.items() if key not in index.labels]
    alone = ["/".join(filter(None, key)) + ".cls" for key in index.labels if key not in index.images]
    index.images = {key: file for key, file in index.images.items() if key in index.labels}
    if not index.images:
        what = f"no .cls beside {some(bare)}; each image needs its class" if bare else "holds no images with a class"
        raise DataError(f"{shard}: {what}", hint="shards hold KEY.jpg and KEY.cls")
    for name in [*bare, *alone]:
        index.leave(Why.unpaired, name)


def _class_name(label: str, classes: Sequence[str] | None, shard: str) -> str:
    if classes is None or label in classes:
        return label
    if _is_number(label) and int(label) < len(classes):
        return classes[int(label)]
    raise DataError(f"{shard}: class {label!r} is not one of the {len(classes)} in {CLASSES}")
