"""The registered baselines: YAML files of this package and of installed packages, by name, and those of this program.

A third party's package registers a baseline with an entry point in the group `scalenet.baselines`; its value names a
package, and the entry's name the file `NAME.yaml` inside it. A program registers its own while it runs; other processes
do not know them, so files never name them alone.
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


_registered: dict[str, Config] = {}


def installed_names() -> list[str]:
    """Return the names that every process here knows: this package's, and those of installed packages."""
    return sorted([*_own(), *_others()])


def names() -> list[str]:
    """Return the names of the registered baselines: the installed ones, and those of this program."""
    return sorted([*installed_names(), *_registered])


def register(config: Config, *, replace: bool = False) -> None:
    """Register a config under its name while the program runs; raise ScalenetError for a name that has another one.

    `replace` takes the place of one that this program registered. A hyphen in the name is as good as an underscore.
    """
    name = config.name.replace("-", "_")
    if is_path(name):
        raise ScalenetError(f"baseline {name!r} would be taken for a file", hint="leave out its suffix")
    if name in installed_names():
        raise ScalenetError(f"baseline {name!r} is registered already", hint="give yours another name")
    if not replace and name in _registered and _registered[name] != config:
        raise ScalenetError(f"baseline {name!r} is another network already", hint="give another name, or replace=True")
    _registered[name] = config


def file(name: str) -> Traversable:
    """Return a baseline's file; raise UnknownNameError, or ScalenetError where its package is broken."""
    if name in _own():
        return _own()[name]
    if name not in _others():
        raise UnknownNameError("baseline", name, installed_names(), listing="`scalenet baselines` lists them")
    found = resources.files(load_point(_others()[name])) / f"{name}.yaml"
    if not found.is_file():
        raise ScalenetError(f"baseline {name}: {_others()[name].value} has no {name}.yaml")
    return found


def registered(name: str) -> Config:
    """Return the config of a registered baseline; a hyphen in its name is as good as an underscore."""
    name = name.replace("-", "_")
    return _registered.get(name) or _installed(name)


@cache
def _installed(name: str) -> Config:
    return loads(file(name).read_text(encoding="utf-8"), place=f"baseline {name}")


def is_path(name_or_path: str | Path) -> bool:
    """Return whether the text can only mean a file: it has a folder or a YAML suffix."""
    return isinstance(name_or_path, Path) or "/" in name_or_path or name_or_path.endswith((".yaml", ".yml"))


def find_config(name_or_path: str | Path) -> Config:
    """Return the config of a registered baseline, of a YAML file or of a folder of results that has a `config.yaml`."""
    if not is_path(name_or_path):
        return registered(str(name_or_path))
    if not Path(name_or_path).exists():
        raise ScalenetError(f"{name_or_path}: no such file", hint="`scalenet baselines` lists the registered names")
    return load_config(name_or_path)


def load(name_or_path: str | Path) -> Architecture:
    """Return the architecture that a registered name or a YAML file describes."""
    return find_config(name_or_path).architecture()
