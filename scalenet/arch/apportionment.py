"""How many blocks of each kind a stage has when its depth is scaled."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from scalenet.arch.layers import Count


def apportioned(counts: list[int], depth: Count) -> list[Count]:
    """Return how many of `depth` blocks are of each kind, where `counts` were.

    From the last kind to the first, each takes its share of what is left, rounded, at least one, as timm does it
    (`_scale_stage_depth`); but never more than leaves one for each kind before it, so that they add up. The first kind,
    which strides, is there in every depth.
    """
    import numpy as np  # noqa: PLC0415 - loading the registry does without it

    if len(counts) == 1:
        return [depth]
    result: list[Count] = []
    left = depth
    for number in reversed(range(1, len(counts))):
        share = np.maximum(1, np.rint(counts[number] * left / sum(counts[: number + 1])))
        taken = np.maximum(0, np.minimum(share, left - number))
        result.append(int(taken) if isinstance(depth, int) else cast("Count", taken))
        left = left - result[-1]
    return [left, *reversed(result)]
