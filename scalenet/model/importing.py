"""Others' callables: where they are imported from, which was meant, what they make, and where they are written.

The project's folders stand on the import path behind the standard library and before installed packages: a stale
installed copy of the project is not what is measured, and a file called `random.py` is no standard library. torch,
fvcore and what these load are imported before, so that nothing in the folder can stand in for them.
"""

from __future__ import annotations

import functools
import inspect
import pkgutil
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalenet.arch.errors import ScalenetError, nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

_FIRST = ("torch", "torch.utils.flop_counter", "fvcore.nn", "numpy", "yaml", "sympy")
_LONGEST = 300


def folders_of(project: Path) -> list[Path]:
    """Return the folders that a project's modules are imported from: `src`, where it has one, then its own."""
    return [folder for folder in (project / "src", project) if folder.is_dir()]


def let_in(project: Path) -> None:
    """Let modules be imported from a project; what was let in before stays where it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs are not the user's
        for name in _FIRST:
            import_module(name)
    folders = [folder for folder in map(str, folders_of(project)) if folder not in sys.path]
    installed = (place for place, entry in enumerate(sys.path) if Path(entry).name.endswith("-packages"))
    place = next(installed, len(sys.path))
    sys.path[place:place] = folders


def found(path: str, project: Path) -> Any:
    """Return what `package.module:name` names; raise ScalenetError with what is nearest where there is nothing."""
    place, _, names = path.partition(":")
    found = _module(place, project)
    for step, name in enumerate(names.split(".")):
        try:
            found = getattr(found, name)
        except AttributeError:
            owner = ".".join([place, *names.split(".")[:step]])
            known = [other for other in dir(found) if callable(getattr(found, other, None))]
            raise ScalenetError(f"{owner} has no {name!r}", hint=nearest(name, known)) from None
    return found


def _module(place: str, project: Path) -> Any:
    try:
        return import_module(place)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if f"{place}.".startswith(f"{missing}."):
            raise ScalenetError(f"no module {missing!r}", hint=_near(missing, project)) from None
        raise _failed(error) from None
    except (Exception, SystemExit) as error:
        raise _failed(error) from None


def _failed(error: BaseException) -> ScalenetError:
    return ScalenetError(f"cannot be imported: {one_line(error)[:_LONGEST]}")


def _near(missing: str, project: Path) -> str:
    """Return which modules beside a missing one have a name like it, or where it was looked for."""
    package, _, name = missing.rpartition(".")
    places = list(sys.modules[package].__path__) if package else list(map(str, folders_of(project)))
    meant = nearest(name, (module.name for module in pkgutil.iter_modules(places)))
    return meant or f"looked in {' and '.join(places)}{'' if package else ', and in the environment'}"


def made(factory: Any, arguments: Sequence[Any] = (), named: Mapping[str, Any] | None = None) -> nn.Module:
    """Return the module that a callable makes; one that is a module already is taken as it is."""
    from torch import nn  # noqa: PLC0415

    if isinstance(factory, nn.Module):
        if arguments or named:
            raise ScalenetError("is a module already, and takes no args and kwargs")
        return factory
    try:
        module = factory(*arguments, **(named or {}))
    except (Exception, SystemExit) as error:
        raise ScalenetError(f"cannot be made: {one_line(error)[:_LONGEST]}") from None
    if not isinstance(module, nn.Module):
        raise ScalenetError(f"gives {type(module).__name__}, not an nn.Module")
    return module


def place_of(factory: Any) -> tuple[str | None, int]:
    """Return the file and the line where a callable, or a module's class, is written; no file where none is known."""
    while isinstance(factory, functools.partial):
        factory = factory.func
    written = inspect.unwrap(factory) if inspect.isroutine(factory) or inspect.isclass(factory) else type(factory)
    try:
        return inspect.getsourcefile(written), inspect.getsourcelines(written)[1]
    except (OSError, TypeError):
        return None, 1
