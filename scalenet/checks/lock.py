"""The lock file: what every target cost when its cost was last accepted.

It is JSON made for review and for git: targets by name, one entry a line, a blank line between targets, and nothing in
it that changes by itself (no time, host or version of torch).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from scalenet.arch import strict_json
from scalenet.arch.config import as_data, as_record
from scalenet.arch.convention import matrix_flops
from scalenet.arch.errors import ConfigError
from scalenet.arch.files import read_text
from scalenet.arch.records import Record, as_tuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_CONVENTION = (
    "flops: multiply-adds of conv, linear and matrix products, evaluation mode; operators: as fvcore counts them"
)


class StageCost(Record):
    """Counts of one stage, or of one top module: trainable numbers, activations, and fvcore's operators."""

    params: int
    activations: int
    operators: dict[str, int]

    @property
    def flops(self) -> int:
        """Multiply-adds of convolutions, linear layers and matrix products."""
        return matrix_flops(self.operators)


class TargetCost(Record):
    """Counts of one target for its inputs; `uncounted` are operators that fvcore met and counted as nothing.

    `accepted` are those that the project says may count as nothing, though they may be work. `memory` is the peak of
    inference in bytes, where there is a limit on it. `model` is the description behind the counts, where there is one.
    """

    input: Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
    flops: int
    params: int
    activations: int
    stages: dict[str, StageCost]
    uncounted: Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
    accepted: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] | None = None
    memory: int | None = None
    model: dict[str, Any] | None = None


class Lock(Record):
    """A whole lock file: the counts of every target by name."""

    schema_: Literal["scalenet-lock/1"] = Field(alias="schema", default="scalenet-lock/1")
    convention: str = _CONVENTION
    targets: dict[str, TargetCost]


def read_lock(path: Path) -> Lock | None:
    """Read a lock file; return None where there is none, and raise ConfigError for one that cannot be trusted."""
    return parse_lock(read_text(path, path.name), path.name) if path.exists() else None


def parse_lock(text: str, place: str) -> Lock:
    """Read the text of a lock file; `place` names it in errors."""
    conflict = re.search(r"^(<<<<<<<|=======|>>>>>>>)", text, flags=re.MULTILINE)
    if conflict:
        line = text.count("\n", 0, conflict.start()) + 1
        raise ConfigError(f"{place}:{line}: holds a git conflict", hint="`scalenet lock` writes it anew")
    try:
        data = strict_json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{place}: not a lock file: {error}", hint="`scalenet lock` writes it anew") from None
    if isinstance(data, dict) and _version(data.get("schema")) > 1:
        raise NewerLockError(f"{place}: {data['schema']} is of a newer scalenet", hint="upgrade scalenet")
    return as_record(Lock, data, place)


class NewerLockError(ConfigError):
    """Say that a lock file was written by a version newer than this one."""


def _version(schema: Any) -> int:
    match = re.fullmatch(r"scalenet-lock/(\d+)", str(schema))
    return int(match[1]) if match else 0


def dumps(lock: Lock) -> str:
    """Return the text of a lock file, the same bytes for the same counts."""
    targets = (f"{_text(name)}: {_target(lock.targets[name])}" for name in sorted(lock.targets))
    head = f'"schema": {_text(lock.schema_)},\n"convention": {_text(lock.convention)},\n'
    return "".join(("{\n", head, '"targets": {\n\n', ",\n\n".join(targets), "\n\n}\n}\n"))


def _target(cost: TargetCost) -> str:
    data = as_data(cost)
    entries = {key: _text(value) for key, value in data.items() if key not in ("stages", "model")}
    entries["stages"] = _mapping(data["stages"])
    if "model" in data:
        entries["model"] = _mapping(data["model"])
    return "{\n" + ",\n".join(f"  {_text(key)}: {value}" for key, value in entries.items()) + "\n}"


def _mapping(data: dict[str, Any]) -> str:
    """Return a mapping inside a target, an entry a line; a list of mappings has a line for each."""
    return _lines("{}", (f"{_text(key)}: {_listed(value)}" for key, value in data.items()), "    ")


def _listed(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return _lines("[]", map(_text, value), "      ")
    return _text(value)


def _lines(brackets: str, lines: Iterable[str], indent: str) -> str:
    inner = ",\n".join(f"{indent}{line}" for line in lines)
    return f"{brackets[0]}\n{inner}\n{indent[2:]}{brackets[1]}" if inner else brackets


def _text(value: Any) -> str:
    return strict_json.dumps(value)


def line_of(text: str, name: str) -> int:
    """Return the line, counted from 1, on which a target begins in the text of a lock file, or 1."""
    return 1 + text[: max(text.find(f"\n{_text(name)}: {{") + 1, 0)].count("\n")
