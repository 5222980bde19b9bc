"""Comparison of descriptions, field by field."""

from __future__ import annotations

from itertools import accumulate, zip_longest
from operator import mul
from typing import TYPE_CHECKING, Any, NamedTuple

from scalenet.arch.config import as_data
from scalenet.arch.factory import Factory
from scalenet.arch.style import Norm

if TYPE_CHECKING:
    from scalenet.arch.spec import Buildable, Model


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


def computed_differently(before: Buildable, after: Buildable) -> list[Difference]:
    """Return what makes two networks compute something else with the same weights, nothing where they do not.

    Size, classes, regularisation, initial values, momentum and how a squeeze-excite pools make no difference.
    """
    if isinstance(before, Factory) or isinstance(after, Factory):
        own, others = (as_data(one) | {"resolution": None, "classes": None} for one in (before, after))
        return differences(own, others)
    other = _aligned(after, before)
    return [] if other.layers == before.layers else differences(as_data(before), as_data(other))


def _aligned(model: Model, other: Model) -> Model:
    """Return a model with what makes no difference to outputs as another has it."""
    norm, own, theirs = model.norm, model.squeeze_excite, other.squeeze_excite
    if isinstance(norm, Norm) and isinstance(other.norm, Norm):
        norm = norm.changed(momentum=other.norm.momentum)
    if own is not None and theirs is not None:
        own = own.changed(pool=theirs.pool)
    return model.changed(
        resolution=other.resolution,
        norm=norm,
        squeeze_excite=own,
        head=model.head.changed(classes=other.head.classes),
        regularization=other.regularization,
        initialization=other.initialization,
    )


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
