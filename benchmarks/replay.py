"""Searches replayed on a recorded table of trained members (see `record_space.py`), and how noisy that table is.

A search sees one training of each member it picks, with one of the two seeds at random; what its pick is worth says the
training with the other seed, which nothing was chosen by. So an accuracy is that of a member, and not of a lucky
training: on average over noise it is the member's own. A seed's accuracies are taken less their mean.

Methods propose members of the table only: mutants of a member are the `NEAR` others that differ from it in the fewest
choices, and what Optuna's samplers propose stands for the nearest member that is not trained yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml
from scipy import stats

from scalenet.spaces.limits import read_limits
from scalenet.spaces.members import Drawn, Membership
from scalenet.spaces.space import load_space

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.random import Generator
    from numpy.typing import NDArray

    from scalenet.spaces.costs import Members

NEAR = 40
"""Members of the table that count as mutants of one."""

HERE = Path(__file__).parent / "tables" / "spaces"


class Listed(Membership):
    """The members of a space that are trained, as if it had no others."""

    def __init__(self, whole: Membership, names: list[str]) -> None:
        """Take a space's members that meet limits, and the names of those that are trained."""
        super().__init__(whole.space, whole.limits, whole.tables)
        self.names, self.listed = names, whole.array(names)
        self.places = {name: place for place, name in enumerate(names)}
        features = self.features(self.listed)
        self._alike = features @ features.T

    def network(self, member: NDArray[np.int64]) -> str:
        """Return the name of a member: no two of the table are one network."""
        return self.name(member)

    def draw(self, wanted: int, random: Generator, *, seen: Collection[str] = ()) -> Drawn:
        """Draw members of the table, none of which was `seen`."""
        left = [place for place, name in enumerate(self.names) if name not in seen]
        return Drawn(self.listed[random.permutation(left)[:wanted]], len(left), len(self.names))

    def mutants(self, parent: NDArray[np.int64], random: Generator) -> Members:
        """Return the members that are most like one."""
        order = np.argsort(-self._alike[self.places[self.name(parent)]] + 1e-9 * random.random(len(self.names)))
        found: Members = self.listed[order[1 : 1 + NEAR]]
        return found

    def meets(self, member: NDArray[np.int64]) -> bool:  # noqa: ARG002 - all of them do
        """Return True: members of the table are those of the band."""
        return True

    def nearest(self, member: NDArray[np.int64], seen: Collection[str] = ()) -> NDArray[np.int64] | None:
        """Return the member of the table that is most like one of the space, and was not `seen`."""
        alike = self.features(self.listed) @ self.features(member[None])[0]
        order = np.argsort(-alike, kind="stable")
        place = next((place for place in order.tolist() if self.names[place] not in seen), None)
        return None if place is None else self.listed[place]

    def places_of(self, members: Members) -> NDArray[np.int64]:
        """Return the rows of members."""
        return np.array([self.places[self.name(member)] for member in members], dtype=np.int64)


@dataclass(frozen=True)
class Replay:
    """A table to search on: points above a seed's mean, [members, seeds], after trainings of one kind.

    `others` are those of the other kind, nan where a member has none.
    """

    members: Listed
    scores: NDArray[np.float64]
    others: NDArray[np.float64]

    @property
    def variances(self) -> tuple[float, float]:
        """The variance of one training, and that of members without it, from the two seeds."""
        between = float(np.cov(self.scores.T)[0, 1])
        return float(np.var(self.scores[:, 0] - self.scores[:, 1], ddof=1)) / 2, between

    @property
    def best(self) -> float:
        """What the member is worth that both seeds say is best: its mean, shrunk by what noise makes of the largest."""
        noise, between = self.variances
        return float(self.scores.mean(axis=1).max()) * between / (between + noise / 2)

    def judged(self, places: NDArray[np.int64], seeds: NDArray[np.int64]) -> tuple[float, float]:
        """Return what picks are worth on average, and how far that is off.

        A pick is a member and the seed that it was not chosen by. Another table would have another noise, which as many
        searches on this one as may be do not average away where they pick the same few members.
        """
        worth = self.scores[places, seeds]
        often = np.zeros_like(self.scores)
        np.add.at(often, (places, seeds), 1 / len(places))
        noise = self.variances[0] * float((often**2).sum())
        return float(worth.mean()), float(np.sqrt(noise + worth.var(ddof=1) / len(places)))

    def facts(self) -> Iterator[str]:
        """Yield what trainings say of each other."""
        (noise, between), scores = self.variances, self.scores
        agree, ranks = stats.pearsonr(*scores.T).statistic, stats.spearmanr(*scores.T).statistic
        yield (
            f"{len(scores)} members differ by {between**0.5:.2f} points, one training's noise is {noise**0.5:.2f}; "
            f"two seeds correlate by {agree:.2f} (ranks {ranks:.2f})"
        )
        one = (scores[np.argmax(scores[:, 0]), 1] + scores[np.argmax(scores[:, 1]), 0]) / 2
        yield f"best by both seeds {self.best:+.2f} points; best by one seed, as the other says: {one:+.2f}"
        both = ~np.isnan(self.others).any(axis=1)
        if both.sum() > 2:
            mine, theirs = scores[both], self.others[both]
            crossed = [stats.spearmanr(mine[:, one], theirs[:, 1 - one]).statistic for one in (0, 1)]
            own = stats.spearmanr(*theirs.T).statistic
            yield (
                f"{both.sum()} members have trainings of the other length: ranks of two seeds correlate by {own:.2f}, "
                f"those of one length with another seed's of the other by {np.mean(crossed):.2f}"
            )


def load_replay(name: str, kind: str) -> Replay:
    """Return the recorded table of a space, to search on its trainings of a kind: `short` or `full`."""
    about = yaml.safe_load((HERE / f"{name}.yaml").read_text(encoding="utf-8"))
    return replay_of(about, pd.read_csv(HERE / f"{name}.csv.xz"), kind)


def replay_of(about: dict[str, Any], table: pd.DataFrame, kind: str) -> Replay:
    """Return the table of those members whose trainings of a kind are all there and did not diverge."""
    points = 100 * table.pivot_table(index="member", columns=["kind", "seed"], values="accuracy")
    own = points[kind].dropna()
    others = points["full" if kind == "short" else "short"].reindex(own.index)
    whole = Membership(load_space(about["space"]), read_limits(flops=about["flops"]))
    members = Listed(whole, [str(name) for name in own.index])
    return Replay(members, (own - own.mean()).to_numpy(), (others - others.mean()).to_numpy())
