"""How often the best is the winner or a tie, where ties get more seeds, and again, as long as any remain.

    python benchmarks/rounds.py [--searches 1000]

Prints a row of Markdown a kind of search: candidates that are equal, which is the worst case, or half a point apart,
with a noise of 2 points a training. ± is the standard error.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np

from scalenet.search.answer.finding import Finding, Trained, find, together
from scalenet.search.answer.ranking import look_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOISE = 2.0
LOOKS = (0, 1, 2, 6)
"""Tie rounds after which is asked; the candidate in front of the truth is the best."""


def search(truth: NDArray[np.float64], seeds: int, more: int, random: np.random.Generator) -> list[bool]:
    """Return whether the best is the winner or a tie, after each number of tie rounds."""
    every = truth[:, None] + random.normal(0, NOISE, (len(truth), seeds + more * LOOKS[-1]))
    every += random.normal(0, NOISE, every.shape[1])  # what a seed does to all
    table, contenders = np.full(every.shape, np.nan), np.arange(len(truth))
    looks, found = list[Finding](), list[bool]()
    for tie_rounds in range(LOOKS[-1] + 1):
        trainings = seeds + more * tie_rounds
        table[contenders, :trainings] = every[contenders, :trainings]
        winner = int(contenders[np.argmax(table[contenders, :trainings].mean(axis=1))])
        looks.append(find(_trained(table), error=look_error(tie_rounds), winner=winner))
        tied = together(looks).tied  # whichever winner the looks before were of
        found.append(bool(tied[0]))
        if tied.sum() == 1:
            return found + [found[-1]] * (LOOKS[-1] - tie_rounds)
        contenders = np.flatnonzero(tied)
    return found


def _trained(table: NDArray[np.float64]) -> Trained:
    """Return trainings that are all to the end; of shares nothing is asked then."""
    count = len(table)
    return Trained(np.zeros((count, 3)), np.full(table.shape, np.nan), table.copy(), 1.0, np.zeros(count, dtype=bool))


def row(candidates: int, apart: float, seeds: int, more: int, searches: int) -> str:
    """Return a row of Markdown."""
    random = np.random.default_rng(0)
    truth = -apart * np.arange(candidates, dtype=np.float64)
    held = 100 * np.array([search(truth, seeds, more, random) for _ in range(searches)]).mean(axis=0)[list(LOOKS)]
    errors = np.sqrt(held * (100 - held) / searches)
    which = f"{candidates} {'half a point apart' if apart else 'equal'}"
    shown = (f"{one:.1f} ± {error:.1f}" for one, error in zip(held, errors, strict=True))
    return f"| {which} | {seeds} seeds | {more} seeds | {' | '.join(shown)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=1000, help="searches a row")
    asked = parser.parse_args()
    print("| candidates | begun with | a tie round adds | at first | after one round | after two | after six |")
    print(f"|{'---|' * 7}")
    for candidates, apart in ((2, 0.0), (3, 0.0), (7, 0.0), (14, 0.0), (14, 0.5)):
        for seeds in (4, 2):
            print(row(candidates, apart, seeds, seeds, asked.searches), flush=True)


if __name__ == "__main__":
    main()
