"""The registered baselines: YAML files of this package and of installed packages, by name.

A third party's package registers a baseline with an entry point in the group `scalenet.baselines`; its value names a
package, and the entry's name the file `NAME.yaml` inside it.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from scalenet.arch.config import Config, load_config, loads
from scalenet.arch.errors import ScalenetError, UnknownNameError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from scalenet.arch.spec import Architecture


@cache
def files() -> dict[str, Traversable]:
    """Return the file of every registered baseline by name."""
    own = resources.files("scalenet.arch.baselines").iterdir()
    found = {file.name.removesuffix(".yaml"): file for file in own if file.name.endswith(".yaml")}
    for point in entry_points(group="scalenet.baselines"):
        found.setdefault(point.name, resources.files(point.value) / f"{point.name}.yaml")
    return dict(sorted(found.items()))


@cache
def registered(name: str) -> Config:
    """Return the config of a registered baseline; a hyphen in its name is as good as an underscore."""
    name = name.replace("-", "_")
    if name not in files():
        raise UnknownNameError("baseline", name, files(), listing="`scalenet baselines` lists them")
    return loads(files()[name].read_text(encoding="utf-8"), place=f"baseline {name}")


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
