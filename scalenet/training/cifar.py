"""CIFAR's own binary files: records of labels and of three planes of 32 by 32 values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from scalenet.training.decoding import CIFAR_SIDE, DataError, File, some
from scalenet.training.names import class_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalenet.training.decoding import Files
    from scalenet.training.tree import Folder

_FOLDERS = ("cifar-10-batches-bin", "cifar-100-binary")
_PICKLED_FOLDERS = ("cifar-10-batches-py", "cifar-100-python")
_FINE = {"train.bin", "test.bin", "fine_label_names.txt"}
_BATCH = re.compile(r"data_batch_(\d{1,4})\.bin")
_PIXELS = 3 * CIFAR_SIDE**2


def find_cifar(root: Folder) -> Folder | None:
    """Return the folder of CIFAR's binary files, if they are there; refuse the pickled ones."""
    for folder in [root, *(root.folders[name] for name in _FOLDERS if name in root.folders)]:
        names = _names(folder)
        if len(names & _FINE) > 1 or "test_batch.bin" in names or any(map(_BATCH.fullmatch, names)):
            return folder
    for folder in [root, *(root.folders[name] for name in _PICKLED_FOLDERS if name in root.folders)]:
        if not root.alive and _names(folder) & {"data_batch_1", "meta"}:
            raise DataError(
                f"{folder.path}: CIFAR as pickled Python objects, which can run any code when they are read",
                hint="take the binary version from the same page: cifar-10-binary.tar.gz or cifar-100-binary.tar.gz",
            )
    return None


def read_cifar(folder: Folder) -> tuple[Files, Files, set[str]]:
    """List the records of CIFAR-10 (a label, 3,072 values) or CIFAR-100 (two labels, the second is the class).

    Return those to train on, those held out, and the paths of the files that are read.
    """
    there = Path(folder.path)
    fine = bool(_names(folder) & _FINE)
    names = there / ("fine_label_names.txt" if fine else "batches.meta.txt")
    train = [there / "train.bin"] if fine else _batches(folder)
    test = there / ("test.bin" if fine else "test_batch.bin")
    for file in (names, *train, test):
        if file.name not in _names(folder):
            raise DataError(f"{file}: no such file; unpack the whole archive")
    classes = class_names(names)
    read = {str(file) for file in (names, *train, test)}
    return _records(train, classes, 1 + fine), _records([test], classes, 1 + fine), read


def _names(folder: Folder) -> set[str]:
    return {Path(path).name for path in folder.others}


def _batches(folder: Folder) -> list[Path]:
    numbers = sorted(int(found[1]) for found in map(_BATCH.fullmatch, _names(folder)) if found)
    missing = sorted({*range(1, max(numbers, default=1) + 1)} - {*numbers})
    if missing:
        gone = some([f"data_batch_{number}.bin" for number in missing])
        raise DataError(f"{folder.path}: no {gone}; unpack the whole archive")
    return [Path(folder.path) / f"data_batch_{number}.bin" for number in numbers]


def _records(files: Sequence[Path], classes: Sequence[str], labels: int) -> Files:
    found: Files = {name: [] for name in classes}
    for path in files:
        content, length = File(str(path)).content(), labels + _PIXELS
        if not content or len(content) % length:
            raise DataError(f"{path}: {len(content)} bytes are no whole number of records; download it again")
        for number, label in enumerate(content[labels - 1 :: length]):
            if label >= len(classes):
                raise DataError(f"{path}: class {label} of record {number} is not one of {len(classes)}")
            start = number * length + labels
            found[classes[label]].append(File(str(path), start, _PIXELS, f"record {number}", planes=True))
    if not all(found.values()):
        raise DataError(f"{files[0]}: no image of {some([name for name, those in found.items() if not those])}")
    return found
