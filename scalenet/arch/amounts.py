"""Amounts as people write them: counts as 400M, 4.1G, 4B, 12_000, bytes as 500MB, 2GiB, times as 20ms."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field

from scalenet.arch.bounds import MOST_DIGITS

_COUNT = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?) ?([kKMGBT]?)")
_BYTES = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(?:([kmgt])(i?))?b?", re.IGNORECASE)
_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(us|µs|ms|s)")
_POWERS = {"": 0, "K": 3, "M": 6, "G": 9, "B": 9, "T": 12}


def amount(value: Any) -> Any:
    """Return the whole number that text as 400M, 4.1G or 12_000 says, rounded down; anything else as it is."""
    if not isinstance(value, str):
        return value
    match = _matched(_COUNT, value, "a count as 400M, 4.1G or 12000")
    return int(Decimal(match[1].replace("_", "")) * 10 ** _POWERS[match[2].upper()])


def byte_amount(value: Any) -> Any:
    """Return the bytes that text as 500MB or 2GiB says: k, M, G, T are powers of 1000, with an `i` of 1024."""
    if not isinstance(value, str):
        return value
    match = _matched(_BYTES, value, "bytes as 500MB, 2GiB or 1500000")
    base, power = 1024 if match[3] else 1000, " kmgt".index((match[2] or " ").lower())
    return int(Decimal(match[1]) * base**power)


def microseconds(value: Any) -> Any:
    """Return the microseconds that text as 20ms, 1.5s or 800us says."""
    match = _matched(_TIME, str(value), "a time as 20ms, 1.5s or 800us")
    return int(Decimal(match[1]) * {"s": 10**6, "ms": 1000}.get(match[2], 1))


def _matched(pattern: re.Pattern[str], text: str, form: str) -> re.Match[str]:
    match = pattern.fullmatch(text.strip()) if len(text) <= MOST_DIGITS else None
    if match is None:
        raise ValueError(f"write {form}, not {text!r}")
    return match


Whole: TypeAlias = Annotated[int, Field(ge=1, le=10**MOST_DIGITS)]
"""A count that may be a product of several numbers, such as FLOPs."""

Amount: TypeAlias = Annotated[int, BeforeValidator(amount), Field(ge=0, le=10**MOST_DIGITS)]
"""A count as a number, or as text that `amount` reads."""
