"""Record a table: every candidate of equal cost, eight seeds, the learning curve of each training.

    python benchmarks/record.py TASK [--data FOLDER] [--device cuda] [--processes 16]

Writes `benchmarks/tables/TASK.csv.xz`, a row an epoch of a training, and `TASK.yaml` beside it, which says what was
trained and on what. It trains as `scalenet grid-search` does, with the recipe `search`, at the rate of a pilot of the
baseline (`--rate` gives another). Trainings are kept in `runs/tables/TASK.jsonl`, and the same command goes on from
there. `kind` is `full`, or `short` for trainings by the same recipe in a fifth of the epochs.
Prints a row of Markdown about the table. Tasks: see `benchmarks/tables/tasks.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml
from scipy.stats import spearmanr
from tables.command import begin, parser
from tables.tasks import HERE, shares, table

from scalenet._version import __version__
from scalenet.costs.formula import cost
from scalenet.search.rungs.pilot import epochs_of, two_digits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tables.tasks import Task

    from scalenet.search.space.candidates import Candidate

COLUMNS = (
    *("task", "candidate", "depth", "width", "resolution", "shares", "flops"),
    *("seed", "epoch", "epochs", "kind", "accuracy", "loss", "images"),
)


def curves(task: Task, records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a row an epoch; the last one of a training has what a search would get: the averaged weights' scores."""
    about = {candidate.name: _about(candidate) for candidate in task.candidates()}
    rows = []
    for record in sorted(records, key=lambda one: (one["kind"], one["network"], one["seed"])):
        epochs = record["epochs"]
        scores = [epoch[1:] for epoch in record["curve"][: epochs - 1]]
        for epoch, (accuracy, loss) in enumerate([*scores, (record["accuracy"], record["loss"])], start=1):
            own = {"seed": record["seed"], "epoch": epoch, "epochs": epochs, "kind": record["kind"]}
            result = {"accuracy": accuracy, "loss": None if loss is None else round(loss, 4)}
            rows.append({"task": task.name, **about[record["network"]], **own, **result, "images": epoch * task.train})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _about(candidate: Candidate) -> dict[str, Any]:
    """Return what the rows of a candidate have in common: multipliers as rounding left them, shares as asked for."""
    applied = candidate.scaling.applied
    return {
        "candidate": candidate.name,
        **{name: round(getattr(applied, name), 4) for name in ("depth", "width", "resolution")},
        "shares": " ".join(f"{share:g}" for share in shares(candidate)),
        "flops": candidate.cost.flops,
    }


def description(task: Task, rate: float, losses: Mapping[float, float], records: Sequence[Mapping[str, Any]]) -> str:
    """Return the YAML file beside a table."""
    base, costs = task.baseline, [candidate.cost.flops for candidate in task.candidates()]
    about = {
        "task": task.name,
        "images": {"of": "the embedded task" if task.embedded else "CIFAR-10", "train": task.train}
        | {"held_out": task.held_out},
        "baseline": {"name": base.name, "resolution": task.resolution, "flops": cost(base).flops},
        "candidates": {"number": len(costs), "least_flops": min(costs), "most_flops": max(costs)},
        "recipe": {"name": "search", "epochs": task.epochs, "learning_rate": rate},
        "pilot": {
            "epochs": epochs_of(task.epochs),
            "losses": {f"{tried:.3g}": round(loss, 4) for tried, loss in sorted(losses.items())},
        },
        "trainings": dict(Counter(record["kind"] for record in records)),
        "seconds": round(sum(record["seconds"] for record in records)),
        "devices": sorted({record["device"] for record in records}),
        "versions": {"scalenet": __version__, "torch": ", ".join(sorted({record["torch"] for record in records}))},
    }
    return yaml.safe_dump(about, sort_keys=False, width=120)


def summary(task: Task, table: pd.DataFrame) -> str:
    """Return a row of Markdown: what candidates differ by, what one training does, what short trainings say of long."""
    final = table[table.epoch == table.epochs]
    full, short = (
        100 * final[final.kind == kind].pivot(index="candidate", columns="seed", values="accuracy")
        for kind in ("full", "short")
    )
    means = full.mean(axis=1)
    noise = _noise(full)
    spread = max(0.0, means.var() - noise**2 / full.shape[1]) ** 0.5
    order = spearmanr(means, short.mean(axis=1)).statistic
    return (
        f"| {task.name} | {full.shape[0]} | {task.train:,}, {task.held_out:,} | {task.epochs} "
        f"| {means.min():.1f} to {means.max():.1f} | {spread:.1f} | {noise:.1f} | {_noise(short):.1f} | {order:.2f} |"
    )


def _noise(table: pd.DataFrame) -> float:
    """Return the deviation of one training, where accuracy = candidate + seed + noise."""
    left = table.sub(table.mean(axis=1), axis=0)
    left = left - left.mean()
    rows, columns = left.shape
    return math.sqrt((left.to_numpy() ** 2).sum() / ((rows - 1) * (columns - 1)))


def main() -> None:
    """Train what is left and write the table."""
    options = parser(__doc__)
    options.add_argument("--rate", type=float, help="learning rate, instead of the pilot's")
    command = begin(options.parse_args())
    task = command.task
    best, losses = command.best_rate(task.epochs)
    rate = command.options.rate or two_digits(best)
    print(f"{task.name}: recorded at a learning rate of {rate:g}", flush=True)
    records = command.train(table(task, rate))
    found = curves(task, records)
    found.to_csv(HERE / f"{task.name}.csv.xz", index=False)
    (HERE / f"{task.name}.yaml").write_text(description(task, rate, losses, records), encoding="utf-8")
    print(f"{task.name}: {len(records)} trainings recorded\n{summary(task, found)}")


if __name__ == "__main__":
    main()
