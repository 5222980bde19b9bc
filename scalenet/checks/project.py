"""What is checked: the table `[tool.scalenet]` of a `pyproject.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from scalenet.arch.amounts import Amount, byte_amount, microseconds
from scalenet.arch.bounds import LARGEST
from scalenet.arch.config import as_record
from scalenet.arch.errors import ConfigError, ScalenetError
from scalenet.arch.files import read_text
from scalenet.arch.records import Record, as_tuple
from scalenet.checks.amounts import Metric
from scalenet.checks.git import project_files
from scalenet.checks.inputs import written

if TYPE_CHECKING:
    from pathlib import Path

Inputs: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(written), Field(min_length=1)]


class ModuleTarget(Record):  # type: ignore[no-redef] # mypy's plugin gives `__init__` a `**kwargs` too
    """A callable that returns an `nn.Module`, or the module itself, as `package.module:name`, and its inputs.

    `args` and `kwargs` are what the callable is called with; `accept` names operators that may count as nothing, as
    `scalenet.measure` takes them.
    """

    module: str
    input: Inputs
    args: Annotated[tuple[JsonValue, ...], BeforeValidator(as_tuple)] = ()
    kwargs: dict[str, JsonValue] = Field(default_factory=dict)
    name: str | None = None
    accept: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()


class Increase(Record):
    """A change by a share of the base, by a number, or the smaller of both."""

    percent: Annotated[float, Field(ge=0, le=LARGEST)] | None = None
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

    `tolerance` allows the whole target's count to differ from the lock, in either direction; of latency, which no lock
    holds, it is how far above `max` a measurement may be.
    """

    target: str = "*"
    stage: str | None = None
    metric: Metric = "flops"
    max: Amount | None = None
    max_increase: Increase | None = None
    tolerance: Increase | None = None

    @model_validator(mode="before")
    @classmethod
    def _in_its_unit(cls, data: Any) -> Any:
        """Read texts of memory as bytes and of latency as microseconds."""
        units = {"memory": byte_amount, "latency": microseconds}
        unit = units.get(str(data.get("metric"))) if isinstance(data, dict) else None
        if unit is None:
            return data
        read = dict(data)
        if "max" in read:
            read["max"] = unit(read["max"])
        for rule in ("max_increase", "tolerance"):
            if isinstance(read.get(rule), dict) and "absolute" in read[rule]:
                read[rule] = {**read[rule], "absolute": unit(read[rule]["absolute"])}
        return read

    @model_validator(mode="after")
    def _gates_something(self) -> Gate:
        if self.max is None and self.max_increase is None and self.tolerance is None:
            raise ValueError("give max, max_increase or tolerance")
        if self.tolerance is not None and self.stage is not None:
            raise ValueError("a tolerance is for whole targets, not for a stage")
        if self.stage is not None and self.metric in ("memory", "latency"):
            raise ValueError(f"{self.metric} is of whole targets, not of a stage")
        if self.metric == "latency" and (self.max_increase or self.max is None or self.tolerance is None):
            raise ValueError("latency has noise, and no lock file holds it: give max and tolerance, no max_increase")
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


def find_projects(start: Path) -> list[Project]:
    """Return every project at or below `start`: of files that git does not ignore, or outside git of all folders."""
    files = project_files(start)
    if files is None:
        files = [path for path in start.rglob("pyproject.toml") if not _hidden(path.relative_to(start))]
    return [project for file in sorted(files, key=lambda file: file.parent.parts) if (project := _read(file))]


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") or part in ("node_modules", "site-packages") for part in path.parts)


def _read(path: Path) -> Project | None:
    try:
        tools = tomllib.loads(read_text(path, str(path))).get("tool", {})
    except ScalenetError:
        raise
    except (ValueError, RecursionError) as error:  # numbers without end are a ValueError
        raise ConfigError(f"{path}: not TOML: {error}") from None
    if not isinstance(tools, dict):
        raise ConfigError(f"{path}: tool: expected a table, found {type(tools).__name__}")
    table = tools.get("scalenet")
    if table is None:
        return None
    return Project(path.parent, as_record(Settings, table, f"{path.name}: [tool.scalenet]"))
