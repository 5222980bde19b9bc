"""The targets of a check: config files, registered names, and modules that a callable makes."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from scalenet.arch import registry
from scalenet.arch.config import load_config
from scalenet.arch.errors import ScalenetError, nearest
from scalenet.arch.factory import Factory, names_callable
from scalenet.checks.inputs import Argument, Input, check_names, parse_input
from scalenet.checks.project import ModuleTarget
from scalenet.scaling.presets import presets
from scalenet.scaling.scaler import find_config

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from scalenet.arch.config import Config
    from scalenet.arch.spec import Buildable, Model
    from scalenet.checks.amounts import Metric


@dataclass(frozen=True, slots=True)
class Target:
    """What is measured: a model by its description, or else the module that `module` (`package.module:name`) names.

    `args` and `kwargs` are what the callable is called with, `inputs` what the module that it makes is called with;
    without inputs it is a factory, called as it stands, for its own images. Of a factory `factory` is the whole call.
    `file` is the config file that describes the model, or the source of the module's callable, on `line`, where known.
    `limited` are metrics that are measured because a limit asks for them; `latency` are median and fastest run.
    `accept` are operators of a module that may count as nothing.
    """

    name: str
    inputs: tuple[Argument, ...]
    model: Model | None = None
    module: str | None = None
    factory: Factory | None = None
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    file: Path | None = None
    line: int = 1
    accept: tuple[str, ...] = ()
    limited: tuple[Metric, ...] = ()
    latency: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something could not be checked, in one line, and the exit code that it asks for."""

    name: str
    message: str
    code: int


NOT_LOCKED, ASKED_WRONGLY, NOT_MEASURED = 1, 2, 3


def find_targets(entries: Iterable[str | ModuleTarget], folder: Path) -> tuple[list[Target], list[Problem]]:
    """Return the targets of all entries, each name once, and a problem for each entry that names none."""
    found: dict[str, Target] = {}
    problems: list[Problem] = []
    for entry in entries:
        try:
            for target in _targets(entry, folder, problems):
                if found.setdefault(target.name, target) != target:
                    raise ScalenetError("two targets have this name", hint="give one of them another `name`")
        except ScalenetError as error:
            problems.append(Problem(_name(entry), str(error), ASKED_WRONGLY))
    return list(found.values()), problems


def _name(entry: str | ModuleTarget) -> str:
    if isinstance(entry, str):
        return entry
    given = [*map(_shown, entry.args), *(f"{key}={_shown(value)}" for key, value in entry.kwargs.items())]
    return entry.name or entry.module + (f"({', '.join(given)})" if given else "")


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _targets(entry: str | ModuleTarget, folder: Path, problems: list[Problem]) -> Iterator[Target]:
    if isinstance(entry, ModuleTarget):
        if not names_callable(entry.module):
            raise ScalenetError("not a callable", hint="write package.module:name")
        inputs = tuple(map(parse_input, entry.input))
        check_names(inputs, ", ".join(entry.input))
        args, kwargs, accept = entry.args, entry.kwargs, entry.accept
        yield Target(_name(entry), inputs, module=entry.module, args=args, kwargs=kwargs, accept=accept)
    elif names_callable(entry):
        yield Target(entry, (), module=entry)
    elif registry.is_path(entry):
        yield from _files(entry, folder, problems)
    else:
        yield from (_described(name, find_config(name).network) for name in _names(entry))


def _files(pattern: str, folder: Path, problems: list[Problem]) -> Iterator[Target]:
    try:
        relative = os.path.relpath(folder / pattern, folder)
        files = [folder / relative] if (folder / relative).exists() else sorted(folder.glob(relative))
    except (IndexError, ValueError, OSError):  # `./`, `**.yaml`, a name without end
        raise ScalenetError("no pattern of files", hint="write configs/*.yaml, or **/*.yaml") from None
    if not files:
        raise ScalenetError("no such file", hint=f"looked in {folder}")
    for file in files:
        try:
            yield _described(name := file.relative_to(folder).as_posix(), load_config(file, place=name).network, file)
        except ScalenetError as error:
            problems.append(Problem(name, str(error), ASKED_WRONGLY))


def _names(pattern: str) -> list[str]:
    known = sorted({*registry.names(), *presets()})
    pattern = pattern.replace("-", "_")
    matches = [name for name in known if fnmatchcase(name, pattern)]
    if not matches:
        raise ScalenetError("no baseline, preset or file", hint=nearest(pattern, known))
    return matches


def described_target(config: Config) -> Target:
    """Return the target that a description is, by its own name."""
    return _described(config.name, config.network)


def _described(name: str, network: Buildable, file: Path | None = None) -> Target:
    if isinstance(network, Factory):
        return made_by(network, name, file)
    return Target(name, (Input((1, network.channels, *network.size)),), model=network, file=file)


def made_by(factory: Factory, name: str, file: Path | None = None) -> Target:
    """Return the target that a factory's call is: a module like others."""
    image = Input((1, factory.channels, *factory.size))
    return Target(name, (image,), module=factory.callable, kwargs=factory.keywords(), file=file, factory=factory)
