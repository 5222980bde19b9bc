"""What does one learning rate do to candidates of equal cost? Best rates, what a common one loses, and the noise.

    python benchmarks/rates.py TASK --data FOLDER [--optimizer adamw] [--device cuda] [--processes 16]

The baseline, the three single dimensions and a mixture at twice and four times its cost are trained by the search's
recipe with four seeds (`--seeds`) at five rates a factor of two apart, the second highest of them that of a pilot of
the baseline, and at the recipe's own rate. Trainings are kept in `runs/tables/TASK.jsonl`, and the same command goes on
from there; with `--seconds 0` it tells what is known. Prints Markdown: best rates by a parabola in log rate; the
accuracy, in percent, at the best rate tried, and by how many points others are below it.
"""

from __future__ import annotations

from itertools import product
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from tables.command import begin, parser
from tables.tasks import mean_losses

from scalenet.search.rungs.pilot import fitted_rate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tables.tasks import Task
    from tables.trainings import Wanted

    from scalenet.arch.config import Config
    from scalenet.arch.spec import Architecture

EPOCHS, SEEDS = 5, 4
RECIPE_RATE = 0.002
POINTS = {
    "depth": (1.0, 0.0, 0.0),
    "width": (0.0, 1.0, 0.0),
    "resolution": (0.0, 0.0, 1.0),
    "mixture": (0.25, 0.25, 0.5),
}
"""Shares of the extra FLOPs."""

Records = list[dict[str, Any]]


def networks(task: Task) -> dict[str, Config | Architecture]:
    """Return the baseline, and corners and a mixture at twice and four times its cost."""
    found: dict[str, Config | Architecture] = {"baseline": task.baseline}
    for times, (name, shares) in product((2, 4), POINTS.items()):
        found[f"{name}, {times} ×"] = task.scaled(name, shares, times)
    return found


def rates(best: float) -> list[float]:
    """Return the rates to try, half of the baseline's best and the recipe's among them."""
    return sorted({round(best * 2.0**power, 9) for power in (-3, -2, -1, 0, 1)} | {RECIPE_RATE})


def trainings(task: Task, best: float, optimizer: str, seeds: int) -> Iterator[Wanted]:
    """Yield the trainings of a task, seed by seed."""
    changes = {"optimizer.kind": optimizer, "evaluate_every": 0}
    for seed, rate, network in product(range(seeds), rates(best), networks(task).values()):
        yield task.wanted("rates", network, task.recipe(rate, epochs=EPOCHS, changes=changes), seed)


def row(name: str, records: Records, common: Sequence[float]) -> str:
    """Return a row of Markdown about a network: its best rate, and each common rate's accuracy and noise."""
    by_rate: dict[float, list[float]] = {}
    for record in records:
        by_rate.setdefault(record["rate"], []).append(100 * (record["accuracy"] or 0.0))
    best = max(fmean(found) for found in by_rate.values())
    cells = [f"{fmean(by_rate[rate]) - best:.1f} | {stdev(by_rate[rate]):.1f}" for rate in common]
    return f"| {name} | {fitted_rate(mean_losses(records)):.2g} | {best:.1f} | {' | '.join(cells)} |"


def order(found: Mapping[str, Records], times: int, rate: float | None) -> str:
    """Return the networks of a cost in their order at a rate, or each at its best rate tried."""
    means = {}
    for name, records in found.items():
        if name.endswith(f" {times} ×"):
            tried = {record["rate"] for record in records} if rate is None else {rate}
            means[name.split(",")[0]] = max(
                fmean(100 * (record["accuracy"] or 0.0) for record in records if record["rate"] == one) for one in tried
            )
    return ", ".join(f"{name} {means[name]:.1f}" for name in sorted(means, key=means.__getitem__, reverse=True))


def main() -> None:
    """Train what is left and print the tables."""
    options = parser(__doc__)
    options.add_argument("--optimizer", default="rmsprop", choices=["rmsprop", "adamw"])
    options.add_argument("--seeds", type=int, default=SEEDS, help="seeds of each network at each rate, two at least")
    command = begin(options.parse_args())
    task, optimizer = command.task, command.options.optimizer
    best, _ = command.best_rate(EPOCHS, optimizer)
    wanted = list(trainings(task, best, optimizer, command.options.seeds))
    records = command.train(wanted)
    found = {
        name: [one for one in records if one["network"] == network.name] for name, network in networks(task).items()
    }
    common = {"half the pilot's": round(best / 2, 9), "the pilot's": round(best, 9), "the recipe's": RECIPE_RATE}
    print(f"{task.name}, {optimizer}: {len(records)} of {len(wanted)} trainings\n")
    titles = " | ".join(f"{name}, {rate:.2g} | noise" for name, rate in common.items())
    print(f"| network | best rate | accuracy | {titles} |\n|{'---|' * (3 + 2 * len(common))}")
    for name, those in found.items():
        print(row(name, those, list(common.values())))
    print("\n| cost | rate | order |\n|---|---|---|")
    for times, (name, rate) in product((2, 4), {"each its best": None, **common}.items()):
        print(f"| {times} × | {name} | {order(found, times, rate)} |")


if __name__ == "__main__":
    main()
