"""Budgets of time: latency is measured, not counted, so the way to it goes through other budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalenet.arch.errors import ScalenetError
from scalenet.scaling.scaler import scale_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalenet.arch.config import BudgetRule, Config
    from scalenet.arch.spec import Architecture

_ATTEMPTS = 12


def scale_within(
    base: Architecture,
    rule: BudgetRule,
    seconds: float,
    measure: Callable[[Architecture], float],
    *,
    rounding: str | None = None,
    tolerance: float = 0.05,
    capped: bool = True,
) -> tuple[Config, float]:
    """Return a network near the ray whose latency is within `tolerance` below `seconds`, and that latency.

    The rule's value is moved until `measure` says so, from its own on, above which it never goes where it is `capped`:
    a network that is fast enough there is the answer. After 12 networks the slowest that is fast enough is returned;
    raises ScalenetError where none is.
    """
    value, fast, slow = rule.value, None, None
    for _ in range(_ATTEMPTS):
        config = scale_by(base, rule.changed(value=value), rounding=rounding)
        taken = measure(config.architecture())
        if taken <= seconds:
            if fast is None or taken > fast[2]:
                fast = value, config, taken
            if taken >= seconds * (1 - tolerance) or (capped and value == rule.value):
                break
        elif slow is None or value < slow:
            slow = value
        value = max(1, round(value * seconds * (1 - tolerance / 2) / taken))
        if fast is not None and slow is not None and not fast[0] < value < slow:
            value = round((fast[0] * slow) ** 0.5)
        if capped:
            value = min(value, rule.value)
        if value in ({fast[0]} if fast else set()) | {slow}:
            break
    if fast is None:
        raise ScalenetError(
            f"latency: no network of this ray takes {1e3 * seconds:.4g} ms or less; the last took {1e3 * taken:.4g} ms",
            hint="ask for more time, or take another rule",
        )
    return fast[1], fast[2]
