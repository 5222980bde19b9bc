"""One walk over the layers of two networks that differ in widths and depths: which tensor comes from which.

Both trees are walked together. Where they part, for one has a shortcut that the other lacks, the walk stops and says
where. Blocks that only the new network has begin as the identity; those that only the old one has are passed by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple, cast

from scalenet.arch.layers import (
    Activation,
    Attention,
    Branches,
    Choice,
    Conv,
    Dropout,
    DropPath,
    Flatten,
    GlobalPool,
    Linear,
    Norm,
    Pool,
    Position,
    Run,
    Scale,
    Sequence,
    Shuffle,
)
from scalenet.arch.shapes import MisfitError
from scalenet.inheritance.channels import Channels, equal_parts, shuffled
from scalenet.inheritance.identity import Values, as_identity, settled, width_after

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scalenet.arch.layers import Count, Layer, Leaf, Network, Part
    from scalenet.inheritance.channels import Way


class Flow(NamedTuple):
    """The channels of a map in both networks; of a flat one, each stands for so many `places`."""

    old: list[int]
    new: list[int]
    places: int | None = None

    def parts(self, count: int) -> list[Flow]:
        """Return equal parts, one behind the other."""
        pairs = zip(equal_parts(self.old, count), equal_parts(self.new, count), strict=True)
        return [Flow(old, new, self.places) for old, new in pairs]


class Pair(NamedTuple):
    """The same place in both networks, by name."""

    old: str
    new: str

    def within(self, name: str) -> Pair:
        """Return a place within this one."""
        return Pair(f"{self.old}.{name}", f"{self.new}.{name}")


@dataclass(frozen=True, slots=True)
class Site:
    """A layer with tensors in both networks: its names there, and the channels that enter and leave it.

    It treats channels in so many `groups`, each of which comes from that of its own number; with 0, from any one.
    """

    names: Pair
    old: Leaf
    new: Leaf
    entering: Flow
    leaving: Flow
    groups: int = 1

    def parts(self, flow: Flow) -> list[Flow]:
        """Return the channels of each group that comes from that of its own number."""
        return flow.parts(max(1, self.groups))


@dataclass
class Walked:
    """What a walk found.

    `beginnings` are values of tensors in blocks that only the new network has, whose names begin as one of `added`;
    with `running` these are the identity with running statistics only. `dropped` are blocks that only the old one has.
    """

    old: Channels = field(default_factory=Channels)
    new: Channels = field(default_factory=Channels)
    sites: list[Site] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    beginnings: Values = field(default_factory=dict)
    added: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    running: bool = False

    def place_of(self, way: Way) -> str:
        """Return the name of the first place that a unit passes."""
        return next((self.places[place] for place, _, _ in way if place >= 0), "the network")


def walk(old: Network, new: Network, worth: Mapping[str, float] | None = None) -> Walked:
    """Walk two networks that differ in the numbers that scaling moves.

    `worth` says by name what each block of the old one does; where there are fewer now, those of the least go, and the
    last of those that do as much. Raise MisfitError that names the place where the new one is built otherwise.
    """
    walker = _Walker(worth or {})
    flow = Flow(walker.found.old.born(old.channels), walker.found.new.born(new.channels))
    walker.pin(flow, "image")
    flow = walker.layer(old.parts[0].runs[0].block, new.parts[0].runs[0].block, Pair("stem", "stem"), flow)
    steady = settled(new.parts[0].runs[0].block, frozenset())
    for one, other in zip(old.stages, new.stages, strict=True):
        flow, steady = walker.part(one, other, flow, steady)
    flow = walker.layer(old.parts[-1].runs[0].block, new.parts[-1].runs[0].block, Pair("head", "head"), flow)
    walker.pin(flow, "answer")
    return walker.found


class _Walker:
    def __init__(self, worth: Mapping[str, float]) -> None:
        self.worth, self.found = worth, Walked()

    def pin(self, flow: Flow, side: str) -> None:
        """Have channels come from those of their own number: colours, and classes."""
        for number, (old, new) in enumerate(zip(flow.old, flow.new, strict=True)):
            self.found.old.mark([old], (-1, side, number))
            self.found.new.mark([new], (-1, side, number))

    def part(self, old: Part, new: Part, flow: Flow, steady: frozenset[str]) -> tuple[Flow, frozenset[str]]:
        """Walk a stage: first the blocks that both networks have, run by run, then those that one lacks."""
        before, now = 0, 0
        for one, other in zip_longest(old.runs, new.runs):
            had, has = (0 if run is None else cast("int", run.times) for run in (one, other))
            kept = self._kept([f"{old.name}.{before + number}" for number in range(had)], has)
            for number in range(had):
                name = f"{old.name}.{before + number}"
                if name in kept:
                    pair = Pair(name, f"{new.name}.{now}")
                    flow = self.layer(one.block, other.block, pair, flow)
                    steady = settled(other.block, steady)
                    now += 1
                else:
                    flow = self._dropped(one, name, flow)
            for _ in range(has - had):
                flow = self._added(other, f"{new.name}.{now}", flow, steady)
                steady = settled(other.block, steady)
                now += 1
            before += had
        return flow, steady

    def _kept(self, names: list[str], count: int) -> set[str]:
        """Return the blocks of a run that stay: those that do most, and the first of those that do as much."""
        return set(sorted(names, key=lambda name: -self.worth.get(name, 0.0))[:count])

    def _dropped(self, run: Run, name: str, flow: Flow) -> Flow:
        self.found.dropped.append(name)
        left = width_after(run.block, len(flow.old))
        return flow._replace(old=[*flow.old, *self.found.old.born(left - len(flow.old))])

    def _added(self, run: Run, name: str, flow: Flow, steady: frozenset[str]) -> Flow:
        found = as_identity(run.block, flow.new, name, steady, self.found.new)
        self.found.added.append(f"{name}.")
        self.found.beginnings |= found.values
        self.found.running |= found.running
        return flow._replace(new=found.channels)

    def layer(self, old: Layer, new: Layer, names: Pair, flow: Flow) -> Flow:
        """Walk a layer of both networks, and return what leaves it."""
        if type(old) is not type(new):
            raise MisfitError(f"{names.new}: a layer of another kind, {type(new).__name__}, not {type(old).__name__}")
        match new:
            case Sequence():
                return self._sequence(cast("Sequence", old), new, names, flow)
            case Branches():
                return self._branches(cast("Branches", old), new, names, flow)
            case Choice():
                return self._choice(cast("Choice", old), new, names, flow)
        return self._leaf(cast("Leaf", old), new, names, flow)

    def _sequence(self, old: Sequence, new: Sequence, names: Pair, flow: Flow) -> Flow:
        if [name for name, _ in old.layers] != [name for name, _ in new.layers]:
            raise MisfitError(f"{names.new}: other layers than in the network that the weights are of")
        for (name, one), (_, other) in zip(old.layers, new.layers, strict=True):
            flow = self.layer(one, other, names.within(name), flow)
        return flow

    def _choice(self, old: Choice, new: Choice, names: Pair, flow: Flow) -> Flow:
        if bool(old.where) != bool(new.where):
            raise MisfitError(_link(bool(new.where), names.new, flow))
        return self.layer(old.chosen, new.chosen, names, flow)

    def _branches(self, old: Branches, new: Branches, names: Pair, flow: Flow) -> Flow:
        count = len(new.paths)
        if (old.join, old.take, len(old.paths), old.activation) != (new.join, new.take, count, new.activation):
            raise MisfitError(f"{names.new}: other paths than in the network that the weights are of")
        entering = [flow] * count
        if new.take == "split":
            entering = flow.parts(count)
            self._mark(names, "part", entering)
        left = []
        for number, ((name, one), (_, other)) in enumerate(zip(old.paths, new.paths, strict=True)):
            left.append(self.layer(one, other, names.within(name), entering[number]))
        first, *others = left
        if new.join == "concat":
            old_row = [channel for path in left for channel in path.old]
            new_row = [channel for path in left for channel in path.new]
            return Flow(old_row, new_row)
        for path in others:
            self.found.old.tie(first.old, path.old)
            self.found.new.tie(first.new, path.new)
        return first

    def _leaf(self, old: Leaf, new: Leaf, names: Pair, flow: Flow) -> Flow:  # noqa: PLR0911 - one return a kind
        match new:
            case Conv():
                return self._conv(cast("Conv", old), new, names, flow)
            case Linear():
                left = self._born(cast("Linear", old).out_features, new.out_features)
                return self._site(Site(names, old, new, flow, left))
            case Norm():
                return self._norm(cast("Norm", old), new, names, flow)
            case Scale(learned=True) | Position():
                return self._site(Site(names, old, new, flow, flow))
            case Attention():
                return self._attention(cast("Attention", old), new, names, flow)
            case Shuffle():
                return flow._replace(old=shuffled(flow.old, new.groups), new=shuffled(flow.new, new.groups))
            case GlobalPool():
                return flow._replace(places=new.side**2)
            case Flatten():
                if flow.places is None:
                    raise MisfitError(f"{names.new}: a map is flattened whose size depends on the images'")
                return flow
            case Activation() | Pool() | Scale() | Dropout() | DropPath():
                return flow
        raise MisfitError(f"{names.new}: a layer of an unknown kind, {type(new).__name__}")

    def _conv(self, old: Conv, new: Conv, names: Pair, flow: Flow) -> Flow:
        for key in ("kernel", "stride", "bias", "padding"):
            if getattr(old, key) != getattr(new, key):
                raise MisfitError(f"{names.new}: {key} is {getattr(new, key)}, not {getattr(old, key)}")
        before, now = len(flow.old) // cast("int", old.group_width), len(flow.new) // cast("int", new.group_width)
        if old.group_width == new.group_width and max(before, now) > 1:
            return self._of_fixed_groups(old, new, names, flow)
        if before != now:
            raise MisfitError(
                f"{names.new}: {now} groups of {new.group_width} channels come from {before} of {old.group_width}: "
                "only their number or their width may change"
            )
        return self._site(Site(names, old, new, flow, self._born(old.out_channels, new.out_channels), groups=now))

    def _of_fixed_groups(self, old: Conv, new: Conv, names: Pair, flow: Flow) -> Flow:
        """Have each group come from one group, and its channels from the same ones within it."""
        width = cast("int", new.group_width)
        one, other = (int(conv.out_channels) * width // int(conv.in_channels) for conv in (old, new))
        if one != other:
            raise MisfitError(f"{names.new}: {other} channels leave a group, not {one}")
        left = flow if one == width else self._born(old.out_channels, new.out_channels)
        for channels, entering, leaving in ((self.found.old, flow.old, left.old), (self.found.new, flow.new, left.new)):
            for group, row in enumerate(equal_parts(entering, len(entering) // width)):
                channels.bind(row, leaving[group * one : (group + 1) * one])
        return self._site(Site(names, old, new, flow, left, groups=0))

    def _norm(self, old: Norm, new: Norm, names: Pair, flow: Flow) -> Flow:
        for key in ("kind", "eps", "groups"):
            if getattr(old, key) != getattr(new, key):
                raise MisfitError(f"{names.new}: {key} is {getattr(new, key)}, not {getattr(old, key)}")
        return self._site(Site(names, old, new, flow, flow, groups=new.groups))

    def _attention(self, old: Attention, new: Attention, names: Pair, flow: Flow) -> Flow:
        """Have each head come from one head."""
        heads = cast("int", old.heads), cast("int", new.heads)
        widths = [len(row) // (3 * count) for row, count in zip((flow.old, flow.new), heads, strict=True)]
        if widths[0] != widths[1]:
            raise MisfitError(f"{names.new}: heads are {widths[1]} channels wide, not {widths[0]}")
        left = self._born(len(flow.old) // 3, len(flow.new) // 3)
        for channels, entering, leaving in ((self.found.old, flow.old, left.old), (self.found.new, flow.new, left.new)):
            thirds = [equal_parts(row, len(leaving) // widths[0]) for row in equal_parts(entering, 3)]
            for head, row in enumerate(equal_parts(leaving, len(leaving) // widths[0])):
                channels.bind([channel for third in thirds for channel in third[head]], row)
        return left

    def _born(self, old: Count, new: Count) -> Flow:
        return Flow(self.found.old.born(cast("int", old)), self.found.new.born(cast("int", new)))

    def _site(self, site: Site) -> Flow:
        """Keep a layer, mark the channels that enter and are born there, and return those that leave."""
        self.found.sites.append(site)
        self._mark(site.names, "in", site.parts(site.entering))
        if site.leaving is not site.entering:
            self._mark(site.names, "out", site.parts(site.leaving))
        return site.leaving

    def _mark(self, names: Pair, side: str, parts: list[Flow]) -> None:
        place = len(self.found.places)
        self.found.places.append(names.new)
        for number, part in enumerate(parts):
            self.found.old.mark(part.old, (place, side, number))
            self.found.new.mark(part.new, (place, side, number))


def _link(matches: bool, place: str, flow: Flow) -> str:
    """Say that a block of one network alone leaves as many channels as enter."""
    here, there = len(flow.new), len(flow.old)
    if matches:
        return f"{place}: {here} channels enter and leave, so that it has a shortcut; {there} enter a block without one"
    return f"{place}: {here} channels enter and others leave; {there} enter a block that has the identity as shortcut"
