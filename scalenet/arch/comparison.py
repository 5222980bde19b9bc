"""Comparison of descriptions, field by field."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any, NamedTuple


class Difference(NamedTuple):
    """A field that differs: its path, as `stages[4].kernel`, and both values; None where there is none."""

    path: str
    before: Any
    after: Any


def differences(before: Any, after: Any, path: str = "") -> list[Difference]:
    """Return every field in which two descriptions differ; they are plain data, as `as_data` gives it.

    Keys are compared by name and list items by position. `path` stands before every path.
    """
    pairs: list[tuple[str, Any, Any]]
    if isinstance(before, dict) and isinstance(after, dict):
        dot = "." if path else ""
        pairs = [(f"{dot}{key}", before.get(key), after.get(key)) for key in {**before, **after}]
    elif isinstance(before, list) and isinstance(after, list):
        pairs = [(f"[{number}]", one, other) for number, (one, other) in enumerate(zip_longest(before, after))]
    else:
        return [] if before == after else [Difference(path, before, after)]
    return [found for step, one, other in pairs for found in differences(one, other, f"{path}{step}")]
