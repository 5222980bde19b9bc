"""The tasks of the recorded tables: which baseline, which images, which candidates, how long."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from scalenet.arch.config import BudgetRule, SharesRay, as_record
from scalenet.costs.formula import cost
from scalenet.scaling.scaler import load, scale_by
from scalenet.search.setting import EMBEDDED_HELD_OUT, EMBEDDED_IMAGES
from scalenet.search.space.candidates import enumerate_candidates
from scalenet.search.space.grids import Grid
from scalenet.training.data import embedded_splits, read
from scalenet.training.recipe import change, load_recipe
from scalenet.training.selection import select
from scalenet.training.sources import find_source
from tables.trainings import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scalenet.arch.config import Config
    from scalenet.arch.spec import Architecture
    from scalenet.search.space.candidates import Candidate
    from scalenet.training.data import Splits
    from scalenet.training.recipe import Recipe

HERE = Path(__file__).parent
SEEDS = 8
SHORTER = 5
"""How many times fewer epochs a short training has."""

WITHIN = 0.02
"""The largest deviation of a candidate's FLOPs from what all shall cost, as a share of it."""

PILOT_SEEDS = 2


@dataclass(frozen=True, kw_only=True)
class Task:
    """A baseline at a resolution, on so many images to train on and held out, for so many epochs.

    `images` is a folder of class folders, or None for the embedded images.
    """

    name: str
    base: str
    resolution: int
    train: int
    held_out: int
    epochs: int
    embedded: bool = False
    precision: str = "float32"

    @property
    def baseline(self) -> Architecture:
        """The baseline, for ten or sixteen classes."""
        shipped = HERE / f"{self.base}.yaml"
        network = load(str(shipped) if shipped.exists() else self.base)
        return network.at(self.resolution).with_classes(16 if self.embedded else 10)

    @property
    def pictures(self) -> str:
        """The name that tasks of the same images share."""
        return f"{'embedded' if self.embedded else 'folder'}-{self.train}-{self.held_out}"

    def splits(self, folder: Path | None) -> Splits:
        """Return the images, of a folder those that a search of so many would take."""
        if self.embedded:
            return embedded_splits(train=self.train, validation=self.held_out)
        assert folder is not None, "give the folder of images"
        source = find_source(folder)
        count = sum(map(len, source.train.values()))
        return read(select(source, seed=0, limit=self.train, fraction=self.held_out / count), size=32)

    def grid(self) -> Grid:
        """Return quarters of the extra FLOPs, each brought to twice the baseline."""
        grid = {
            "schema": "scalenet-grid/1",
            "name": "quarters",
            "points": {"kind": "shares", "divisions": 4},
            "product": 2.0,
            "include": [],
            "constraint": "measured",
            "achieved": WITHIN,
            "rounding": "fine",
        }
        return as_record(Grid, grid, "quarters")

    def candidates(self) -> tuple[Candidate, ...]:
        """Return the grid's networks."""
        return enumerate_candidates(self.baseline, self.grid()).candidates

    def scaled(self, name: str, shares: Sequence[float], times: float) -> Config:
        """Return the network of so many times the baseline's cost on a ray of shares: depth, width, resolution."""
        ray = SharesRay(depth=shares[0], width=shares[1], resolution=shares[2])
        value = round(times * cost(self.baseline).flops)
        rule = BudgetRule(ray=ray, metric="flops", value=value, tolerance=WITHIN)
        return scale_by(self.baseline, rule, rounding="fine", name=f"{self.base}_{name}_x{times:g}")

    def recipe(self, rate: float, *, epochs: int | None = None, changes: Mapping[str, Any] | None = None) -> Recipe:
        """Return the search's recipe at a rate, judged on all held-out images after every epoch."""
        given = {"optimizer.lr": rate, "epochs": epochs or self.epochs, "evaluate_every": 1, **(changes or {})}
        return change(load_recipe("search"), given.items())

    def wanted(self, kind: str, network: Config | Architecture, recipe: Recipe, seed: int) -> Wanted:
        """Return a training of the task."""
        return Wanted(self.name, self.pictures, kind, network.name, network, recipe, seed)


TASKS = {
    task.name: task
    for task in (
        Task(name="cifar10-small_resnet", base="small_resnet", resolution=32, train=5000, held_out=5000, epochs=10),
        Task(
            name="cifar10-small_mobilenet", base="small_mobilenet", resolution=32, train=5000, held_out=5000, epochs=10
        ),
        Task(
            name="embedded-small_resnet",
            base="small_resnet",
            resolution=22,
            train=EMBEDDED_IMAGES,
            held_out=EMBEDDED_HELD_OUT,
            epochs=5,
            embedded=True,
        ),
        # so short that one core trains eight times the baseline in a minute or two
        Task(
            name="cifar10-small_resnet-short",
            base="small_resnet",
            resolution=32,
            train=2000,
            held_out=3000,
            epochs=4,
            precision="bfloat16",
        ),
    )
}

PILOT_RATES = tuple(round(0.002 * 3.0**power, 9) for power in (-1, 0, 1))
"""A factor of three apart, around the recipe's."""


def pilot(task: Task, epochs: int | None, rates: Sequence[float], optimizer: str) -> Iterator[Wanted]:
    """Yield trainings of the baseline at some rates."""
    for seed, rate in product(range(PILOT_SEEDS), rates):
        recipe = task.recipe(rate, epochs=epochs, changes={"optimizer.kind": optimizer})
        yield task.wanted("pilot", task.baseline, recipe, seed)


def beyond(losses: Mapping[float, float], *, factor: float) -> float | None:
    """Return the rate to try next where the lowest loss lies at an end; None where it lies between two others."""
    rates, best = sorted(losses), min(losses, key=losses.__getitem__)
    if best not in {rates[0], rates[-1]}:
        return None
    return round(best / factor if best == rates[0] else best * factor, 9)


def mean_losses(records: Sequence[Mapping[str, Any]]) -> dict[float, float]:
    """Return the mean held-out loss of each rate; a rate at which a training diverged has an infinite one."""
    rates = sorted({record["rate"] for record in records})
    return {
        rate: fmean(math.inf if one["loss"] is None else one["loss"] for one in records if one["rate"] == rate)
        for rate in rates
    }


def shares(candidate: Candidate) -> tuple[float, float, float]:
    """Return what shares of the extra FLOPs a candidate was asked to give to depth, width and resolution."""
    doublings = math.log2(candidate.nominal)
    parts = math.log2(candidate.alpha), 2 * math.log2(candidate.beta), 2 * math.log2(candidate.gamma)
    depth, width = (round(part / doublings, 2) for part in parts[:2])
    return depth, width, round(1 - depth - width, 2)


def table(task: Task, rate: float) -> Iterator[Wanted]:
    """Yield the trainings of a table: every candidate to the end and shortly, seed by seed."""
    candidates = task.candidates()
    kinds = {"full": task.epochs, "short": max(1, task.epochs // SHORTER)}
    for (kind, epochs), seed, candidate in product(kinds.items(), range(SEEDS), candidates):
        yield task.wanted(kind, candidate.config, task.recipe(rate, epochs=epochs), seed)
