"""Counts as people write and read them: 400M, 4.1 G, +2.9 %."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field

Metric: TypeAlias = Literal["flops", "params", "activations", "memory", "latency"]
METRICS: dict[Metric, str] = {
    "flops": "FLOPs",
    "params": "params",
    "activations": "activations",
    "memory": "memory",
    "latency": "latency",
}
"""What is limited, and how it is called; memory is in bytes, latency in microseconds."""

_POWERS = {"": 0, "k": 3, "K": 3, "M": 6, "G": 9, "B": 9, "T": 12}


def amount(value: Any) -> Any:
    """Return the whole number that text as 400M, 4.1G or 12_000 says, rounded down; anything else as it is."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"([0-9][0-9_]*(?:\.[0-9]+)?) ?([kKMGBT]?)", value.strip())
    if match is None:
        raise ValueError(f"write a count as 400M, 4.1G or 12000, not {value!r}")
    return int(Decimal(match[1].replace("_", "")) * 10 ** _POWERS[match[2]])


def byte_amount(value: Any) -> Any:
    """Return the bytes that text as 500MB or 2GiB says: k, M, G, T are powers of 1000, with an `i` of 1024."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([kKMGT]?)(i?)B?", value.strip())
    if match is None or (match[3] and not match[2]):
        raise ValueError(f"write bytes as 500MB, 2GiB or 1500000, not {value!r}")
    base, power = 1024 if match[3] else 1000, " KMGT".index(match[2].upper() or " ")
    return int(Decimal(match[1]) * base**power)


def microseconds(value: Any) -> Any:
    """Return the microseconds that text as 20ms, 1.5s or 800us says."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?(us|µs|ms|s)", str(value).strip())
    if match is None:
        raise ValueError(f"write a time as 20ms, 1.5s or 800us, not {value!r}")
    return int(Decimal(match[1]) * {"s": 10**6, "ms": 1000}.get(match[2], 1))


Amount: TypeAlias = Annotated[int, BeforeValidator(amount), Field(ge=0)]


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
