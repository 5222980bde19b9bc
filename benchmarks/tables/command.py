"""What the scripts that train have in common: their options, where trainings are kept, and the baseline's best rate."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalenet.search.rungs.pilot import epochs_of, fitted_rate
from tables.tasks import PILOT_RATES, TASKS, Task, beyond, mean_losses, pilot
from tables.trainings import train_all

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scalenet.training.data import Splits
    from tables.trainings import Wanted


@dataclass(frozen=True)
class Command:
    """A task, and how its trainings are run."""

    task: Task
    options: argparse.Namespace
    images: dict[str, Splits]

    def train(self, wanted: Iterable[Wanted]) -> list[dict[str, Any]]:
        """Train what is not known yet, and return the records of all that is wanted."""
        options, log = self.options, Path("runs/tables") / f"{self.task.name}.jsonl"
        return train_all(
            [*wanted],
            self.images,
            log,
            device=options.device,
            processes=options.processes,
            seconds=options.seconds,
        )

    def best_rate(self, length: int, optimizer: str = "rmsprop") -> tuple[float, dict[float, float]]:
        """Return the baseline's best rate in a pilot for trainings of such a length, and each rate's mean loss.

        Where the best one tried lies at an end, one more is tried beyond it.
        """
        rates, losses = PILOT_RATES, dict[float, float]()
        while True:
            losses |= mean_losses(self.train(pilot(self.task, epochs_of(length), rates, optimizer)))
            more = beyond(losses, factor=3)
            if more is None:
                return fitted_rate(losses), losses
            rates = (more,)


def parser(about: str | None) -> argparse.ArgumentParser:
    """Return the options that all scripts have."""
    found = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    found.add_argument("task", choices=TASKS)
    found.add_argument("--data", type=Path, help="folder of class folders with CIFAR-10's images")
    found.add_argument("--device", default="cpu")
    found.add_argument("--processes", type=int, default=1, help="trainings at a time")
    found.add_argument("--seconds", type=float, help="begin no training after so long")
    return found


def begin(options: argparse.Namespace) -> Command:
    """Read the images of a task."""
    task = TASKS[options.task]
    if options.data is None and not task.embedded:
        raise SystemExit(f"{task.name} needs images: give a folder of class folders with --data")
    return Command(task, options, {task.pictures: task.splits(options.data)})
