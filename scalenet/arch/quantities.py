"""What people write for a size, an amount or a time, some of them relative to a baseline."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from scalenet.arch.errors import ScalenetError

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST = 40
"""Characters of a number with its unit."""


def parse_size(text: str) -> int | tuple[int, int]:
    """Return pixels of `224` or `511x513` (height × width)."""
    match = re.fullmatch(r"([1-9][0-9]{0,9})(?:[x×]([1-9][0-9]{0,9}))?", text)
    if match is None:
        raise ScalenetError(f"resolution {text!r} is not a size", hint="write 224 or 511x513")
    return int(match[1]) if match[2] is None or match[1] == match[2] else (int(match[1]), int(match[2]))


def parse_bytes(text: str) -> int:
    """Return the bytes of `2GiB`, `500MB` or `1.5G`: k, M, G, T are powers of 1000, with an `i` of 1024."""
    from scalenet.arch.amounts import byte_amount  # noqa: PLC0415 - brings pydantic

    return _at_least_one(byte_amount, text, "is not a number of bytes", hint="write 2GiB, 500MB or 1.5G")


def parse_amounts(text: str, own: int, *, unit: Callable[[str], int] | None = None) -> list[int]:
    """Return the amounts of `4G`, `200M,400M` or `0.5x,2x`; `x` is times the baseline's `own`."""
    amounts = []
    for word in text.split(","):
        times = _matched(r"([0-9]+(?:\.[0-9]+)?)\s*[x×]", word)
        amounts.append(max(1, round(Decimal(times[1]) * own)) if times else (unit or parse_count)(word))
    return amounts


def _matched(pattern: str, text: str) -> re.Match[str] | None:
    """Return how a pattern matches all of a short text, upper case or lower."""
    return re.fullmatch(pattern, text.strip(), re.IGNORECASE) if len(text) <= _LONGEST else None


def parse_count(text: str) -> int:
    """Return the count of `4G`, `25M` or `4089184256`: k, M, G or B, and T are powers of 1000."""
    from scalenet.arch.amounts import amount  # noqa: PLC0415 - brings pydantic

    hint = "write 4G, 25M, 1000000, or 8x for 8 times the baseline"
    return _at_least_one(amount, text, "is not an amount", hint=hint)


def _at_least_one(read: Callable[[str], int], text: str, wrong: str, *, hint: str) -> int:
    try:
        value = read(text)
    except ValueError:
        value = 0
    if value < 1:
        raise ScalenetError(f"{text!r} {wrong}", hint=hint)
    return value


_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}


def parse_seconds(text: str) -> list[float]:
    """Return the seconds of `20ms`, `1.5s`, `15min`, `2h` or `10ms,20ms`."""
    matches = [_matched(r"([0-9]+(?:\.[0-9]+)?)\s*(us|ms|s|min|h)", word) for word in text.split(",")]
    seconds = [float(match[1]) * _SECONDS[match[2].lower()] for match in matches if match]
    if len(seconds) < len(matches) or not all(seconds):
        raise ScalenetError(f"{text!r} is not a time", hint="write 20ms, 1.5s or 15min")
    return seconds
