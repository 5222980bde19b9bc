"""How long the stages of a space take on one device: a table that is measured once, and read by searches.

What a member takes is the sum over its stem, its blocks and its head, times what whole networks take of such sums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from scalenet.arch import strict_yaml
from scalenet.arch.config import as_data, read_record
from scalenet.arch.errors import ScalenetError
from scalenet.arch.files import read_text, write_text
from scalenet.arch.options import Positive
from scalenet.arch.records import Record, as_tuple
from scalenet.arch.words import quoted
from scalenet.spaces.space import Space

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DOUBTFUL = 0.15
"""How far whole networks may be off their table before another measurement is worth it, as a fraction."""

Nanoseconds: TypeAlias = Annotated[tuple[Positive, ...], BeforeValidator(as_tuple)]


class StageLatencies(Record):
    """A stage's blocks in nanoseconds, flat: the `first` one by the width before it, kind and width, `further` ones by
    kind and width.
    """

    first: Nanoseconds
    further: Nanoseconds


class Latencies(Record):
    """What the blocks of a space take, by how they were run.

    `ends` are stem and head together, in nanoseconds by the width of the last stage. `ratio` is what whole networks
    take of the sum of their parts, the median of so many `members`; `error` is how far the furthest of them lies from
    that, as a fraction of it.
    """

    schema_: Literal["scalenet-latencies/1"] = Field(alias="schema")
    space: Space
    device: str
    machine: str
    torch: str
    threads: Positive
    batch: Positive
    dtype: str
    channels_last: bool
    members: Positive
    ratio: Annotated[float, Field(gt=0)]
    error: Annotated[float, Field(ge=0)]
    ends: Nanoseconds
    stages: Annotated[tuple[StageLatencies, ...], BeforeValidator(as_tuple)]

    @model_validator(mode="after")
    def _whole(self) -> Latencies:
        """Refuse a table that lacks a block of its space, or has others."""
        shapes = [self._shape(place) for place in range(len(self.space.stages))]
        wanted = [(before * kinds * widths, kinds * widths) for before, kinds, widths in shapes]
        if [(len(one.first), len(one.further)) for one in self.stages] != wanted or len(self.ends) != shapes[-1][2]:
            raise ValueError(f"stages: not those of the space {self.space.name}")
        return self

    def _shape(self, place: int) -> tuple[int, int, int]:
        """Return of how many widths before it, kinds and widths a stage has its first block."""
        kinds, widths, _ = self.space.shape(place)
        return self.space.shape(place - 1)[1] if place else 1, kinds, widths

    def stage(self, place: int) -> NDArray[np.int64]:
        """Return what a stage takes in nanoseconds, [widths before it, variants]."""
        shape, own = self._shape(place), self.stages[place]
        first = np.array(own.first, dtype=float).reshape(*shape, 1)
        further = np.array(own.further, dtype=float).reshape(1, *shape[1:], 1)
        depths = np.array(self.space.stages[place].depths)
        whole: NDArray[np.float64] = self.ratio * (first + (depths - 1) * further)
        return np.rint(whole).astype(np.int64).reshape(shape[0], -1)

    @property
    def both_ends(self) -> NDArray[np.int64]:
        """What stem and head take together in nanoseconds, [widths of the last stage]."""
        return np.rint(self.ratio * np.array(self.ends, dtype=float)).astype(np.int64)

    @property
    def doubtful(self) -> bool:
        """Whether it is worth measuring again, while the machine does nothing else."""
        return self.error > DOUBTFUL

    def __str__(self) -> str:
        how = f"{self.threads} threads, " * (self.device == "cpu")
        return (
            f"{self.device} of {self.machine}, {how}batch {self.batch}, {self.dtype}, torch {self.torch}; "
            f"of {self.members} whole networks none is more than {100 * self.error:.2g} % off"
        )

    def save(self, path: Path) -> None:
        """Write the table as YAML."""
        write_text(path, strict_yaml.dump(as_data(self)))


def load_latencies(path: Path, space: Space) -> Latencies:
    """Return the table in a file; raise ScalenetError where it is of another space than that, or another input."""
    found = read_record(Latencies, read_text(path, str(path), hint=measured_by(space)), str(path))
    check_space(found, space, str(path))
    return found


def check_space(latencies: Latencies, space: Space, place: str) -> None:
    """Raise ScalenetError where a table is not that of a space."""
    if latencies.space != space:
        theirs, mine = _said(latencies.space), _said(space)
        what = f"is of {theirs}, and {mine} is searched" if theirs != mine else f"is of another {space.name}"
        raise ScalenetError(f"{place} {what}", hint=measured_by(space))


def measured_by(space: Space) -> str:
    """Return which command measures a table."""
    height, width = space.model.size
    size = str(height) if height == width else f"{height}x{width}"
    words = f"--space {quoted(space.name)} --resolution {size} --classes {space.model.head.classes}"
    return f"`scalenet latency {words} -o latencies.yaml` measures one"


def _said(space: Space) -> str:
    height, width = space.model.size
    return f"{space.name} with {height}×{width} px and {space.model.head.classes} classes"
