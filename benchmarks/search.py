"""What does halving a search save, and does it find what the exhaustive grid finds?

    python benchmarks/search.py [FOLDER] [SEEDS]

Trains all candidates of the embedded task with every budget and seed (`scalenet grid-search`; some hours of one core,
and it goes on where it stopped), writes them to `table.csv`, and replays searches on it. The two searches of a pair
have no seed in common. Prints Markdown: what a search trains as a share of the exhaustive grid's epochs, the rank
correlation of a pair over all candidates, how far the winner lies below the best at full budget (both means over all
seeds), how many candidates tie with it, and how often the best is the winner or among them.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, product
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scalenet.search.answer.ranking import agreement, rank
from scalenet.search.rungs.schedule import entrants, finished, halving, needed, spent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalenet.search.answer.ranking import Ranking
    from scalenet.search.rungs.schedule import Key, Schedule

BUDGETS, FACTORS, PAIRS = (1, 2, 5), (1, 2, 3, 5), 60
FULL = max(BUDGETS)
GRID = """\
schema: scalenet-grid/1
name: quarters
description: Quarters of the extra FLOPs, each brought to twice the baseline within 2 %.
points: {kind: shares, divisions: 4}
product: 2.0
include: [paper]
constraint: measured
achieved: 0.02
rounding: fine
"""


@dataclass(frozen=True)
class Table:
    """The accuracy of every training of the exhaustive grid, by candidate, seed and budget."""

    scores: dict[Key, float]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted({name for name, _, _ in self.scores}))

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        return tuple(sorted({seed for _, seed, _ in self.scores}))

    @cached_property
    def means(self) -> dict[str, float]:
        """Each candidate's mean over all seeds at full budget."""
        return {name: fmean(self.scores[name, seed, FULL] for seed in self.seeds) for name in self.names}

    def searched(self, schedule: Schedule) -> Ranking:
        """Return what a search of this schedule finds."""
        scores: dict[Key, float] = {}
        while not finished(schedule, self.names, scores):
            scores = {key: self.scores[key] for key in needed(schedule, self.names, scores)}
        rungs = [
            {name: [scores[name, seed, rung.budget] for seed in rung.seeds] for name in kept}
            for kept, rung in zip(entrants(schedule, self.names, scores), schedule.rungs, strict=True)
        ]
        return rank(rungs, held_out=None)

    def regret(self, ranking: Ranking) -> float:
        """Return how far the winner lies below the best at full budget."""
        return max(self.means.values()) - self.means[ranking.winner.name]

    def holds(self, ranking: Ranking) -> bool:
        """Return whether the best at full budget is the winner or ties with it."""
        best = max(self.names, key=self.means.__getitem__)
        return any(standing.name == best for standing in (ranking.winner, *ranking.ties))


def trained(folder: Path, seeds: int) -> Table:
    """Train what is left, and write and return the table."""
    folder.mkdir(parents=True, exist_ok=True)
    grid = folder / "quarters.yaml"
    grid.write_text(GRID, encoding="utf-8")
    scalenet = str(Path(sys.executable).parent / "scalenet")
    parts = []
    for budget in BUDGETS:
        output = folder / f"epochs{budget}"
        search = f"grid-search --grid {grid} --halving 1 --epochs {budget} --seeds {seeds} -o {output}"
        subprocess.run([scalenet, *search.split()], check=True, stdout=subprocess.DEVNULL)
        parts.append(pd.read_csv(output / "jobs.csv"))
    table = pd.concat(parts)[["name", "seed", "budget", "accuracy", "seconds"]]
    table.to_csv(folder / "table.csv", index=False)
    return Table({(name, seed, budget): accuracy for name, seed, budget, accuracy, _ in table.itertuples(index=False)})


def correlation(one: Ranking, other: Ranking) -> float:
    """Return the rank correlation of two searches over all candidates."""
    places = [{standing.name: float(standing.rank) for standing in ranking.standings} for ranking in (one, other)]
    found = agreement([places[0][name] for name in places[0]], [places[1][name] for name in places[0]])
    assert found is not None
    return found


def row(table: Table, factor: int, seeds: int) -> str:
    """Return a line of Markdown about searches with so many seeds."""
    candidates = len(table.names)
    draw = np.random.default_rng(0)

    def schedule(own: Sequence[int], factor: int = factor) -> Schedule:
        return halving(candidates, seeds=own, budget=FULL, factor=factor)

    pairs = []
    for _ in range(PAIRS):
        shuffled = draw.permutation(table.seeds).tolist()
        own = shuffled[:seeds], shuffled[seeds : 2 * seeds]
        pairs.append([table.searched(schedule(some)) for some in own])
    regrets = [table.regret(ranking) for ranking in chain(*pairs)]
    example = schedule(table.seeds[:seeds])
    share = spent(example, candidates) / spent(schedule(table.seeds[:seeds], factor=1), candidates)
    rungs = ", ".join(f"{rung.keep or candidates} × {len(rung.seeds)} × {rung.budget}" for rung in example.rungs)
    return (
        f"| {seeds} | {factor} | {rungs} | {100 * share:.0f} % "
        f"| {fmean(correlation(*pair) for pair in pairs):.2f} "
        f"| {100 * fmean(regrets):.2f} | {100 * np.quantile(regrets, 0.95):.2f} "
        f"| {fmean(len(ranking.ties) for ranking in chain(*pairs)):.1f} "
        f"| {100 * fmean(table.holds(ranking) for ranking in chain(*pairs)):.0f} % |"
    )


def spread(table: Table, budget: int) -> str:
    """Return a line about the trainings of one budget."""
    rows = {name: [table.scores[name, seed, budget] for seed in table.seeds] for name in table.names}
    ranking = rank([rows], held_out=None)
    own = stdev(standing.accuracy for standing in ranking.standings)
    return (
        f"{budget} epochs: candidates differ by {100 * own:.1f} points, one training by {100 * ranking.noise:.1f}, "
        f"rank correlation of two seeds {ranking.seed_correlation or 0:.2f}"
    )


def main() -> None:
    """Make the table, then print a row for every number of seeds and factor."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/search")
    table = trained(folder, int(sys.argv[2]) if len(sys.argv) > 2 else 8)
    for budget in BUDGETS:
        print(spread(table, budget))
    print("\n| seeds | factor | candidates × seeds × epochs | epochs | correlation | regret | 95 % | ties | best in |")
    print("|---|---|---|---|---|---|---|---|---|")
    for seeds, factor in product((2, 3, 4), FACTORS):
        if 2 * seeds <= len(table.seeds):
            print(row(table, factor, seeds), flush=True)


if __name__ == "__main__":
    main()
