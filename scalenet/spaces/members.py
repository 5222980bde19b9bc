"""Members of a space: their names, configs and choices, and those that meet limits, drawn or mutated.

Members are made to meet limits, never filtered after training and never penalised: costs are exact and free.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from scalenet.arch import layers
from scalenet.arch.config import Baseline, Config
from scalenet.arch.errors import ScalenetError
from scalenet.arch.spec import layer_tree
from scalenet.costs.formula import cost_record
from scalenet.costs.memory import memory
from scalenet.spaces.costs import LATENCY, tables_of
from scalenet.spaces.limits import amount_text, number_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    from scalenet.arch.layers import Layer
    from scalenet.spaces.costs import Members, Tables
    from scalenet.spaces.latencies import Latencies
    from scalenet.spaces.limits import Limits
    from scalenet.spaces.space import Space

MOST_DRAWN = 20_000_000
"""Members that are drawn before a band is taken to be met by none, or by too few."""

MOST_LISTED = 300_000
"""Members of a space that is looked through as a whole."""

MUTANTS, ENOUGH = (1024, 8192), 32
"""Mutants of one member that are tried at once, first and where fewer than enough of those meet the limits."""

MOST_CHANGED = 3
"""Stages that one mutation changes."""

TRIES = 2_000
"""Members that are looked at for their memory in vain."""

_BATCH = 1 << 17
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Drawn:
    """Members that meet limits, all different, and the share of the space that does: `met` of `looked`."""

    members: Members
    met: int
    looked: int

    @property
    def share(self) -> float:
        """The share of members that meet the limits."""
        return self.met / self.looked


class Membership:
    """The members of a space that meet limits."""

    def __init__(
        self, space: Space, limits: Limits, tables: Tables | None = None, *, latencies: Latencies | None = None
    ) -> None:
        """Count all stages of the space, unless its tables are given; raise ScalenetError where it is none.

        A limit of latency needs a table of `latencies`.
        """
        self.space, self.limits = space, limits
        counted = tables or tables_of(space)
        self.tables = counted if latencies is None else counted.timed(latencies)
        self._memory: dict[bytes, int] = {}
        self._networks: dict[bytes, str] = {}

    # Names, configs and choices

    def name(self, member: Sequence[int] | NDArray[np.int64]) -> str:
        """Return the name of a member, which says all of its choices."""
        return f"{self.space.name}_{'-'.join(_written(int(variant)) for variant in member)}"

    def network(self, member: NDArray[np.int64]) -> str:
        """Return a digest of the layers of a member; members that differ in a skip where none fits have one."""
        key = member.tobytes()
        if key not in self._networks:
            parts = layer_tree(self.space.network(member.tolist())).parts
            built = [(_built(run.block), run.times) for part in parts for run in part.runs if run.times]
            self._networks[key] = sha256(repr(built).encode()).hexdigest()
        return self._networks[key]

    def member(self, name: str) -> NDArray[np.int64]:
        """Return the member of a name."""
        words = name.removeprefix(f"{self.space.name}_").split("-")
        found = [int(word, 36) for word in words]
        if len(found) != len(self.space.variants) or any(map(int.__ge__, found, self.space.variants)):
            raise ScalenetError(f"{name} is no member of the space {self.space.name}")
        return np.array(found, dtype=np.int64)

    def array(self, names: Sequence[str]) -> Members:
        """Return the members of names, [members, stages]."""
        found = [self.member(name) for name in names]
        return np.array(found, dtype=np.int64).reshape(len(names), len(self.space.variants))

    def config(self, name: str) -> Config:
        """Return the config of a member, with its cost."""
        model = self.space.network(self.member(name).tolist())
        source = f"a member of the space {self.space.name}"
        baseline = Baseline(source=source, rounding=self.space.rounding)
        return Config(schema="scalenet/1", name=name, baseline=baseline, model=model, cost=cost_record(model))

    def counts(self, members: Members) -> dict[str, NDArray[np.int64]]:
        """Return FLOPs, parameters and activations of members, exactly, and nanoseconds where they have a table."""
        return dict(zip(self.tables.names, self.tables.costs(members), strict=True))

    def costs(self, members: Members) -> list[dict[str, Any]]:
        """Return what each member costs by name: counts, and seconds where they have a table of latencies."""
        columns: dict[str, list[Any]] = {name: values.tolist() for name, values in self.counts(members).items()}
        if LATENCY in columns:
            columns[LATENCY] = [value / 1e9 for value in columns[LATENCY]]
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    @cached_property
    def genes(self) -> tuple[NDArray[np.int64], ...]:
        """The choices of each variant of each stage, [variants, choices]: places in lists, -1 where it has none."""
        return tuple(self._genes(place) for place in range(len(self.space.stages)))

    def _genes(self, place: int) -> NDArray[np.int64]:
        own = self.space.stages[place]
        kinds, widths, depths = self.space.shape(place)
        names = list(own.options)
        rows = np.full((kinds, len(names) + 1), -1)
        for row, (block, options) in zip(rows, own.kinds, strict=True):
            row[0] = own.block.index(block)
            for name, value in options:
                row[1 + names.index(name)] = own.options[name].index(value)
        kind, width, depth = np.unravel_index(np.arange(kinds * widths * depths), (kinds, widths, depths))
        return np.column_stack([rows[kind], width, depth])

    def features(self, members: Members) -> NDArray[np.float64]:
        """Return one-hot choices, [members, choices]; two members are as far apart as the share of choices they differ
        in, in halves of the squared distance.
        """
        columns = []
        for place, genes in enumerate(self.genes):
            for gene in genes.T:
                values = gene[members[:, place]]
                columns += [values == value for value in range(int(gene.max()) + 1)]
        genes_in_all = sum(genes.shape[1] for genes in self.genes)
        found: NDArray[np.float64] = np.column_stack(columns) / np.sqrt(genes_in_all)
        return found

    # Members that meet the limits

    def draw(self, wanted: int, random: Generator, *, seen: Collection[str] = ()) -> Drawn:
        """Draw members of different networks uniformly among those that meet the limits, none of a network `seen`.

        There are fewer where the space has no more. Raise ScalenetError that says which cost is nearest where none
        meets the limits, or so few that drawing finds too few of them.
        """
        self._check_reach()
        found: dict[str, NDArray[np.int64]] = {}
        met = looked = 0
        tries = TRIES
        whole = self.space.size <= MOST_LISTED
        for batch in self._all(random) if whole else self._drawn(random):
            inside = batch[self._meets(batch)]
            met, looked = met + len(inside), looked + len(batch)
            for member in inside[:tries] if len(found) < wanted else ():
                network = self.network(member)
                if network not in seen and network not in found:
                    tries -= not self._fits(member)
                    if self._fits(member):
                        found[network] = member
                if len(found) == wanted:
                    break
            if not tries or (len(found) == wanted and not whole):
                break
        if not found and not seen:
            raise self._refused(looked, whole=whole, random=random)
        if len(found) < wanted and not whole:
            share = f"1 of {looked // max(1, met):,} members" if met else f"none of {looked:,} members looked at"
            raise ScalenetError(f"too few members cost {self.limits}: {share}", hint="allow more of a tolerance")
        members = np.array(list(found.values()), dtype=np.int64).reshape(len(found), len(self.space.variants))
        return Drawn(members, met, looked)

    def mutants(self, parent: NDArray[np.int64], random: Generator) -> Members:
        """Return different mutants of a member that meet what is counted, in random order, those of fewest changes
        first: one to three stages have one other choice each.
        """
        children = self._mutated(parent, random, MUTANTS[0])
        if len(children) < ENOUGH:
            children = self._mutated(parent, random, MUTANTS[1])
        shuffled = random.permutation(children, axis=0)
        changes = (shuffled != parent).sum(axis=1)
        found: Members = shuffled[np.argsort(changes, kind="stable")]
        return found

    def _mutated(self, parent: NDArray[np.int64], random: Generator, size: int) -> Members:
        """Return those of so many mutants that meet what is counted, each once."""
        children, stages = np.repeat(parent[None], size, axis=0), len(parent)
        changed = random.integers(1, min(MOST_CHANGED, stages) + 1, size=size)
        order = random.random((size, stages)).argsort(axis=1).argsort(axis=1)
        for place in range(stages):
            near = self._near(place, int(parent[place]))
            if len(near):
                picked = near[random.integers(len(near), size=size)]
                children[:, place] = np.where(order[:, place] < changed, picked, children[:, place])
        children = children[(children != parent).any(axis=1)]
        found: Members = np.unique(children[self._meets(children)], axis=0)
        return found

    def meets(self, member: NDArray[np.int64]) -> bool:
        """Return whether a member meets all limits."""
        return bool(self._meets(member[None])[0]) and self._fits(member)

    def nearest(self, member: NDArray[np.int64], seen: Collection[str] = ()) -> NDArray[np.int64] | None:
        """Return the member that meets all limits, has the most choices of another one in common, and whose network was
        not `seen`.

        It is looked for among those that a change of one stage makes, or else of what that brings nearest to the
        limits. None where there is none.
        """
        here, violation = member, np.inf
        while True:
            others = self._others(here)
            violations = self.limits.violations(self.tables.costs(others))
            inside = others[violations <= 0]
            alike = self.features(inside) @ self.features(member[None])[0]
            for one in inside[np.argsort(-alike, kind="stable")]:
                if self.network(one) not in seen and self._fits(one):
                    found: NDArray[np.int64] = one
                    return found
            if violations.min() >= violation or len(inside):
                return None
            here, violation = others[np.argmin(violations)], violations.min()

    def _near(self, place: int, variant: int) -> NDArray[np.int64]:
        """Return the variants of a stage that differ in one choice, among those that both have."""
        genes = self.genes[place]
        both = (genes >= 0) & (genes[variant] >= 0)
        differing = ((genes != genes[variant]) & both).sum(axis=1)
        return np.flatnonzero(differing == 1)

    def _meets(self, members: Members) -> NDArray[np.bool_]:
        return self.limits.violations(self.tables.costs(members)) <= 0

    def _fits(self, member: NDArray[np.int64]) -> bool:
        """Return whether a member keeps the limit of memory, which is no sum over stages."""
        wanted = self.limits.memory
        if wanted is None:
            return True
        key = member.tobytes()
        if key not in self._memory:
            self._memory[key] = memory(self.space.network(member.tolist())).peak
        return wanted.low <= self._memory[key] <= wanted.high

    def _drawn(self, random: Generator) -> Iterator[Members]:
        for start in range(0, MOST_DRAWN, _BATCH):
            size = min(_BATCH, 4096 << min(5, start // 4096) if start < _BATCH else _BATCH)
            yield np.column_stack([random.integers(number, size=size) for number in self.space.variants])

    def _all(self, random: Generator) -> Iterator[Members]:
        """Yield every member, in random order."""
        places = random.permutation(self.space.size)
        yield np.column_stack(np.unravel_index(places, self.space.variants))

    # Where none meets them

    def _check_reach(self) -> None:
        """Raise ScalenetError where the cheapest member costs more than is wanted, or the dearest less."""
        for name, limit in self.limits.counted():
            low, high = self.tables.reach(name)
            if limit.high < low or limit.low > high:
                raise ScalenetError(
                    f"{self._none()}: the nearest has {amount_text(name, low if limit.high < low else high)}",
                    hint=f"they have {number_text(name, low)} to {amount_text(name, high)}",
                )

    def _none(self) -> str:
        return f"no member of {self.space.name} costs {self.limits}"

    def _refused(self, looked: int, *, whole: bool, random: Generator) -> ScalenetError:
        nearest = self._nearest(random)
        counts = self.tables.costs(nearest[None])
        told = f"{int(counts[0, 0]):,} flops and {int(counts[1, 0]):,} params"
        if self.limits.latency is not None:
            told += f" and {amount_text(LATENCY, int(counts[-1, 0]))}"
        if self.limits.memory is not None:
            told += f" and {memory(self.space.network(nearest.tolist())).peak:,} bytes"
        among = "" if whole else f", of {looked:,} looked at"
        return ScalenetError(f"{self._none()}: the nearest found has {told}{among}", hint="allow more of a tolerance")

    def _nearest(self, random: Generator) -> NDArray[np.int64]:
        """Return a member that no change of one stage brings nearer to what is counted."""
        members = np.column_stack([random.integers(number, size=_BATCH) for number in self.space.variants])
        best = members[np.argmin(self.limits.violations(self.tables.costs(members)))]
        while True:
            others = self._others(best)
            violations = self.limits.violations(self.tables.costs(others))
            if violations.min() >= self.limits.violations(self.tables.costs(best[None]))[0]:
                found: NDArray[np.int64] = best
                return found
            best = others[np.argmin(violations)]

    def _others(self, member: NDArray[np.int64]) -> Members:
        """Return the members that a change of one stage makes of one, itself too."""
        return np.concatenate([self._with_every(member, place) for place in range(len(member))])

    def _with_every(self, member: NDArray[np.int64], place: int) -> Members:
        found = np.repeat(member[None], self.space.variants[place], axis=0)
        found[:, place] = np.arange(len(found))
        return found


def _written(number: int) -> str:
    """Return a number in base 36."""
    text = ""
    while number >= 36:
        number, rest = divmod(number, 36)
        text = _DIGITS[rest] + text
    return _DIGITS[number] + text


def _built(layer: Layer) -> Layer:
    """Return a layer as it is built, with what its choices choose in their places."""
    match layer:
        case layers.Choice():
            return _built(layer.chosen)
        case layers.Sequence():
            return layers.Sequence(tuple((name, _built(inner)) for name, inner in layer.layers))
        case layers.Branches():
            return replace(layer, paths=tuple((name, _built(path)) for name, path in layer.paths))
    return layer
