"""JSON read strictly, and written so that others can read it: no NaN, no Infinity, no key twice."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from scalenet.arch.bounds import MOST_DIGITS


def loads(text: str) -> Any:
    """Return the data of a JSON text; raise ValueError in one line where it is none.

    NaN and infinite numbers, keys that stand twice, numbers without end and deep nesting are refused.
    """
    try:
        return json.loads(
            text, object_pairs_hook=_each_once, parse_constant=_no_number, parse_float=_finite, parse_int=_whole
        )
    except RecursionError:
        raise ValueError("nested too deep") from None


def dumps(data: Any, *, indent: int | None = None) -> str:
    """Return data as JSON text; a number that is none, or infinite, is null, and what is not printable is escaped."""
    try:
        text = json.dumps(data, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_with_nulls(data), indent=indent, ensure_ascii=False, allow_nan=False)
    if text.replace("\n", "").isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)


def _with_nulls(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _with_nulls(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_with_nulls(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            raise ValueError(f"{key!r} stands twice")
        data[key] = value
    return data


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text[:MOST_DIGITS])


def _whole(text: str) -> int:
    if len(text.lstrip("-")) > MOST_DIGITS:
        raise ValueError(f"a number has at most {MOST_DIGITS} digits, this one {len(text)}")
    return int(text)
