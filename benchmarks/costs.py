"""Speed of the cost formula, as ratios to one fvcore measurement in the same run.

Run with `make bench`. Times are the median of five after a warm-up; the machine's own speed cancels in the ratios.
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import torch

from scalenet import build, load, measure
from scalenet.arch.spec import dimensions
from scalenet.costs.formula import cost, cost_box, cost_many
from scalenet.scaling.multiply import scale_dimensions
from scalenet.scaling.rounding import rounding_set

if TYPE_CHECKING:
    from collections.abc import Callable

CANDIDATES = 1_000_000
SIDE = 300


def seconds(work: Callable[[], object], *, runs: int = 5) -> float:
    """Return the median time of a call, after one that is not counted."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times)


def main() -> None:
    """Print candidates a second and ratios."""
    base = load("efficientnet_b0")
    model, rounding = base.model, rounding_set(base.rounding)
    module, images = build(base), torch.zeros(1, 3, *model.size)
    reference = seconds(lambda: measure(module, images))
    print(f"fvcore, one measurement of {base.name}: {reference:.3f} s")

    draw = np.random.default_rng(0)
    depth, width, resolution = (draw.uniform(1, 2, CANDIDATES) for _ in range(3))
    numbers = scale_dimensions(model, rounding, depth=depth, width=width, resolution=resolution)
    rounded = seconds(
        lambda: scale_dimensions(model, rounding, depth=depth, width=width, resolution=resolution), runs=3
    )
    report("one network by its layers", 1, seconds(lambda: cost(base)), reference)
    own = dimensions(model)
    report("one network by numbers", 1, seconds(lambda: cost_many(model, own)), reference)
    report("arrays: all counts", CANDIDATES, seconds(lambda: cost_many(model, numbers)), reference)
    report("arrays: rounding alone", CANDIDATES, rounded, reference)

    widths, resolutions = (axis.ravel() for axis in np.meshgrid(*[np.linspace(1, 2.5, SIDE)] * 2))
    columns = scale_dimensions(model, rounding, depth=np.ones(1), width=widths, resolution=resolutions)
    depths = tuple(rounding.round_depth(repeats, np.linspace(1, 4, SIDE)) for repeats in dimensions(model).depths)
    box = seconds(lambda: cost_box(model, depths, columns))
    report("full box: FLOPs", SIDE**3, box, reference)


def report(name: str, count: int, taken: float, reference: float) -> None:
    """Print one line."""
    print(f"{name:26} {count / taken:12.4g} a second, {reference * count / taken:10.4g} × fvcore")


if __name__ == "__main__":
    main()
