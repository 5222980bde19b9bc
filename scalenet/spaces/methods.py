"""Which members to train next: at random, by regularised evolution, or by a predictor over their choices.

All propose members that meet the limits, so that no training is wasted. Evolution mutates the best of a few of the
youngest members (Real et al. 2019, "Regularized Evolution"); the predictor is ridge regression over one-hot choices,
which ranks mutants of the best members.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias

import numpy as np
from pydantic import Field

from scalenet.spaces.samplers import PREFIX, sampled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.random import Generator
    from numpy.typing import NDArray

    from scalenet.spaces.costs import Members
    from scalenet.spaces.members import Membership

METHODS = ("mixture", "evolution", "predictor", "random")

Method: TypeAlias = Annotated[str, Field(pattern=f"^({'|'.join(METHODS)}|{PREFIX}[A-Za-z]+)$")]
"""One of those, or `optuna:` and the name of a sampler."""

POPULATION, SAMPLE = 20, 5
"""The youngest members that evolution draws parents from, and of how many drawn ones the best is the parent."""

PARENTS = 5
"""The best members by the predictor, whose mutants it ranks."""

PENALTIES = tuple(10.0**power for power in np.arange(-3, 3.5, 0.5))
"""Ridge penalties, of which that of the least leave-one-out error is taken."""


class Proposal(NamedTuple):
    """A member to train, and which method proposed it."""

    member: NDArray[np.int64]
    by: str


def propose(
    members: Membership, known: Members, scores: NDArray[np.float64], wanted: int, random: Generator, method: Method
) -> list[Proposal]:
    """Return so many members to train, whose networks are none of the `known`; fewer where the space has no more.

    `scores` are those of the known members in the order of their training, nan where a training failed. A mixture asks
    evolution and the predictor in turn. Without two scores members are random.
    """
    seen = {members.network(member) for member in known}
    found: list[Proposal] = []
    if method != "random" and np.isfinite(scores).sum() >= 2:
        sources = {
            "evolution": _evolved(members, known, scores, random),
            "predictor": _predicted(members, known, scores, random),
        }
        if method.startswith(PREFIX):
            sources = {method: sampled(members, known, scores, random, method)}
        elif method != "mixture":
            sources = {method: sources[method]}
        found = _in_turn(members, sources, wanted, seen)
    if len(found) < wanted:
        drawn = members.draw(wanted - len(found), random, seen=seen).members
        found += [Proposal(member, "random") for member in drawn]
    return found


def _in_turn(
    members: Membership, sources: dict[str, Iterator[NDArray[np.int64]]], wanted: int, seen: set[str]
) -> list[Proposal]:
    """Take new members from each source in turn, and note them as seen."""
    found: list[Proposal] = []
    while sources and len(found) < wanted:
        for name, source in list(sources.items()):
            new = next((one for one in source if members.network(one) not in seen), None)
            if new is None:
                del sources[name]
            elif len(found) < wanted:
                seen.add(members.network(new))
                found.append(Proposal(new, name))
    return found


def _evolved(
    members: Membership, known: Members, scores: NDArray[np.float64], random: Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield children: a random mutant of the best of SAMPLE among the POPULATION youngest."""
    alive = np.flatnonzero(np.isfinite(scores))[-POPULATION:]
    for _ in range(100 * POPULATION):
        drawn = random.choice(alive, min(SAMPLE, len(alive)), replace=False)
        mutants = members.mutants(known[drawn[np.argmax(scores[drawn])]], random)
        for child in random.permutation(mutants)[:SAMPLE]:
            if members.meets(child):
                yield child
                break


def _predicted(
    members: Membership, known: Members, scores: NDArray[np.float64], random: Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield mutants of the members that are best by the predictor, the most promising first."""
    alive = np.flatnonzero(np.isfinite(scores))
    predict = fitted(members.features(known[alive]), scores[alive])
    best = alive[np.argsort(-predict(members.features(known[alive])), kind="stable")[:PARENTS]]
    mutants = np.concatenate([members.mutants(known[one], random) for one in best])
    mutants = np.unique(mutants, axis=0)
    for place in np.argsort(-predict(members.features(mutants)), kind="stable") if len(mutants) else ():
        if members.meets(mutants[place]):
            yield mutants[place]


class fitted:  # noqa: N801 - called like a function
    """Ridge regression of scores on features, with the penalty of the least leave-one-out error."""

    def __init__(self, features: NDArray[np.float64], scores: NDArray[np.float64]) -> None:
        """Fit; two scores are the least."""
        self.centre, self.mean = features.mean(axis=0), float(scores.mean())
        own = features - self.centre
        left = scores - self.mean
        values, vectors = np.linalg.eigh(own @ own.T)
        values = np.maximum(values, 0)
        told = vectors.T @ left
        errors, weights = [], []
        for penalty in PENALTIES:
            inverse = (vectors / (values + penalty)) @ vectors.T  # of kernel + penalty
            dual = (vectors / (values + penalty)) @ told
            errors.append(float(((dual / np.diag(inverse)) ** 2).sum()))
            weights.append(own.T @ dual)
        self.weights = weights[int(np.argmin(errors))]

    def __call__(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what is expected of members with these features."""
        found: NDArray[np.float64] = (features - self.centre) @ self.weights + self.mean
        return found
