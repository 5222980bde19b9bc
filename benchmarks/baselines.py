"""Is a baseline that was found better than known ones at equal FLOPs? Each at a rate of its own, with four seeds.

    python benchmarks/baselines.py runs/baseline/baseline.yaml --data FOLDER [--images 5000] [--processes 2]
    python benchmarks/baselines.py runs/baseline/baseline.yaml --data FOLDER --times 4 8 \
        --step1 found=runs/one/coefficients.yaml --step1 small_resnet=runs/other/coefficients.yaml
    python benchmarks/baselines.py --recorded

`small_resnet` and `efficientnet_b0` are brought to the FLOPs of the one found, by the closed loop of `scalenet scale
--flops`; with `--times` all three to so many times those, each by the coefficients that its own STEP 1 found, or the
paper's. The rate of each is that of a parabola in log rate through the losses of three short trainings, and of one
more beyond where the lowest is at an end, judged on the images that the search held out. Then each is trained with four
seeds that the search did not have, on the images it was searched on, and judged on 10,000 others, which chose nothing:
the best of many is the best by luck too, on the images that it was chosen by.

Trainings are kept in `runs/tables/baselines.jsonl`, and the same command goes on from there. Writes
`benchmarks/tables/spaces/baselines32.csv`, a row a training, and prints Markdown; what it has of other times stays.
Differences are paired by seed; ± is at 95 % for all of a cost together, by Student's t from each pair's own
differences: networks differ in their noise.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from scipy import stats
from tables.tasks import beyond, mean_losses
from tables.trainings import Wanted, train_all

from scalenet.arch.config import BudgetRule, CompoundRay
from scalenet.costs.formula import cost
from scalenet.scaling.rules import PAPER_COEFFICIENTS
from scalenet.scaling.scaler import load, scale_by
from scalenet.search.answer.coefficients import load_coefficients
from scalenet.search.rungs.pilot import fitted_rate
from scalenet.training.data import read
from scalenet.training.recipe import change, load_recipe
from scalenet.training.selection import divide, select
from scalenet.training.sources import find_source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scalenet.arch.config import Config
    from scalenet.arch.spec import Architecture
    from scalenet.training.data import Splits

KNOWN = ("small_resnet", "efficientnet_b0")
PAPER = CompoundRay(**PAPER_COEFFICIENTS)
RATES, FACTOR = (0.0008, 0.002, 0.005), 2.5
"""The rates tried first, around the recipe's, and how far they lie apart."""

PILOT_SEED, SEEDS = 10, (11, 12, 13, 14)
JUDGED = 10_000
"""Images that judge, beside those of the search."""

WITHIN = 0.02
CONFIDENCE = 0.95
TABLE = Path(__file__).parent / "tables" / "spaces" / "baselines32.csv"

Records = list[dict[str, Any]]


def networks(found: Architecture, rays: Mapping[str, CompoundRay], times: int) -> dict[str, Config | Architecture]:
    """Return the networks by name, all of so many times the FLOPs of the one found."""
    size, classes, flops = found.model.size, found.model.head.classes, times * cost(found.model).flops
    bases = {name: load(name).at(size).with_classes(classes) for name in KNOWN}
    bases |= {} if times == 1 else {"found": found}

    def scaled(name: str) -> Config:
        rule = BudgetRule(ray=rays.get(name, PAPER), metric="flops", value=flops, tolerance=WITHIN)
        return scale_by(bases[name], rule, name=f"{name}_{flops}")

    return {"found": found} | {name: scaled(name) for name in bases}


def images(folder: Path, count: int, size: int) -> dict[str, Splits]:
    """Return the images that a search had, and the same ones to train on with others to judge by."""
    source = find_source(folder)
    searched, whole = select(source, seed=0, limit=count), select(source, seed=0)
    known = {name: set(files) for name, files in searched.train.items()}
    others = {name: [file for file in files if file not in known[name]] for name, files in whole.train.items()}
    judging, _ = divide(others, JUDGED, seed=0, stream=3, root=source.root)
    return {"searched": read(searched, size=size), "others": read(replace(searched, validation=judging), size=size)}


def training(kind: str, network: Config | Architecture, rate: float, seed: int, epochs: int) -> Wanted:
    """Return a training that is judged once, at its end."""
    recipe = change(load_recipe("search"), {"optimizer.lr": rate, "epochs": epochs, "evaluate_every": 0}.items())
    return Wanted("baselines", "searched" if kind == "rate" else "others", kind, network.name, network, recipe, seed)


Train = Callable[[list[Wanted]], Records]


def fits(all_: Mapping[str, Config | Architecture], epochs: int, train: Train) -> tuple[Records, dict[str, float]]:
    """Return short trainings at three rates or more, and the best rate of each network to three digits."""
    rates: dict[str, tuple[float, ...]] = dict.fromkeys(all_, RATES)
    while True:
        tried = [(name, rate) for name, own in rates.items() for rate in own]
        found = train([training("rate", all_[name], rate, PILOT_SEED, epochs) for name, rate in tried])
        losses = {name: mean_losses([one for one in found if one["network"] == all_[name].name]) for name in all_}
        more = {name: beyond(own, factor=FACTOR) for name, own in losses.items()}
        if not any(more.values()):
            return found, {name: float(f"{fitted_rate(own):.3g}") for name, own in losses.items()}
        rates |= {name: (*rates[name], rate) for name, rate in more.items() if rate is not None}


def trained(all_: Mapping[str, Config | Architecture], given: argparse.Namespace, train: Train) -> Records:
    """Return a row a training: rates first, then seed by seed at the rates that were found."""
    short, rates = fits(all_, given.pilot_epochs, train)
    pairs = product(SEEDS, all_)
    records = short + train([training("judged", all_[name], rates[name], seed, given.epochs) for seed, name in pairs])
    about = {}
    for name, network in all_.items():
        costs = cost(network.model)
        about[network.name] = {"name": name, "flops": costs.flops, "params": costs.params}
    return [about[record["network"]] | record for record in records]


COLUMNS = ["times", "name", "network", "flops", "params"]
COLUMNS += ["kind", "rate", "seed", "epochs", "accuracy", "loss", "seconds"]


def show(table: pd.DataFrame) -> None:
    """Print accuracies and paired differences of networks of equal FLOPs as Markdown."""
    judged = table[table.kind == "judged"]
    scores = 100 * judged.pivot_table(index="name", columns="seed", values="accuracy").dropna(axis=1)
    pairs = [*combinations(scores.mean(axis=1).sort_values(ascending=False).index, 2)]
    seeds = scores.shape[1]
    times = stats.t.ppf(1 - (1 - CONFIDENCE) / 2 / len(pairs), seeds - 1) / seeds**0.5
    print("| network | MFLOPs | parameters | rate | top-1, % | by seed |\n|---|---|---|---|---|---|")
    for name, own in scores.iterrows():
        first = judged[judged.name == name].iloc[0]
        by_seed = ", ".join(f"{one:.1f}" for one in own)
        print(
            f"| {name} | {first.flops / 1e6:.2f} | {first.params:,} | {first.rate:g} | {own.mean():.1f} | {by_seed} |"
        )
    for better, other in pairs:
        difference = scores.loc[better] - scores.loc[other]
        print(f"- {better} − {other}: {difference.mean():+.1f} ± {times * difference.std():.1f} points")


def record(given: argparse.Namespace) -> None:
    """Train what is left, and write the table."""
    found, log = load(given.found), Path("runs/tables/baselines.jsonl")
    splits = images(given.data, given.images, max(found.model.size))
    step1 = dict(one.split("=", 1) for one in given.step1)
    rays = {name: CompoundRay(**load_coefficients(Path(file)).multipliers()) for name, file in step1.items()}

    def train(wanted: list[Wanted]) -> Records:
        return train_all(wanted, splits, log, device=given.device, processes=given.processes)

    known = pd.read_csv(TABLE) if TABLE.exists() else pd.DataFrame(columns=COLUMNS)
    for times in given.times:
        records = [{"times": times} | one for one in trained(networks(found, rays, times), given, train)]
        known = pd.concat([known[known.times != times], pd.DataFrame(records)[COLUMNS]])
        known.sort_values(["times", "kind", "name", "rate", "seed"]).round({"loss": 6}).to_csv(TABLE, index=False)


def main() -> None:
    """Train what is left, record it, and print the tables."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("found", nargs="?", help="config of the baseline that was found")
    options.add_argument("--data", type=Path, help="folder of class folders with CIFAR-10's images")
    options.add_argument("--images", type=int, default=5000, help="that the search trained on")
    options.add_argument("--times", type=int, nargs="+", default=[1], help="FLOPs, in those of the one found")
    options.add_argument("--step1", nargs="*", action="extend", default=[], help="NAME=FILE with its coefficients")
    options.add_argument("--epochs", type=int, default=5)
    options.add_argument("--pilot-epochs", type=int, default=2)
    options.add_argument("--device", default="cpu")
    options.add_argument("--processes", type=int, default=1, help="trainings at a time")
    options.add_argument("--recorded", action="store_true", help="train nothing, and print what is recorded")
    given = options.parse_args()
    if not given.recorded:
        if given.found is None or given.data is None:
            raise SystemExit("give the config of the baseline that was found, and --data")
        record(given)
    for times, own in pd.read_csv(TABLE).groupby("times"):
        print(f"{times} ×\n")
        show(own)


if __name__ == "__main__":
    main()
