"""Counts as people read them: 4.1 G, +2.9 %."""

from __future__ import annotations

from typing import Literal, TypeAlias

Metric: TypeAlias = Literal["flops", "params", "activations", "memory", "latency"]
METRICS: dict[Metric, str] = {
    "flops": "FLOPs",
    "params": "params",
    "activations": "activations",
    "memory": "memory",
    "latency": "latency",
}
"""What is limited, and how it is called; memory is in bytes, latency in microseconds."""


def shown(count: float, *, sign: bool = False) -> str:
    """Return a count for reading, with three digits: 4089184256 is 4.09 G, with `sign` +4.09 G."""
    for limit, unit in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"), (1, "")):
        if abs(count) >= limit or limit == 1:
            value = count / limit
            digits = 0 if abs(value) >= 100 or limit == 1 else 1 if abs(value) >= 10 else 2
            return f"{value:{'+' if sign else ''}.{digits}f}{unit}"
    raise AssertionError


def shown_as(metric: Metric, value: int, *, exact: bool = False) -> str:
    """Return a value of a metric for reading: 4.09 G, 34.0 MB, 21.3 ms; with `exact`, all its digits."""
    if metric == "latency":
        return f"{value:,} µs" if exact else f"{value / 1000:.3g} ms" if value < 10**6 else f"{value / 10**6:.3g} s"
    unit = "B" if metric == "memory" else ""
    if exact:
        return f"{value:,} {unit}".strip()
    text = shown(value)
    return f"{text}{unit}" if " " in text else f"{text} {unit}".strip()


def step(before: int, after: int) -> str:
    """Return two counts for reading: 4.09 G → 4.21 G (+2.9 %); with all digits where three would be the same."""
    short = shown(before), shown(after)
    first, second = short if short[0] != short[1] else (f"{before:,}", f"{after:,}")
    return f"{first} → {second}{f' ({percent(before, after)})' if before else ''}"


def percent(before: int, after: int) -> str:
    """Return by how much a count changed for reading: +2.9 %, −0.57 %."""
    change = 100 * (after - before) / before
    digits = ".1f" if abs(change) >= 1 else ".2f" if abs(change) >= 0.01 else ".1g"
    return f"{change:+{digits}} %".replace("-", "−", 1)
