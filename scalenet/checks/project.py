"""What is checked: the table `[tool.scalenet]` of a `pyproject.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from scalenet.arch.config import as_record
from scalenet.arch.errors import ConfigError
from scalenet.arch.files import read_text
from scalenet.arch.spec import Record, as_tuple
from scalenet.checks.amounts import Amount

if TYPE_CHECKING:
    from pathlib import Path

Metric: TypeAlias = Literal["flops", "params", "activations"]


def _as_inputs(value: Any) -> Any:
    return (value,) if isinstance(value, str) else as_tuple(value)


Inputs: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_as_inputs), Field(min_length=1)]


class ModuleTarget(Record):
    """A callable that returns an `nn.Module`, or the module itself, as `package.module:name`, and its inputs.

    `accept` names operators that may count as nothing, as `scalenet.measure` takes them.
    """

    module: str
    input: Inputs
    name: str | None = None
    accept: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()


class Increase(Record):
    """A change by a share of the base, by a number, or the smaller of both."""

    percent: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    absolute: Amount | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Increase:
        if self.percent is None and self.absolute is None:
            raise ValueError("give percent, absolute or both")
        return self

    def above(self, base: int) -> int:
        """Return the largest increase that is allowed on `base`."""
        share = None if self.percent is None else int(base * self.percent / 100)
        return min(limit for limit in (share, self.absolute) if limit is not None)


class Gate(Record):
    """A limit on a metric of the targets whose name matches, or of their stages that match.

    `tolerance` allows the whole target's count to differ from the lock, in either direction.
    """

    target: str = "*"
    stage: str | None = None
    metric: Metric = "flops"
    max: Amount | None = None
    max_increase: Increase | None = None
    tolerance: Increase | None = None

    @model_validator(mode="after")
    def _gates_something(self) -> Gate:
        if self.max is None and self.max_increase is None and self.tolerance is None:
            raise ValueError("give max, max_increase or tolerance")
        if self.tolerance is not None and self.stage is not None:
            raise ValueError("a tolerance is for whole targets, not for a stage")
        return self


class Settings(Record):
    """The table `[tool.scalenet]`; `time_limit` is in seconds a target.

    `was` has the former names of targets, where a rename is not seen; `new` patterns of targets, and of `target stage`,
    that `max_increase` needs no base for.
    """

    targets: Annotated[tuple[str | ModuleTarget, ...], BeforeValidator(as_tuple)] = ()
    gates: Annotated[tuple[Gate, ...], BeforeValidator(as_tuple)] = ()
    was: dict[str, str] = Field(default_factory=dict)
    new: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    lock: str = "scalenet.lock.json"
    time_limit: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 300


@dataclass(frozen=True, slots=True)
class Project:
    """The settings, and the folder that paths in them start from."""

    folder: Path
    settings: Settings

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self.folder / self.settings.lock


def find_project(start: Path) -> Project:
    """Return the project of the nearest `[tool.scalenet]` upwards of `start`, or one without targets in `start`."""
    for folder in (start, *start.parents):
        if (folder / "pyproject.toml").is_file() and (project := _read(folder / "pyproject.toml")):
            return project
    return Project(start, Settings())


def _read(path: Path) -> Project | None:
    try:
        table = tomllib.loads(read_text(path, str(path))).get("tool", {}).get("scalenet")
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    if table is None:
        return None
    return Project(path.parent, as_record(Settings, table, f"{path.name}: [tool.scalenet]"))
