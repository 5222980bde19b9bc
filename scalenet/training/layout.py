"""Which folders are splits and which are classes: by their names and by what they hold, or a refusal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING

from scalenet.training.decoding import DataError, File, some
from scalenet.training.tree import LOST, LeftOut, Why, unused

if TYPE_CHECKING:
    from scalenet.training.decoding import Files
    from scalenet.training.tree import Folder

AS_MEANT = "--layout classes takes every folder for a class, whatever its name"


class Role(Enum):
    """What a split is for."""

    train = "to train on"
    validation = "to hold out"
    test = "to test on"


_WORDS = {
    Role.train: "train|training|trainval",
    Role.validation: "val|valid|validation|eval|evaluation|dev",
    Role.test: "test|testing",
}
_THINGS = "sets?|data|imgs?|images?|pictures?|photos?|splits?|folders?|dirs?"
_ROLES = {role: re.compile(f"(?:{words})(?:{_THINGS})?") for role, words in _WORDS.items()}
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def role(name: str) -> Role | None:
    """Return what a split of this name is for: `train`, `Testing`, `train_images`, `imagenet-val`, `TestSet2017`."""
    words = {*re.findall(r"[a-z]+", name.lower()), *(word.lower() for word in _CAMEL.findall(name))}
    found = {role for role, pattern in _ROLES.items() if any(map(pattern.fullmatch, words))}
    if found == {Role.train, Role.validation}:
        return Role.train  # train_val is what both are trained on
    return found.pop() if len(found) == 1 else None


def is_plainly(name: str) -> bool:
    """Return whether a name is that of a split and nothing else."""
    word = re.sub(r"[^a-z]", "", name.lower())
    return any(pattern.fullmatch(word) for pattern in _ROLES.values())


@dataclass(frozen=True, slots=True)
class Parts:
    """The folders whose folders are classes, and those that are not used, with the reason."""

    train: Folder
    held_out: Folder | None = None
    unused: tuple[tuple[Folder, Why], ...] = ()


def find_parts(root: Folder) -> Parts:
    """Return which folders are splits, or that there are none; raise DataError where that is not clear."""
    top = _unwrapped(root)
    _check_links(top)
    living = top.living()
    for name, folder in top.folders.items():
        if not folder.alive and is_plainly(name):
            raise DataError(f"{folder.path}: named as a split, and holds no images", hint="add some or remove it")
    splits = {kind: [one for one in living if _role(one) is kind and _has_classes(one)] for kind in Role}
    train, held_out = splits[Role.train], splits[Role.validation] or splits[Role.test]
    for several in (train, held_out):
        _check_one(several)
    if not train:
        _check_no_splits(top, living)
        return Parts(top)
    used = [*train, *held_out]
    rest = tuple((one, _unused(one, splits[Role.test], clear=bool(held_out))) for one in living if one not in used)
    return Parts(_unwrapped(train[0]), _unwrapped(held_out[0]) if held_out else None, rest)


def read_classes(folder: Folder, *, checked: bool = True) -> Files:
    """List the image files of each class folder, sorted, so that no file system's order matters.

    Raise DataError where there are no two classes, or one has no images; if `checked`, where folders may be splits.
    """
    if not folder.living():
        raise DataError(_no_classes(folder), hint=_what_lies_there(folder))
    _check_links(folder)
    for one in folder.folders.values():
        _check_class(one)
    names = list(folder.folders)
    if len(names) == 1:
        raise DataError(f"{folder.path}: only one class ({names[0]}); a classifier needs two or more class folders")
    if checked:
        _check_same_folders(folder)
    return {name: [File(path) for path in one.below()] for name, one in folder.folders.items()}


def _role(folder: Folder) -> Role | None:
    return role(PurePath(folder.place).name)


def _unwrapped(folder: Folder) -> Folder:
    """Go into a folder that only wraps another one which holds folders: `archive/`, `seg_train/seg_train/`."""
    while not (folder.images or _gone(folder)) and len(folder.living()) == 1:
        inner = folder.living()[0]
        others = [one for one in folder.folders.values() if one is not inner]
        if not inner.living() or any(one.is_empty or is_plainly(PurePath(one.place).name) for one in others):
            break
        folder = inner
    return folder


def _has_classes(folder: Folder) -> bool:
    """Return whether a split holds class folders, and not only its images in one more folder."""
    living = _unwrapped(folder).living()
    return len(living) > 1 or any(_role(one) is None for one in living)


def _check_one(folders: list[Folder]) -> None:
    if len(folders) > 1:
        kind = _role(folders[0])
        assert kind is not None
        names = " and ".join(one.shown for one in folders)
        raise DataError(f"{names}: both are named as splits {kind.value}", hint="rename or move all but one of them")


def _check_no_splits(top: Folder, living: list[Folder]) -> None:
    """Refuse names of splits where nothing says what is trained on."""
    named = [one for one in living if _role(one) is not None]
    plainly = [one.shown for one in named if is_plainly(PurePath(one.place).name)]
    names = plainly or [one.shown for one in named if len(named) == len(living)]
    if names:
        what = "named as a split" if len(names) == 1 else "named as splits"
        raise DataError(
            f"{top.path}: {some(names)}: {what}, but no split to train on holds class folders",
            hint=f"give train/CLASS/… and val/CLASS/…, or {AS_MEANT}",
        )


def _unused(folder: Folder, tests: list[Folder], *, clear: bool) -> Why:
    """Return why a folder beside splits is not used, or refuse what may be meant otherwise."""
    if folder in tests:
        return Why.unused_split
    kind = _role(folder)
    if kind is Role.test:
        return Why.unlabelled
    if kind is Role.validation:
        raise DataError(
            f"{folder.path}: images to hold out in no class folders", hint="sort them into class folders, or move it"
        )
    if not clear:
        raise DataError(
            f"{folder.path}: beside a split to train on, and named neither as a split nor in it",
            hint=f"rename it or move it away; {AS_MEANT}",
        )
    return Why.no_split


def _gone(folder: Folder) -> list[str]:
    """Return the links to nothing that were folders, by their names."""
    return [one.place for one in folder.left_out if one.why is Why.dangling and not PurePath(one.place).suffix]


def _check_links(folder: Folder) -> None:
    """Refuse to go on without a class or a split that cannot be reached."""
    gone = _gone(folder)
    if gone:
        raise DataError(
            f"{folder.path}: {some(gone)}: links to nothing where folders of images lie",
            hint="mount or fetch what they lead to, or remove them",
        )


def _check_class(folder: Folder) -> None:
    try:
        folder.place.encode()
    except UnicodeEncodeError:
        raise DataError(f"{folder.path}: the name of a class that is not UTF-8", hint="rename the folder") from None
    if not folder.below():
        raise DataError(f"{folder.path}: no images{_what(folder)}", hint="add some or remove it")


def _check_same_folders(folder: Folder) -> None:
    """Refuse class folders that hold the same folders, or splits: classes or splits may lie on another level."""
    inner = [{one: role(one) for one in folders.folders if folders.folders[one].alive} for folders in _folders(folder)]
    for one, names in zip(_folders(folder), inner, strict=True):
        kinds = {kind for kind in names.values() if kind is not None}
        if Role.train in kinds and len(kinds) > 1:
            raise DataError(
                f"{one.path}: splits in a class folder ({some(sorted(names))})",
                hint=f"give train/CLASS/… and val/CLASS/…; {AS_MEANT}",
            )
    common = set.intersection(*map(set, inner))
    if len(common) > 1 and not any(one.images for one in _folders(folder)):
        raise DataError(
            f"{folder.path}: its folders ({some(list(folder.folders))}) all hold folders of the same names "
            f"({some(sorted(common))}), so that either may be splits or classes",
            hint=f"call splits train and val; {AS_MEANT}",
        )


def _folders(folder: Folder) -> list[Folder]:
    return list(folder.folders.values())


def _no_classes(folder: Folder) -> str:
    own = f" but {len(folder.images):,} images in none" if folder.images else ""
    return f"{folder.path}: no class folders{own}; put the images of each class into a folder of its own"


def _what_lies_there(folder: Folder) -> str | None:
    packed = [path for path in [*folder.others, *folder.shards] if re.search(r"\.(zip|tar|tgz|gz|7z|rar|xz)$", path)]
    if packed:
        return f"unpack {some([PurePath(path).name for path in packed])}"
    lost = _what(folder).removeprefix(": ")
    return lost or None


def _what(folder: Folder) -> str:
    """Say what a folder holds instead of images."""
    found = [one for inner in folder.walk() for one in inner.left_out if one.why in LOST or one.why is Why.hidden]
    found += [LeftOut(Why.other, PurePath(path).name) for inner in folder.walk() for path in inner.others]
    return ": " + "; ".join(unused(found)) if found else ""
