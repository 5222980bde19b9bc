"""Measures a table of latencies: every block of a space inside networks, and some whole networks beside it.

A stage's first block takes what its kind, its width and the width before it make of it, a further one what its kind and
width do. Networks of one kind in all stages, whose widths take turns, hold all of these: 324 for MnasNet's space.
"""

from __future__ import annotations

import platform
from dataclasses import replace
from itertools import count, product
from typing import TYPE_CHECKING

import numpy as np
import torch

from scalenet.costs.latency import Setup, latencies, part_latencies
from scalenet.spaces.costs import tables_of
from scalenet.spaces.latencies import Latencies, StageLatencies
from scalenet.spaces.space import Space, load_space

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

PASSES, RUNS = 3, 3
"""How often all networks are gone through, and how often each is run then: the fastest counts, which other work on the
machine moves least.
"""

WHOLE = 16
"""Random members that are run as a whole in each pass."""

_MORE = 3
"""How many times as often: a long run is interrupted sooner, and a block is part of several networks."""


def time_space(
    space: Space | str | Path,
    *,
    resolution: int | tuple[int, int] | None = None,
    classes: int | None = None,
    device: str = "cpu",
    batch: int = 1,
    dtype: str = "float32",
    threads: int = 1,
    runs: int = RUNS,
    warmup: int = 1,
    channels_last: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> Latencies:
    """Measure what the blocks of a space take on a device: a table that `baseline_search` holds its `latency` against.

    `space` is a name of `scalenet spaces`, a file or a record, at another `resolution` in pixels or with other
    `classes`; the rest is as in `latency`, but that all networks are run so often in each of three passes, and that the
    fastest run counts. `progress` hears how many networks are done, and of how many. `save(path)` of what is returned
    writes a file. Raise ScalenetError where the device does not do it.
    """
    space = (space if isinstance(space, Space) else load_space(space)).changed_to(
        resolution=resolution, classes=classes
    )
    setup = Setup(device, batch, dtype, threads, runs, warmup, channels_last)
    tables = tables_of(space)  # says which stages no network can have
    timer, members = _Timer(space, setup), _members(space)
    drawn = np.random.default_rng(0).integers(space.variants, size=(WHOLE, len(space.variants)))
    whole, taken = [space.network(member) for member in drawn.tolist()], np.full(WHOLE, np.inf)
    often = replace(setup, runs=_MORE * setup.runs)
    steps = count(1)
    for _ in range(PASSES):
        for member in members:
            timer.time(member)
            if progress is not None:
                progress(next(steps), PASSES * len(members))
        taken = np.minimum(taken, [1e9 * one.minimum for one in latencies(whole, often)])
    table = timer.table()
    ratios = taken / tables.timed(table).costs(drawn)[-1]
    ratio = float(np.median(ratios))
    error = float(np.abs(ratios / ratio - 1).max())
    return table.changed(ratio=float(f"{ratio:.4g}"), error=float(f"{error:.2g}"))


def _members(space: Space) -> list[tuple[int, ...]]:
    """Return members of one kind and of two widths in turn, with a further block where a stage may have one."""
    shapes = [space.shape(place) for place in range(len(space.stages))]
    kinds, widths = (range(max(shape[axis] for shape in shapes)) for axis in (0, 1))
    found = []
    for kind, *pair in product(kinds, widths, widths):
        member = []
        for place, shape in enumerate(shapes):
            depths = space.stages[place].depths
            chosen = min(kind, shape[0] - 1), min(pair[place % 2], shape[1] - 1), _deepened(depths)
            member.append(int(np.ravel_multi_index(chosen, shape)))
        found.append(tuple(member))
    return list(dict.fromkeys(found))


def _deepened(depths: tuple[int, ...]) -> int:
    """Return the place of the least depth of more than one block, or of one where there is none."""
    return min(range(len(depths)), key=lambda place: (depths[place] == 1, depths[place]))


class _Timer:
    """The fastest runs so far, in nanoseconds."""

    def __init__(self, space: Space, setup: Setup) -> None:
        self.space, self.setup = space, setup
        shapes = [space.shape(place) for place in range(len(space.stages))]
        before = [1, *(shape[1] for shape in shapes)]
        self.first = [np.full((wide, *shape[:2]), np.inf) for wide, shape in zip(before, shapes, strict=False)]
        self.further = [np.full(shape[:2], np.inf) for shape in shapes]
        self.ends = np.full(before[-1], np.inf)

    def time(self, member: tuple[int, ...]) -> None:
        """Run a member, and keep what of it was faster than before."""
        stem, *blocks, head = (1e9 * seconds for seconds in part_latencies(self.space.network(member), self.setup))
        taken, before = iter(blocks), 0
        for place, variant in enumerate(member):
            kind, width, depth = map(int, np.unravel_index(variant, self.space.shape(place)))
            own = [next(taken) for _ in range(self.space.stages[place].depths[depth])]
            _keep(self.first[place], (before, kind, width), own[0])
            if own[1:]:
                _keep(self.further[place], (kind, width), min(own[1:]))
            before = width
        _keep(self.ends, (before,), stem + head)

    def table(self) -> Latencies:
        """Return what was measured; a stage that has no further block takes its first one's time for it."""
        stages = []
        for first, further in zip(self.first, self.further, strict=True):
            known = np.where(np.isfinite(further), further, first.min(axis=0))
            stages.append(StageLatencies(first=_whole(first), further=_whole(known)))
        return Latencies(
            schema="scalenet-latencies/1",
            space=self.space,
            device=self.setup.device,
            machine=_machine(self.setup.device),
            torch=torch.__version__,
            threads=self.setup.threads,
            batch=self.setup.batch,
            dtype=self.setup.dtype,
            channels_last=self.setup.channels_last,
            members=WHOLE,
            ratio=1.0,
            error=0.0,
            ends=_whole(self.ends),
            stages=tuple(stages),
        )


def _keep(table: NDArray[np.float64], place: tuple[int, ...], value: float) -> None:
    table[place] = min(table[place], value)


def _whole(table: NDArray[np.float64]) -> tuple[int, ...]:
    """Return nanoseconds, at least one, as a flat tuple."""
    return tuple(np.maximum(1, np.rint(table)).astype(int).ravel().tolist())


def _machine(device: str) -> str:
    """Return what runs: the name of a GPU, the architecture of a CPU with the instructions that torch uses."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    if device == "cpu":
        return f"{platform.machine()} with {torch.backends.cpu.get_cpu_capability()}"
    return platform.machine()
