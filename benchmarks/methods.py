"""Do the coefficients that win at φ = 1 win at φ = 2 and 3? Against depth, width or resolution alone, and dWr.

    python benchmarks/methods.py TASK --data FOLDER [--device cuda] [--processes 16]
    python benchmarks/methods.py TASK --recorded

Every method's network is brought to 2^φ times the baseline's FLOPs, and has a rate of its own: that of a parabola in
log rate through the losses of three rates, one seed each, and of one more beyond where the lowest is at an end. Then it
is trained at that rate with four other seeds, by the search's recipe, and judged once, at the end. φ = 2
comes first, whole, then 3, then 1. Trainings are kept in `runs/tables/TASK.jsonl`, and the same command goes on from
there.

Writes `benchmarks/tables/methods/TASK.csv.xz`, a row a training, `TASK.yaml` beside it, and `docs/methods-TASK.svg`;
prints Markdown from the table. With `--recorded` nothing is trained. ± is at 95 %, from what an effect of each method
and one of each seed leave over; differences of a φ hold together (Bonferroni).
"""

from __future__ import annotations

from collections import Counter
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml
from scipy import stats
from tables.command import begin, parser
from tables.tasks import HERE, TASKS, beyond, mean_losses

from scalenet._version import __version__
from scalenet.costs.formula import cost
from scalenet.report.figures import MUTED, figure, style, svg
from scalenet.search.answer.judge import judge
from scalenet.search.answer.noise import residual_noise
from scalenet.search.rungs.pilot import fitted_rate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tables.command import Command
    from tables.tasks import Task
    from tables.trainings import Wanted

    from scalenet.arch.config import Config

METHODS = {
    "resolution": (0.0, 0.0, 1.0),
    "width": (0.0, 1.0, 0.0),
    "depth": (1.0, 0.0, 0.0),
    "compound": (0.25, 0.25, 0.5),
    "dWr": (0.1, 0.8, 0.1),
}
"""Shares of the extra FLOPs. Of all candidates in quarters, those of `compound` lie nearest to the paper's."""

FOUND = "resolution"
"""What has the highest mean of the table `cifar10-small_resnet`, and the others are compared with."""

PHIS = (2, 3, 1)
SEEDS = (1, 2, 3, 4)
FITTING_SEED = 0
MIDDLE, FACTOR = 0.00066, 2.5
"""The baseline's best rate in a pilot (see `rates.py`), and how far the rates lie apart."""

MARKS = {
    "resolution": ("D", 5, "#2f855a"),
    "width": ("s", 5, "#0b6bb0"),
    "depth": ("v", 6, "#69707a"),
    "compound": ("*", 10, "#c2410c"),
    "dWr": ("o", 6, "#6b46c1"),
}
CONFIDENCE = 0.95

Records = list[dict[str, Any]]


def networks(task: Task, phi: int) -> dict[str, Config]:
    """Return each method's network of 2^φ times the baseline's cost."""
    return {name: task.scaled(name, shares, 2**phi) for name, shares in METHODS.items()}


def training(task: Task, network: Config, rate: float, seed: int) -> Wanted:
    """Return a training that is judged once, at its end."""
    recipe = task.recipe(rate, changes={"evaluate_every": 0, "precision": task.precision})
    return task.wanted("fit" if seed == FITTING_SEED else "methods", network, recipe, seed)


def train(command: Command, phi: int) -> Records:
    """Train what is left at a φ: the rates first, then seed by seed those whose rate is known."""
    found = networks(command.task, phi)
    fits = fit(command, found)
    rates = {name: fitted(fits, network) for name, network in found.items()}
    wanted = [
        training(command.task, found[name], rate, seed)
        for seed, (name, rate) in product(SEEDS, rates.items())
        if rate is not None
    ]
    about = {network.name: _about(name, network, phi) for name, network in found.items()}
    return [about[record["network"]] | record for record in fits + command.train(wanted)]


def fit(command: Command, found: Mapping[str, Config]) -> Records:
    """Train each network at three rates, and further ones while the lowest loss is at an end."""
    first = [round(MIDDLE * FACTOR**power, 9) for power in (0, -1, 1)]
    wanted = [training(command.task, network, rate, FITTING_SEED) for rate, network in product(first, found.values())]
    while True:
        records = command.train(wanted)
        more = []
        for network in found.values():
            losses = _losses(records, network)
            rate = beyond(losses, factor=FACTOR) if len(losses) >= len(first) else None
            if rate is not None:
                more.append(training(command.task, network, rate, FITTING_SEED))
        if not more or len(records) < len(wanted):
            return records
        wanted += more


def fitted(fits: Records, network: Config) -> float | None:
    """Return the best rate of a network to three digits, None where it is not known yet."""
    losses = _losses(fits, network)
    known = len(losses) > 2 and beyond(losses, factor=FACTOR) is None
    return float(f"{fitted_rate(losses):.3g}") if known else None


def _losses(records: Records, network: Config) -> dict[float, float]:
    return mean_losses([record for record in records if record["network"] == network.name])


def _about(name: str, network: Config, phi: int) -> dict[str, Any]:
    """Return what the rows of a network have in common: multipliers as rounding left them."""
    assert network.scaling is not None
    applied = network.scaling.applied
    multipliers = {axis: round(getattr(applied, axis), 4) for axis in ("depth", "width", "resolution")}
    return {"phi": phi, "method": name, **multipliers, "flops": cost(network.model).flops}


COLUMNS = (
    *("task", "phi", "method", "depth", "width", "resolution", "flops"),
    *("kind", "rate", "seed", "epochs", "accuracy", "loss", "images"),
)


def write(command: Command, records: Records) -> None:
    """Write the table of all trainings, and what they were."""
    task, folder = command.task, HERE / "methods"
    table = pd.DataFrame(records, columns=list(COLUMNS))
    table = table.sort_values(["phi", "method", "kind", "rate", "seed"]).round({"loss": 6})
    about = {
        "task": task.name,
        "images": {"of": "the embedded task" if task.embedded else "CIFAR-10", "train": task.train}
        | {"held_out": task.held_out},
        "baseline": {"name": task.baseline.name, "resolution": task.resolution, "flops": cost(task.baseline).flops},
        "methods": {name: " ".join(f"{share:g}" for share in shares) for name, shares in METHODS.items()},
        "recipe": {"name": "search", "epochs": task.epochs},
        "trainings": dict(Counter(record["kind"] for record in records)),
        "seconds": round(sum(record["seconds"] for record in records)),
        "devices": sorted({record["device"] for record in records}),
        "versions": {"scalenet": __version__, "torch": ", ".join(sorted({record["torch"] for record in records}))},
    }
    folder.mkdir(exist_ok=True)
    table.to_csv(folder / f"{task.name}.csv.xz", index=False)
    (folder / f"{task.name}.yaml").write_text(yaml.safe_dump(about, sort_keys=False, width=120), encoding="utf-8")


def accuracies(table: pd.DataFrame, phi: int) -> pd.DataFrame:
    """Return accuracies in percent of a φ, methods by the seeds that all of them have; empty where one has none."""
    counted = table[(table.phi == phi) & (table.kind == "methods")]
    found = 100 * counted.pivot_table(index="method", columns="seed", values="accuracy").dropna(axis=1)
    return found.reindex(list(METHODS)).dropna(axis=0) if len(found) == len(METHODS) else found.iloc[:, :0]


def intervals(found: pd.DataFrame) -> tuple[float, float]:
    """Return the half widths of a mean's interval, and of those of the differences to one method together."""
    noise = residual_noise(found.to_numpy())
    if noise is None:
        return float("inf"), float("inf")
    methods, seeds = found.shape
    error = noise.deviation / seeds**0.5
    single, together = (stats.t.ppf(1 - (1 - CONFIDENCE) / 2 / number, noise.freedom) for number in (1, methods - 1))
    return single * error, together * error * 2**0.5


def rows(table: pd.DataFrame, base: int) -> Iterator[str]:
    """Yield the rows of the table of methods as Markdown, for every φ that has two seeds or more."""
    for phi, found in scored(table).items():
        own, difference = intervals(found)
        means = found.mean(axis=1)
        first = table[(table.phi == phi) & (table.kind == "methods")].drop_duplicates("method").set_index("method")
        for name in METHODS:
            row, mean = first.loc[name], means[name]
            sizes = " | ".join(f"{row[axis]:.2f}" for axis in ("depth", "width", "resolution"))
            ahead = "" if name == FOUND else f"{means[FOUND] - mean:+.1f} ± {difference:.1f}".replace("-", "−")
            yield (
                f"| {phi} | {name} | {sizes} | {row.flops / base:.2f} × | {row.rate:.2g} | {found.shape[1]} "
                f"| {mean:.1f} ± {own:.1f} | {ahead} |"
            )


def verdicts(table: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence a φ: the judge's, as a search gives it."""
    for phi, found in scored(table).items():
        verdict = judge(found.to_numpy())
        names = list(found.index)
        ties = [name for name, tied in zip(names, verdict.tied, strict=True) if tied and name != names[verdict.winner]]
        yield (
            f"φ = {phi}: {names[verdict.winner]} is ahead; none is better by more than {verdict.bound:.1f} points; "
            f"not told from it: {', '.join(ties) or 'none'}; one training's noise {verdict.noise:.1f} points"
        )


def scored(table: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """Return the accuracies of every φ at which all methods have two seeds or more."""
    found = {phi: accuracies(table, phi) for phi in sorted(PHIS)}
    return {phi: own for phi, own in found.items() if own.shape[1] > 1}


def plot(table: pd.DataFrame) -> bytes:
    """Draw accuracies over φ as SVG, a line a method."""
    with style():
        drawn, axes = figure(3.2)
        found = scored(table)
        for place, (name, (shape, size, colour)) in enumerate(MARKS.items()):
            beside = 0.04 * (place - (len(MARKS) - 1) / 2)
            means = [float(own.mean(axis=1)[name]) for own in found.values()]
            places, widths = [phi + beside for phi in found], [intervals(own)[0] for own in found.values()]
            axes.errorbar(places, means, widths, fmt="none", ecolor=MUTED, elinewidth=0.8, capsize=2)
            axes.plot(places, means, marker=shape, markersize=size, color=colour, linewidth=1, label=name)
        axes.set_xticks(list(found), [f"φ = {phi}\n{2**phi} × FLOPs" for phi in found])
        axes.set_ylabel("held-out top-1, %")
        drawn.legend(loc="outside upper left", ncols=len(MARKS))
        return svg(drawn)


def show(table: pd.DataFrame, task: Task) -> None:
    """Print the tables as Markdown."""
    print(f"| φ | method | depth | width | resolution | FLOPs | rate | seeds | accuracy | {FOUND} is ahead by |")
    print(f"|{'---|' * 10}")
    print(*rows(table, cost(task.baseline).flops), sep="\n")
    print("", *(f"- {sentence}" for sentence in verdicts(table)), sep="\n")


def main() -> None:
    """Train what is left, record it, and print the tables."""
    options = parser(__doc__)
    options.add_argument("--recorded", action="store_true", help="train nothing, and print what is recorded")
    asked = options.parse_args()
    task = TASKS[asked.task]
    if not asked.recorded:
        command = begin(asked)
        every: Records = []
        for phi in PHIS:
            every += train(command, phi)
            write(command, every)
    file = HERE / "methods" / f"{task.name}.csv.xz"
    if not file.exists():
        raise SystemExit(f"nothing is recorded of {task.name}: train it, with --data")
    table = pd.read_csv(file)
    show(table, task)
    Path(f"docs/methods-{task.name}.svg").write_bytes(plot(table))


if __name__ == "__main__":
    main()
