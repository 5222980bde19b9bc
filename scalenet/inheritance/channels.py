"""Which channels of a network are chosen together, and which channel of another network each of them comes from.

A channel is a number. It is born where a convolution writes it, and keeps its number through all that treats channels
one by one. Channels that are added to each other, or gate each other, are *tied*: they are one. Channels that a layer
takes in groups of a fixed form (heads of attention, groups of a convolution) are *bound*: they come from one group
together. What is tied and bound is a unit; every place that a unit passes leaves a *mark* on it. A unit comes from one
that has the same marks in the other network: so nothing here needs to know what a residual, a gate or a shuffle is.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from scalenet.arch.shapes import MisfitError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Row: TypeAlias = "Sequence[int]"
"""The channels of a map, in their order."""

Mark: TypeAlias = tuple[int, str, int]
"""The number of a place, the side of it that is meant, and a part of that side."""

Way: TypeAlias = tuple[Mark, ...]
"""The places that a unit passes."""


class Seat(NamedTuple):
    """A channel's unit, and its place within it."""

    unit: int
    slot: int


class Channels:
    """The channels of one network, as a walk over its layers finds them."""

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._bound: list[tuple[Row, ...]] = []
        self._marks: list[tuple[int, Mark]] = []
        self.without_source: set[int] = set()

    def born(self, count: int, *, without_source: bool = False) -> list[int]:
        """Return so many new channels; those of layers that the other network lacks have no source there."""
        found = list(range(len(self._parents), len(self._parents) + count))
        self._parents += found
        if without_source:
            self.without_source.update(found)
        return found

    def tie(self, ones: Row, others: Row) -> None:
        """Say that channels are one, pair by pair."""
        for one, other in zip(ones, others, strict=True):
            self._parents[self._root(other)] = self._root(one)

    def bind(self, *rows: Row) -> None:
        """Say that the channels of these rows come from one group, each from its own place in its row."""
        self._bound.append(rows)

    def mark(self, row: Row, mark: Mark) -> None:
        """Say that channels pass a place."""
        self._marks += [(channel, mark) for channel in row]

    def _root(self, channel: int) -> int:
        parents = self._parents
        while parents[channel] != channel:
            parents[channel] = parents[parents[channel]]
            channel = parents[channel]
        return channel

    def units(self) -> Units:
        """Return the units that were found."""
        slots: dict[int, int] = {}
        binding = Channels()
        binding.born(len(self._parents))
        for rows in self._bound:
            for row in rows:
                for slot, channel in enumerate(map(self._root, row)):
                    if slots.setdefault(channel, slot) != slot:
                        raise MisfitError("groups of channels of two forms meet")
            members = [self._root(channel) for row in rows for channel in row]
            binding.tie(members[:1] * len(members), members)
        roots = map(self._root, range(len(self._parents)))
        seats = [Seat(binding._root(root), slots.get(root, 0)) for root in roots]
        return Units(seats, self._marks, self.without_source)


class Units:
    """The units of one network, by the way they take; `bare` are those that the other network lacks."""

    def __init__(self, seats: list[Seat], marks: list[tuple[int, Mark]], without_source: set[int]) -> None:
        """Find the ways. Raise MisfitError where channels without a source are added to others."""
        self.seats = seats
        self.bare = {seats[channel].unit for channel in without_source}
        if any(seat.unit in self.bare and one not in without_source for one, seat in enumerate(seats)):
            raise MisfitError("channels that the other network lacks are added to others")
        passed: dict[int, list[Mark]] = defaultdict(list)
        for channel, mark in marks:
            passed[seats[channel].unit].append(mark)
        self.ways: dict[Way, list[int]] = defaultdict(list)
        for unit, places in sorted(passed.items()):
            self.ways[tuple(sorted(places))].append(unit)

    def places(self, row: Row) -> dict[Seat, int]:
        """Return where in a row each of its channels lies."""
        found = {self.seats[channel]: place for place, channel in enumerate(row)}
        if len(found) != len(row):
            raise MisfitError("a channel reaches the same place twice")
        return found


class Sources:
    """The unit of the old network that each unit of the new one comes from.

    Where there are more units of a way than before, the first are themselves and the others copies, in turn; where
    there are fewer, those of the greatest `worth` stay. `lost` are old units that nothing comes from.
    """

    def __init__(self, old: Units, new: Units, worth: Mapping[int, float]) -> None:
        """Find the sources; `worth` is by unit of the old network. Raise NoWayError where a unit has none."""
        self.old, self.new = old, new
        self.lost: dict[Way, int] = {}
        self._sources: dict[int, int] = {}
        for way in {**old.ways, **new.ways}:
            own = [unit for unit in new.ways.get(way, []) if unit not in new.bare]
            self._choose(way, own, worth)

    def _choose(self, way: Way, units: list[int], worth: Mapping[int, float]) -> None:
        known = self.old.ways.get(way, [])
        if units and not known:
            error = NoWayError("channels take a way that none takes in the other network")
            error.way = way
            raise error
        if len(units) < len(known):
            self.lost[way] = len(known) - len(units)
            known = sorted(sorted(known, key=lambda unit: -worth.get(unit, 0.0))[: len(units)])
        for number, unit in enumerate(units):
            self._sources[unit] = known[number % len(known)]

    def of(self, old: Row, new: Row) -> list[int]:
        """Return for each channel of a new row its place in the old one, -1 for those without a source."""
        places, found = self.old.places(old), []
        for seat in (self.new.seats[channel] for channel in new):
            source = self._sources.get(seat.unit)
            found.append(-1 if source is None else places[Seat(source, seat.slot)])
        return found


class NoWayError(MisfitError):
    """Channels pass places together, their `way`, that none passed together in the other network."""

    way: Way = ()


def equal_parts(row: list[int], count: int) -> list[list[int]]:
    """Return so many equal parts of a row; what is left over is in none."""
    width = len(row) // count
    return [row[number * width : (number + 1) * width] for number in range(count)]


def shuffled(row: list[int], groups: int) -> list[int]:
    """Return a row in which the channels of equal groups take turns."""
    return [channel for turn in zip(*equal_parts(row, groups), strict=True) for channel in turn]
