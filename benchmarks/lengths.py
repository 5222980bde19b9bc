"""How the best learning rate of a baseline depends on how long it is trained, and so how long a pilot must be.

    python benchmarks/lengths.py TASK --data FOLDER [--device cuda] [--processes 2]

The baseline of a recorded task is trained for 2, 5 and 10 epochs at five rates a factor of two apart, with two seeds.
Trainings are kept in `runs/tables/TASK.jsonl`, and the same command goes on from there. Prints a row of Markdown a
length: mean accuracies, in percent, and the rate at the lowest point of a parabola in log rate through mean losses.
"""

from __future__ import annotations

from itertools import product
from statistics import fmean

from tables.command import begin, parser
from tables.tasks import mean_losses

from scalenet.search.rungs.pilot import fitted_rate

EPOCHS, SEEDS = (2, 5, 10), (0, 1)
RATES = (0.00033, 0.00066, 0.00132, 0.00264, 0.00528)


def main() -> None:
    """Train what is left and print the table."""
    command = begin(parser(__doc__).parse_args())
    task = command.task
    print(f"| epochs | {' | '.join(f'{rate:g}' for rate in RATES)} | best rate |\n|{'---|' * (len(RATES) + 2)}")
    for epochs in EPOCHS:
        recipes = {rate: task.recipe(rate, epochs=epochs, changes={"evaluate_every": 0}) for rate in RATES}
        pairs = product(SEEDS, recipes.values())
        found = command.train([task.wanted("length", task.baseline, recipe, seed) for seed, recipe in pairs])
        means = [fmean(100 * (one["accuracy"] or 0.0) for one in found if one["rate"] == rate) for rate in RATES]
        best = f"{fitted_rate(mean_losses(found)):.2g}"
        print(f"| {epochs} | {' | '.join(f'{mean:.1f}' for mean in means)} | {best} |", flush=True)


if __name__ == "__main__":
    main()
