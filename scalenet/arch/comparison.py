"""Comparison of descriptions, field by field."""

from __future__ import annotations

from itertools import accumulate, zip_longest
from operator import mul
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from scalenet.arch.spec import Model


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


def aligned_stages(before: Model, after: Model) -> list[tuple[int | None, int | None]]:
    """Return the numbers of stages that stand side by side; None where there is no counterpart.

    They are paired by position where both networks have as many. Elsewhere a pair works on maps of the same stride,
    and within a stride positions count.
    """
    if len(before.stages) == len(after.stages):
        return [(number, number) for number in range(len(before.stages))]
    old, new = _strides(before), _strides(after)
    return [
        pair for stride in sorted({*old, *new}) for pair in zip_longest(_numbers(old, stride), _numbers(new, stride))
    ]


def _numbers(strides: list[int], wanted: int) -> list[int]:
    return [number for number, stride in enumerate(strides) if stride == wanted]


def _strides(model: Model) -> list[int]:
    """Return by what each stage's output is smaller than the input."""
    stem = model.stem.total_stride
    return list(accumulate((stage.stride for stage in model.stages), mul, initial=stem))[1:]
