"""Files that name the classes: a line each, in the order of their numbers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from scalenet.arch.errors import ScalenetError
from scalenet.arch.files import read_text
from scalenet.training.decoding import DataError, some

if TYPE_CHECKING:
    from pathlib import Path


def class_names(file: Path) -> tuple[str, ...]:
    """Return the names that a file has, or raise DataError where they are no two or more distinct ones."""
    try:
        text = read_text(file, str(file))
    except ScalenetError as error:
        raise DataError(error.message, hint="it names a class a line, in UTF-8") from None
    names = [line.strip() for line in text.rstrip().split("\n")]
    if "" in names:
        raise DataError(f"{file}: line {names.index('') + 1} is empty; it names a class a line")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{file}: {some(twice)} more than once; each class needs a name of its own")
    if len(names) < 2:
        raise DataError(f"{file}: only one class ({names[0]}); a classifier needs two or more")
    return tuple(names)
