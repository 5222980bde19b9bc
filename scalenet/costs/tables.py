"""Costs as tables: a row a stage as the paper's table 1 has it, a row a layer, or a row a candidate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

import numpy as np

from scalenet.arch.bounds import MOST_LAYERS
from scalenet.arch.errors import ScalenetError, UnknownNameError
from scalenet.arch.layers import (
    Attention,
    Branches,
    Choice,
    Conv,
    GlobalPool,
    Linear,
    Norm,
    Position,
    Scale,
    Sequence,
)
from scalenet.arch.shapes import entering_paths, joined, shape_of
from scalenet.arch.spec import layer_tree
from scalenet.costs.formula import Walker, cost

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from scalenet.arch.layers import Layer
    from scalenet.arch.spec import Model, StageSpec
    from scalenet.costs.formula import Cost, Tally

By: TypeAlias = Literal["stage", "layer", "operator", "candidate"]

_KINDS = {
    Conv: "conv",
    Linear: "linear",
    Norm: "norm",
    GlobalPool: "pool",
    Attention: "attention",
    Scale: "scale",
    Position: "position",
}
"""The leaves that cost something."""


def frame(counts: Cost, by: By | None) -> pd.DataFrame:
    """Return counts as a table: see `Cost.frame`."""
    import pandas as pd  # noqa: PLC0415 - the formula does without it

    many = np.ndim(counts.flops) > 0
    made = counts.model is None and not many  # by a factory
    by = by or ("candidate" if many else "operator" if made else "stage")
    if by not in get_args(By):
        raise UnknownNameError("table", by, get_args(By), listing=f"known: {', '.join(get_args(By))}")
    if many != (by == "candidate"):
        raise ScalenetError(f"no table by {by} of {'many candidates' if many else 'one network'}")
    if made and by != "operator":
        raise ScalenetError(f"no table by {by} of a factory's network", hint="`scalenet show` has its top modules")
    if by == "candidate":
        columns = {**counts.candidates, "flops": counts.flops, "params": counts.params}
        columns |= {"activations": counts.activations}
        return pd.DataFrame({name: np.ravel(values) for name, values in columns.items()})
    if by == "operator":
        return pd.DataFrame({"operator": list(counts.flops_by_operator), "flops": counts.flops_by_operator.values()})
    model = cast("Model", counts.model)
    return pd.DataFrame(stage_rows(model) if by == "stage" else layer_rows(model))


def stage_rows(model: Model) -> list[dict[str, Any]]:
    """Return a row a part: what it is, what enters it, and what it costs."""
    operators = [str(model.stem), *map(_operator, model.stages), str(model.head)]
    rows: list[dict[str, Any]] = []
    height, width = map(float, model.size)
    for part, operator in zip(cost(model).parts, operators, strict=True):
        counts = part.cost
        rows.append(
            {
                "stage": part.name,
                "operator": operator,
                "resolution": size_text(height, width),
                "channels": part.channels,
                "layers": part.depth,
                "flops": counts.flops,
                "params": counts.params,
                "activations": counts.activations,
            }
        )
        height, width = float(part.height), float(part.width)
    rows[-1]["channels"] = model.head.width or model.classes  # as in the paper's table, not all that leaves it
    return rows


def layer_rows(model: Model) -> list[dict[str, Any]]:
    """Return a row a layer that costs something, by the name of its module: what leaves it, and its counts."""
    tree = layer_tree(model)
    if sum(cast("int", part.depth) for part in tree.parts) > MOST_LAYERS:
        raise ScalenetError(f"a network of more than {MOST_LAYERS:,} layers has no table of them")
    walker = Walker(shape_of(tree))
    stem, *stages, head = tree.parts
    rows = list(_leaves(walker, stem.runs[0].block, "stem"))
    for stage in stages:
        for number, block in enumerate(stage.blocks()):
            rows += _leaves(walker, block, f"{stage.name}.{number}")
    return rows + list(_leaves(walker, head.runs[0].block, "head"))


def _leaves(walker: Walker, layer: Layer, name: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a layer in the order of its parameters, and leave the walker's map as the layer does."""
    match layer:
        case Sequence():
            for inner_name, inner in layer.layers:
                yield from _leaves(walker, inner, f"{name}.{inner_name}")
        case Choice():
            yield from _leaves(walker, layer.chosen, name)
        case Branches():
            left = []
            for (path_name, path), part in zip(layer.paths, entering_paths(layer, walker.shape), strict=True):
                walker.move(part)
                yield from _leaves(walker, path, f"{name}.{path_name}")
                left.append(walker.shape)
            walker.move(joined(layer, left))
        case _:
            tally = walker.counted(layer)
            if type(layer) in _KINDS:
                yield _row(walker, layer, name, tally)


def _row(walker: Walker, layer: Layer, name: str, tally: Tally) -> dict[str, Any]:
    return {
        "layer": name,
        "kind": _KINDS[type(layer)],
        "channels": walker.shape.channels,
        "height": walker.shape.height,
        "width": walker.shape.width,
        "flops": tally.flops,
        "params": tally.params,
        "activations": tally.activations,
    }


def _operator(stage: StageSpec) -> str:
    """Return the block with its options as the paper's table has them: kernel 3 and expand 6 are k3 e6."""
    defaults = {name: field.default for name, field in type(stage).model_fields.items()}
    words = [stage.block]
    for name, value in stage.options().items():
        if name in ("kernel", "expand"):
            words.append(f"{name[0]}{_option(value)}")
        elif value != defaults[name]:
            words.append(f"{name}={value}" if isinstance(value, str) else f"{name}{_option(value)}")
    return " ".join(words)


def _option(value: Any) -> str:
    """Return an option's value; those of an option that differs from block to block as 6/2.5/2.3, each kind once."""
    if isinstance(value, tuple):
        return "/".join(map(_option, dict.fromkeys(value)))
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def size_text(height: float, width: float) -> str:
    """Return 224 for a square map, 511×513 for another."""
    return _whole(height) if height == width else f"{_whole(height)}×{_whole(width)}"


def _whole(side: float) -> str:
    return f"{side:.0f}" if side == int(side) else f"{side:g}"
