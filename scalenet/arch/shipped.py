"""YAML files that come with scalenet, by name; a path reads a file of one's own in their place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from scalenet.arch.config import read_record
from scalenet.arch.errors import ScalenetError, UnknownNameError
from scalenet.arch.files import read_text
from scalenet.arch.records import Record
from scalenet.arch.registry import is_path

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

R = TypeVar("R", bound=Record)


def shipped_files(folder: Traversable) -> dict[str, Traversable]:
    """Return the YAML files of a folder by name."""
    found = sorted(folder.iterdir(), key=str)
    return {file.name.removesuffix(".yaml"): file for file in found if file.name.endswith(".yaml")}


def load_shipped(
    record: type[R], name_or_path: str | Path, files: dict[str, Traversable], *, kind: str, listing: str | None = None
) -> R:
    """Return the record of a shipped file or of a YAML file.

    `kind` says in errors what it is: a grid, a recipe; the command `listing` lists them, `scalenet grids` of grids.
    """
    if not isinstance(name_or_path, str | Path):
        raise ScalenetError(f"no {kind}: {type(name_or_path).__name__}", hint="give a name or a path")
    if not is_path(name_or_path):
        name = str(name_or_path).replace("-", "_")
        if name not in files:
            raise UnknownNameError(kind, str(name_or_path), files, listing=f"known: {', '.join(files)}")
        return read_record(record, files[name].read_text(encoding="utf-8"), f"{kind} {name}")
    place = str(name_or_path)
    text = read_text(Path(place), place, hint=f"`{listing or f'scalenet {kind}s'}` lists those shipped")
    return read_record(record, text, place)
