"""What a search has found at one moment: the judge's verdict, and the surface's bounds for those it has not judged."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from scalenet.search.answer.judge import ERROR, collapsed, judge
from scalenet.search.answer.margins import reach
from scalenet.search.answer.surface import fit_surface

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scalenet.search.answer.judge import Verdict


MOST = 150
"""Candidates that the surface takes: those trained to the end, and the best of the short trainings. The others count as
no better than may be the best of these."""


DISAGREEING = 0.5
"""Agreement of short and long trainings below which the short ones say little."""


ALONE = 7.0
"""Standard deviations below the other candidates from which on a candidate's only training may have collapsed."""

ENOUGH = 6
"""Candidates with trainings to the end that tell how far they lie apart: the first ones are the best, and alike."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """The trainings that are finished, of candidates by place and seeds by column; nan where there is none.

    `shares` has each candidate's shares of depth, width and resolution. `short` and `full` are scores at the two
    budgets, `ratio` is the short one over the full one. Of candidates that are `out` a training diverged or failed.
    `least` and `foreseen` are the smallest credible noise and the one to expect, as for the judge.
    """

    shares: NDArray[np.float64]
    short: NDArray[np.float64]
    full: NDArray[np.float64]
    ratio: float
    out: NDArray[np.bool_]
    least: float = 0.0
    foreseen: float | None = None

    @property
    def seeds(self) -> NDArray[np.int64]:
        """How many trainings to the end each candidate has."""
        found: NDArray[np.int64] = (~np.isnan(self.full)).sum(axis=1)
        return found

    @property
    def running(self) -> NDArray[np.float64]:
        """The trainings to the end of candidates that are not out, nan elsewhere."""
        return np.where(self.out[:, None], np.nan, self.full)

    @property
    def collapsed(self) -> NDArray[np.bool_]:
        """Which trainings to the end broke down, by candidate and seed."""
        return collapsed(self.running, self.foreseen)

    @property
    def sound(self) -> NDArray[np.float64]:
        """The trainings to the end, nan as well for those that broke down."""
        return np.where(self.collapsed, np.nan, self.full)

    def _bytes(self) -> tuple[object, ...]:
        tables = (self.shares, self.short, self.full, self.out)
        return self.full.shape, self.ratio, self.least, self.foreseen, *(table.tobytes() for table in tables)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trained) and self._bytes() == other._bytes()

    def __hash__(self) -> int:
        return hash(self._bytes())


@dataclass(frozen=True, slots=True)
class Finding:
    """What may be said of each candidate by its place, in the units of the scores.

    `expected` is what candidates are ranked by: how they are expected to score at the full budget. `over`, `tied` and
    `winner` are as in the `verdict`, or by several looks `together`, the last of which is the verdict's; those of
    `unjudged` candidates, which were never trained to the end, and of `suspected` ones are by the surface, and so is
    the `agreement` of short trainings with long ones, None where there is no surface. Candidates that are `out` tie
    without evidence, and no bound speaks of them.
    """

    winner: int
    expected: NDArray[np.float64]
    over: NDArray[np.float64]
    tied: NDArray[np.bool_]
    unjudged: NDArray[np.bool_]
    out: NDArray[np.bool_]
    agreement: float | None
    verdict: Verdict

    @property
    def bound(self) -> float:
        """By how much any candidate that is not out may be better than the winner."""
        return float(self.over[~self.out].max())

    @property
    def misled(self) -> bool:
        """Whether short trainings say little of long ones."""
        return self.agreement is not None and self.agreement < DISAGREEING


@lru_cache(maxsize=4)
def find(trained: Trained, *, error: float = ERROR, winner: int | None = None, doubted: bool = False) -> Finding:
    """Judge candidates by their trainings to the end, of which one at least is finished, and the others by the surface.

    `error` and `winner` are as for the judge, `doubted` as for the surface: a race trains whom it doubts instead.
    """
    out = trained.out
    verdict = _judged(trained, error, winner)
    unjudged = ~out & (trained.seeds == 0)
    over = np.where(out, np.inf, verdict.over)
    tied = out | verdict.tied
    known = ~out & ~np.isnan(trained.short).all(axis=1)
    if known.sum() < 2:
        return Finding(verdict.winner, verdict.means, over, tied, unjudged, out, None, verdict)

    inside = _surfaced(trained, verdict.winner)
    alone = suspected(verdict, trained.seeds) & known
    sound = np.where(verdict.collapsed | (out | alone)[:, None], np.nan, trained.full)
    surface = fit_surface(
        trained.shares[inside],
        trained.short[inside],
        sound[inside],
        ratio=trained.ratio,
        least=trained.least,
        doubted=doubted,
    )
    place = int(np.flatnonzero(inside == verdict.winner)[0])
    by_surface = unjudged | alone
    far = reach(1 + max(1, int(by_surface.sum())), math.inf, error) / math.sqrt(2)  # all of them against the winner
    most = np.full(len(out), np.nan)
    most[inside] = surface.reach(place, far)
    most = np.where(np.isnan(most), np.nanmax(most), most)  # no better than the best of those inside
    over = np.where(by_surface, np.maximum(most, 0), over)
    tied = np.where(by_surface, most > 0, tied)
    expected = np.full(len(out), surface.means.min())
    expected[inside] = surface.means
    return Finding(
        verdict.winner, expected + np.nanmean(verdict.means), over, tied, unjudged, out, surface.agreement, verdict
    )


def suspected(verdict: Verdict, trainings: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whose only training to the end is out of all proportion below those of the others: it may have collapsed,
    which a second one tells.
    """
    left = verdict.means - np.nanmedian(verdict.means)
    spread = 1.4826 * float(np.nanmedian(np.abs(left)))  # the standard deviation of a normal distribution
    deviation = np.maximum(spread, verdict.noise)  # nan, which nothing is below, where the noise is not known
    several = np.count_nonzero(~np.isnan(left)) >= ENOUGH
    found: NDArray[np.bool_] = several & (trainings == 1) & (np.nan_to_num(left) < -ALONE * deviation)
    return found


def together(looks: Sequence[Finding]) -> Finding:
    """Return what several looks at a search say together, the last of which knows all that the others knew.

    Who was told from the best at one look stays told, and a candidate is better than the winner by no more than any
    look with that winner says. All hold but for the sum of the looks' errors.
    """
    last = looks[-1]
    told = ~np.all([look.tied for look in looks], axis=0) & ~last.out
    told[last.winner] = False
    narrowest = np.min([look.over for look in looks if look.winner == last.winner], axis=0)
    over = np.where(last.out, np.inf, np.where(told, 0.0, narrowest))
    return replace(last, over=over, tied=~told)


def _judged(trained: Trained, error: float, winner: int | None) -> Verdict:
    """Return what the judge says of those with a training; he compares each with each, and they may be few of many."""
    full = trained.running
    seen = np.flatnonzero((~np.isnan(full)).any(axis=1))
    place = None if winner is None else int(np.searchsorted(seen, winner))
    own = judge(full[seen], error=error, least=trained.least, foreseen=trained.foreseen, winner=place)

    def spread(values: NDArray[Any], nothing: object) -> NDArray[Any]:
        found = np.full((len(full), *values.shape[1:]), nothing, dtype=values.dtype)
        found[seen] = values
        return found

    return replace(
        own,
        winner=int(seen[own.winner]),
        means=spread(own.means, np.nan),
        over=spread(own.over, np.inf),
        tied=spread(own.tied, True),
        off=spread(own.off, np.inf),
        noisier=spread(own.noisier, False),
        collapsed=spread(own.collapsed, False),
    )


def _surfaced(trained: Trained, winner: int) -> NDArray[np.int64]:
    """Return the candidates that the surface is made of: all, or of very many those that are most likely good."""
    running = np.flatnonzero(~trained.out)
    if len(running) <= MOST:
        return running
    means = np.nan_to_num(row_means(trained.short), nan=-np.inf)
    means[trained.seeds > 0] = np.inf
    others = running[running != winner]
    chosen = others[np.argsort(-means[others], kind="stable")[: MOST - 1]]
    return np.sort(np.append(chosen, winner))


def row_means(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of what is known in each row; nan where nothing is."""
    known = ~np.isnan(table)
    sums = np.where(known, table, 0.0).sum(axis=1)
    found: NDArray[np.float64] = np.where(known.any(axis=1), sums / np.maximum(known.sum(axis=1), 1), np.nan)
    return found
