"""Which encoded images are for what: drawn by a seed, class by class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scalenet.training.decoding import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scalenet.training.decoding import Files
    from scalenet.training.sources import Source

HELD_OUT = 0.1
"""The share of each class that is held out where the data have no held-out images."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which encoded images of a source are for what; `spare` ones are left out by the limit of their number."""

    source: Source
    train: Files
    validation: Files
    minival: Files | None
    drawn: float | None
    spare: int = 0

    def __len__(self) -> int:
        return sum(len(found) for part in self.parts() for found in part.values())

    @property
    def name(self) -> str:
        """The name of the data."""
        return self.source.name

    def parts(self) -> list[Files]:
        """Return all parts."""
        return [part for part in (self.train, self.validation, self.minival) if part is not None]


def select(
    source: Source, *, seed: int, limit: int | None = None, fraction: float = HELD_OUT, minival: int = 0
) -> Selection:
    """Draw by the seed, class by class, which images are for what.

    Where the source has no held-out images, `fraction` of each class is held out. `limit` keeps that many training
    images, in proportion to the classes. `minival` is taken from them, but no more than a tenth. Raise `DataError` for
    numbers that do not add up.
    """
    train, validation, drawn = source.train, source.held_out, None
    if validation is None:
        drawn = fraction
        train, validation = _held_out(train, seed=seed, fraction=fraction, root=source.root)
    spare = 0
    if limit is not None:
        train, rest = divide(train, limit, seed=seed, stream=1, root=source.root)
        spare = sum(map(len, rest.values()))
    count = sum(map(len, train.values()))
    wanted = minival_size(minival, count)
    if not wanted:
        return Selection(source, train, validation, None, drawn, spare)
    return Selection(source, *_with_minival(train, validation, wanted, count, seed, source.root), drawn, spare)


def minival_size(wanted: int, count: int) -> int:
    """Return how many of the training images choose the best epoch: as many as wanted, but a tenth at most."""
    return min(wanted, count // 10)


def _held_out(files: Files, *, seed: int, fraction: float, root: Path) -> tuple[Files, Files]:
    """Draw a share of every class by the seed."""
    if not 0.0 < fraction < 1.0:
        raise DataError(f"{root}: a held-out fraction of {fraction:g} asked for; it must lie between 0 and 1")
    for name, found in files.items():
        if len(found) < 2:
            raise DataError(f"{root}: class {name} has one image only; add more, since some images are held out")
    counts = [min(len(found) - 1, max(1, round(fraction * len(found)))) for found in files.values()]
    held_out, train = draw(files, counts, seed=seed, stream=0)
    return train, held_out


def divide(files: Files, count: int, *, seed: int, stream: int, root: Path) -> tuple[Files, Files]:
    """Divide files into `count` drawn ones, every class by its share and at least one of each, and the rest."""
    if count < len(files):
        raise DataError(f"{root}: {count} images for {len(files)} classes; give --images {len(files)} or more")
    if count >= sum(map(len, files.values())):
        return files, {}
    return draw(files, _shares([len(found) for found in files.values()], count), seed=seed, stream=stream)


def _with_minival(
    train: Files, validation: Files, wanted: int, count: int, seed: int, root: Path
) -> tuple[Files, Files, Files]:
    if wanted < len(train) or min(map(len, train.values())) < 2:
        raise DataError(
            f"{root}: {count} training images are too few to keep some of each class for choosing the best epoch",
            hint="--set minival=0 --set patience=null trains on all of them",
        )
    kept, minival = divide(train, count - wanted, seed=seed, stream=2, root=root)
    return kept, validation, minival


def draw(files: Files, counts: Sequence[int], *, seed: int, stream: int) -> tuple[Files, Files]:
    """Draw that many of each class by the seed, each class from a stream of its own; return them and the rest."""
    drawn: Files = {}
    rest: Files = {}
    for index, ((name, found), count) in enumerate(zip(files.items(), counts, strict=True)):
        sequence = np.random.SeedSequence(abs(seed), spawn_key=(stream, index))
        chosen = set(np.random.Generator(np.random.PCG64(sequence)).permutation(len(found))[:count].tolist())
        drawn[name] = [file for place, file in enumerate(found) if place in chosen]
        rest[name] = [file for place, file in enumerate(found) if place not in chosen]
    return drawn, rest


def _shares(sizes: Sequence[int], limit: int) -> list[int]:
    """Divide a limit in proportion to sizes: one each, then always to the class that is furthest behind."""
    total = sum(sizes)
    counts = [max(1, limit * size // total) for size in sizes]
    while sum(counts) < limit:
        behind = max(range(len(sizes)), key=lambda place: (sizes[place] * limit / total - counts[place], -place))
        counts[behind] += 1
    while sum(counts) > limit:
        ahead = max(range(len(sizes)), key=lambda place: (counts[place] - sizes[place] * limit / total, -place))
        counts[ahead] -= 1
    return counts
