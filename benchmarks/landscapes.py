"""Synthetic landscapes over the members of a space: what a training to the end would give, without its noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from scalenet.spaces.costs import Members
    from scalenet.spaces.members import Membership

PAIRS = 0.25
"""Part of the members' variance that pairs of neighbouring stages make; the rest are single choices."""

TREND = 1.5
"""Points a doubling of the FLOPs."""

_SAMPLE, _CLIMBS = 2_000, 25


@dataclass(frozen=True)
class Landscape:
    """Accuracies in percent: 70 on average at the target's cost, and members inside the band differ by one point."""

    members: Membership
    choices: list[list[NDArray[np.float64]]]
    pairs: list[NDArray[np.float64]]
    scale: tuple[float, float, float, float]

    def __call__(self, members: Members) -> NDArray[np.float64]:
        """Return the accuracies of members."""
        mean, spread, pair_mean, pair_spread = self.scale
        single = np.sqrt(1 - PAIRS) * (self._single(members) - mean) / spread
        both = np.sqrt(PAIRS) * (self._paired(members) - pair_mean) / pair_spread
        doublings = np.log2(self.members.counts(members)["flops"] / self.members.limits.target)
        found: NDArray[np.float64] = 70 + single + both + TREND * doublings
        return found

    def _single(self, members: Members) -> NDArray[np.float64]:
        total = np.zeros(len(members))
        for place, (genes, effects) in enumerate(zip(self.members.genes, self.choices, strict=True)):
            for gene, effect in zip(genes.T, effects, strict=True):
                total += effect[gene[members[:, place]]]
        return total

    def _paired(self, members: Members) -> NDArray[np.float64]:
        total = np.zeros(len(members))
        for place, pair in enumerate(self.pairs):
            total += pair[members[:, place], members[:, place + 1]]
        return total

    def best(self, random: Generator) -> float:
        """Return the best accuracy inside the band, as hill climbing without noise finds it."""
        drawn = self.members.draw(_SAMPLE, random).members
        top = drawn[np.argsort(-self(drawn))[:3]]
        found = []
        for member in top:
            here = member
            for _ in range(_CLIMBS):
                mutants = self.members.mutants(here, random)
                best = mutants[np.argmax(self(mutants))]
                if self(best[None])[0] > self(here[None])[0]:
                    here = best
            found.append(float(self(here[None])[0]))
        return max(found)


def landscape(members: Membership, seed: int) -> Landscape:
    """Return a landscape; those of other seeds are others."""
    random = np.random.default_rng(seed)
    choices = [[random.normal(size=int(gene.max()) + 2) for gene in genes.T] for genes in members.genes]
    shapes = zip(members.space.variants, members.space.variants[1:], strict=False)
    pairs = [random.normal(size=shape) for shape in shapes]
    raw = Landscape(members, choices, pairs, (0.0, 1.0, 0.0, 1.0))
    drawn = members.draw(500, random).members
    single, paired = raw._single(drawn), raw._paired(drawn)
    scale = (float(single.mean()), float(single.std()), float(paired.mean()), float(paired.std()))
    return Landscape(members, choices, pairs, scale)
