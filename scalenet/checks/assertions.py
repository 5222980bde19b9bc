"""Assertions for tests: a module costs what it may, or what it did."""

from __future__ import annotations

import operator
import re
from pathlib import Path
from typing import TYPE_CHECKING

from scalenet.arch.amounts import amount
from scalenet.arch.errors import ScalenetError, UnknownNameError
from scalenet.checks.comparison import Change
from scalenet.checks.inputs import parse_input
from scalenet.checks.lock import TargetCost, read_lock
from scalenet.checks.measuring import module_cost

if TYPE_CHECKING:
    from torch import nn

    from scalenet.costs.counter import Input

_COMPARISONS = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt, "==": operator.eq}


def assert_cost(
    module: nn.Module,
    input: Input,
    *,
    flops: str | int | None = None,
    params: str | int | None = None,
    activations: str | int | None = None,
) -> None:
    """Raise AssertionError unless the counts of a module hold: `"<= 4.1G"`, `"< 12M"`, or a number that they equal.

    `input` is what `scalenet.measure` takes. A count that cannot be trusted raises ScalenetError.
    """
    limits = {"flops": flops, "params": params, "activations": activations}
    wanted = {metric: _limit(limit) for metric, limit in limits.items() if limit is not None}
    if not wanted:
        raise ScalenetError("nothing to assert", hint='flops="<= 4.1G"')
    from scalenet.costs.counter import measure  # noqa: PLC0415

    measurement = measure(module, input)
    for metric, (sign, limit) in wanted.items():
        found = getattr(measurement, metric)
        if not _COMPARISONS[sign](found, limit):
            raise AssertionError(f"{metric} {found:,}, not {sign} {limit:,}")


def _limit(text: str | int) -> tuple[str, int]:
    sign, number = re.findall(r"^\s*(<=|>=|==|<|>|)(.*)", str(text))[0]
    try:
        return sign or "==", amount(number)
    except ValueError as error:
        raise ScalenetError(str(error), hint='as in flops="<= 4.1G"') from None


def assert_cost_unchanged(
    module: nn.Module, *, lock: str | Path = "scalenet.lock.json", target: str | None = None
) -> None:
    """Raise AssertionError unless a module costs what the lock file says of `target`, for the inputs that it names.

    `target` may be left out where the file has only one. A count that cannot be trusted raises ScalenetError.
    """
    name, locked = _locked(Path(lock), target)
    change = Change(locked, module_cost(module, map(parse_input, locked.input), locked.accepted or ()))
    if change:
        raise AssertionError(f"{name}: {change.summary}\naccept with: scalenet lock")


def _locked(path: Path, target: str | None) -> tuple[str, TargetCost]:
    lock = read_lock(path)
    if lock is None:
        raise ScalenetError(f"{path}: missing", hint="`scalenet lock` makes it")
    name = target or (next(iter(lock.targets)) if len(lock.targets) == 1 else "")
    if name not in lock.targets:
        known = ", ".join(sorted(lock.targets))
        raise UnknownNameError(f"target of {path.name}", name, lock.targets, listing=f"it has {known}")
    return name, lock.targets[name]
