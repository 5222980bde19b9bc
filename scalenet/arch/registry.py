"""The registered baselines: YAML files of this package and of installed packages, by name.

A third party's package registers a baseline with an entry point in the group `scalenet.baselines`; its value names a
package, and the entry's name the file `NAME.yaml` inside it.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from scalenet.arch.blocks import load_point
from scalenet.arch.config import Config, load_config, loads
from scalenet.arch.errors import ScalenetError, UnknownNameError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from scalenet.arch.spec import Architecture


@cache
def _own() -> dict[str, Traversable]:
    found = resources.files("scalenet.arch.baselines").iterdir()
    return {file.name.removesuffix(".yaml"): file for file in found if file.name.endswith(".yaml")}


@cache
def _others() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="scalenet.baselines") if point.name not in _own()}


def names() -> list[str]:
    """Return the names of the registered baselines: this package's, and those of installed packages."""
    return sorted([*_own(), *_others()])


def file(name: str) -> Traversable:
    """Return a baseline's file; raise UnknownNameError, or ScalenetError where its package is broken."""
    if name in _own():
        return _own()[name]
    if name not in _others():
        raise UnknownNameError("baseline", name, names(), listing="`scalenet baselines` lists them")
    found = resources.files(load_point(_others()[name])) / f"{name}.yaml"
    if not found.is_file():
        raise ScalenetError(f"baseline {name}: {_others()[name].value} has no {name}.yaml")
    return found


@cache
def registered(name: str) -> Config:
    """Return the config of a registered baseline; a hyphen in its name is as good as an underscore."""
    name = name.replace("-", "_")
    return loads(file(name).read_text(encoding="utf-8"), place=f"baseline {name}")


def is_path(name_or_path: str | Path) -> bool:
    """Return whether the text can only mean a file: it has a folder or a YAML suffix."""
    return isinstance(name_or_path, Path) or "/" in name_or_path or name_or_path.endswith((".yaml", ".yml"))


def find_config(name_or_path: str | Path) -> Config:
    """Return the config of a registered baseline or of a YAML file."""
    if not is_path(name_or_path):
        return registered(str(name_or_path))
    if not Path(name_or_path).exists():
        raise ScalenetError(f"{name_or_path}: no such file", hint="`scalenet baselines` lists the registered names")
    return load_config(name_or_path)


def load(name_or_path: str | Path) -> Architecture:
    """Return the architecture that a registered name or a YAML file describes."""
    return find_config(name_or_path).architecture()
