"""Does the embedded search rank candidates, or noise? Four seeds, and the rank correlation of every two of them.

    python benchmarks/seeds.py [FOLDER]

Runs `scalenet grid-search --halving 1 --seeds 4` (some minutes; it goes on where it stopped) and prints its table as
Markdown.
"""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pandas as pd
from scipy import stats

SEEDS = 4


def main() -> None:
    """Run the search and print accuracies and correlations."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/seeds")
    scalenet = Path(sys.executable).parent / "scalenet"
    command: list[str | Path] = [scalenet, "grid-search", "--halving", "1", "--seeds", str(SEEDS), "-o", folder]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    table = pd.read_csv(folder / "candidates.csv")
    columns = [f"accuracy_seed{seed}" for seed in range(SEEDS)]
    print("| α | β | γ | FLOPs | seed 0 | seed 1 | seed 2 | seed 3 | mean |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in table.to_dict("records"):
        accuracies = " | ".join(f"{100 * row[column]:.1f}" for column in [*columns, "accuracy"])
        coefficients = " | ".join(f"{row[name]:.3f}" for name in ("alpha", "beta", "gamma"))
        print(f"| {coefficients} | {row['flops_ratio']:.2f}× | {accuracies} |")
    pairs = [stats.spearmanr(table[one], table[other]).statistic for one, other in combinations(columns, 2)]
    print("\nrank correlation of two seeds: " + ", ".join(f"{pair:.2f}" for pair in pairs))
    print(f"mean {sum(pairs) / len(pairs):.2f}; {table['seconds'].sum():.0f} s of training in all")


if __name__ == "__main__":
    main()
