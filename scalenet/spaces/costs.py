"""What every member of a space costs, exactly, as sums of a stage's cost by what enters it.

A stage's cost depends on its own choices and on the width of the stage before it. The formula walks arrays of all
pairs of widths with all depths, once a kind of block; after that a member costs a table look-up a stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from scalenet.arch.errors import ScalenetError
from scalenet.arch.spec import Dimensions, layer_tree
from scalenet.costs.formula import as_floats, walk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalenet.arch.spec import Model
    from scalenet.costs.formula import CostedPart
    from scalenet.spaces.latencies import Latencies
    from scalenet.spaces.space import Space

COUNTS = ("flops", "params", "activations")
"""What is counted, in this order."""

LATENCY = "latency"
NAMES = (*COUNTS, LATENCY)
"""What is counted, and what a table of latencies adds to it, in nanoseconds."""

Members: TypeAlias = "NDArray[np.int64]"
"""Members of a space: [members, stages], a variant of each stage."""


@dataclass(frozen=True, slots=True)
class Tables:
    """Costs of a space's stages.

    `stages` holds an array a stage, [counts, widths before it, variants]; `ends` is what stem and head cost by the last
    stage's width, [counts, widths]. Where there is a table of latencies, they are the last row.
    """

    space: Space
    stages: tuple[NDArray[np.int64], ...]
    ends: NDArray[np.int64]

    @property
    def names(self) -> tuple[str, ...]:
        """What is known of members."""
        return NAMES[: len(self.ends)]

    def timed(self, latencies: Latencies) -> Tables:
        """Return these tables with what members take by a table of latencies."""
        stages = [np.concatenate([table, latencies.stage(place)[None]]) for place, table in enumerate(self.stages)]
        return Tables(self.space, tuple(stages), np.concatenate([self.ends, latencies.both_ends[None]]))

    def costs(self, members: Members) -> NDArray[np.int64]:
        """Return the counts of members, [counts, members]: equal to fvcore's, as `scalenet.cost` is."""
        before = np.zeros(len(members), dtype=np.int64)
        total = np.zeros((len(self.names), len(members)), dtype=np.int64)
        for place, table in enumerate(self.stages):
            variants = members[:, place]
            total += table[:, before, variants]
            before = widths_of(self.space, place, variants)
        return total + self.ends[:, before]

    def reach(self, counted: str) -> tuple[int, int]:
        """Return the least and the most that a member costs, of what is counted."""
        row = self.names.index(counted)
        least = [np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)]
        signs = (1, -1)  # the most is the least of what is negative
        for place, table in enumerate(self.stages):
            width = widths_of(self.space, place, np.arange(table.shape[2]))
            for side, sign in enumerate(signs):
                each = (least[side][:, None] + sign * table[row]).min(axis=0)
                least[side] = np.array([each[width == one].min() for one in range(int(width.max()) + 1)])
        low, high = (int((least[side] + sign * self.ends[row]).min()) for side, sign in enumerate(signs))
        return low, -high


def widths_of(space: Space, stage: int, variants: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places of variants' widths among those that a stage chooses from."""
    _, widths, depths = space.shape(stage)
    return variants // depths % widths


def tables_of(space: Space) -> Tables:
    """Count all stages of a space.

    Raise ScalenetError that names the stage where layers do not fit, where the channels or the size of what leaves a
    stage depend on more than its width, or where its blocks grow with their place.
    """
    kinds = max(shape[0] for shape in map(space.shape, range(len(space.stages))))
    walks = [_walked(space, kind) for kind in range(kinds)]
    _check_alike(space, walks)
    stages = tuple(_table(space, place, walks) for place in range(len(space.stages)))
    return Tables(space, stages, _ends(space, walks[0]))


def _walked(space: Space, kind: int) -> list[CostedPart]:
    """Return the costed parts of all pairs of widths with all depths, of one kind a stage."""
    shapes = [space.shape(place) for place in range(len(space.stages))]
    models = [_of_kind(space, kind, width) for width in range(max(shape[1] for shape in shapes))]
    if any(models[0].growing):
        stage = models[0].growing.index(True)
        block = models[0].stages[stage].block
        raise ScalenetError(f"space {space.name}: stages[{stage}]: blocks of {block} grow with their place")
    return list(walk(layer_tree(models[0], _numbers(space, models[0]).each(as_floats))))


def _of_kind(space: Space, kind: int, width: int) -> Model:
    """Return the network with that kind of block and that width in all stages, or their last where they have fewer."""
    member = []
    for place in range(len(space.stages)):
        kinds, widths, depths = space.shape(place)
        member.append((min(kind, kinds - 1) * widths + min(width, widths - 1)) * depths + depths - 1)
    try:
        return space.network(member)
    except ValueError as error:  # a ValidationError is one
        reason = str(error).splitlines()
        told = reason[0] if len(reason) == 1 else reason[2].strip().removeprefix("Value error, ").split(" [type=")[0]
        raise ScalenetError(f"space {space.name}: {told}") from None


def _numbers(space: Space, model: Model) -> Dimensions:
    """Return dimensions as arrays, [widths, widths, depths]: stages take the first width and the second in turn."""
    shapes = [space.shape(place) for place in range(len(space.stages))]
    grid = np.indices(_grid(space))
    widths, depths = [], []
    for place, own in enumerate(space.stages):
        chosen = np.minimum(grid[_axis(place)], shapes[place][1] - 1)
        widths.append(np.array(own.widths(space.divisor))[chosen].ravel())
        depths.append(np.array(own.depths)[np.minimum(grid[2], shapes[place][2] - 1)].ravel())
    return Dimensions(tuple(depths), (model.stem.width, *widths, model.head.width), model.size)


def _grid(space: Space) -> tuple[int, int, int]:
    """Return the shape of the arrays: most widths twice, and most depths."""
    shapes = [space.shape(place) for place in range(len(space.stages))]
    widths = max(shape[1] for shape in shapes)
    return widths, widths, max(shape[2] for shape in shapes)


def _axis(place: int) -> int:
    """Return which axis has the widths of a stage; the stage before it has the other."""
    return place % 2


def _counts(space: Space, part: CostedPart) -> NDArray[np.int64]:
    """Return a part's counts, [counts, width before, width, depth] as the axes lie."""
    cost = part.cost
    rows = [np.broadcast_to(getattr(cost, name), prod(_grid(space))) for name in COUNTS]
    return np.array(rows).reshape(len(COUNTS), *_grid(space)).astype(np.int64)


def _table(space: Space, place: int, walks: list[list[CostedPart]]) -> NDArray[np.int64]:
    kinds, widths, depths = space.shape(place)
    before = space.shape(place - 1)[1] if place else 1
    rows = []
    for kind in range(kinds):
        counts = _counts(space, walks[kind][place + 1])
        turned = counts if _axis(place) else counts.swapaxes(1, 2)
        rows.append(turned[:, :before, :widths, :depths])
    found = np.stack(rows, axis=2)  # counts, width before, kind, width, depth
    return found.reshape(len(COUNTS), before, -1)


def _ends(space: Space, walked: list[CostedPart]) -> NDArray[np.int64]:
    """Return what stem and head cost together, by the width of the last stage."""
    last = len(space.stages) - 1
    widths = space.shape(last)[1]
    both = _counts(space, walked[0]) + _counts(space, walked[-1])
    turned = both if _axis(last) else both.swapaxes(1, 2)
    return turned[:, 0, :widths, 0]


def _check_alike(space: Space, walks: list[list[CostedPart]]) -> None:
    """Raise ScalenetError where what leaves a stage depends on more than its width."""
    for place in range(len(space.stages)):
        parts = [walked[place + 1] for walked in walks[: space.shape(place)[0]]]
        left = [(part.channels, part.height, part.width) for part in parts]
        for kind, one in enumerate(left):
            if any(np.any(mine != first) for mine, first in zip(one, left[0], strict=True)):
                blocks = f"{space.stages[place].kinds[0][0]} and {space.stages[place].kinds[kind][0]}"
                raise ScalenetError(
                    f"space {space.name}: stages[{place}]: {blocks} leave different maps for one width",
                    hint="give them stages of spaces of their own",
                )
