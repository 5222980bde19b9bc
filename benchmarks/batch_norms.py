"""When do running batch-norm statistics count, and what do estimated ones cost?

    python benchmarks/batch_norms.py FOLDER [NETWORK [MOMENTUM]]

Trains a network at 32 px on the class folders of FOLDER (`train/` and `val/`), by the recipe `small_images`, batches of
32, for 12 / momentum steps. Ten times on the way it prints the steps times the momentum, the top-1 of the training, the
held-out top-1 of the averaged weights with the running statistics and with estimated ones, and the share of the time of
an epoch's steps that one estimate takes.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from scalenet import build, load
from scalenet.training import runs
from scalenet.training.loop import Training
from scalenet.training.progress import Listener
from scalenet.training.recipe import change, load_recipe
from scalenet.training.statistics import batch_norms

SIZE, BATCH, ROWS, END = (32, 32), 32, 10, 12.0


class Watch(Listener):
    """Prints a row ten times."""

    def __init__(self, momentum: float) -> None:
        self.momentum, self.began = momentum, time.process_time()

    def epoch(self, training: Training) -> None:
        took = time.process_time() - self.began
        if training.epoch % max(1, training.recipe.epochs // ROWS) == 0:
            self.row(training, took)
        self.began = time.process_time()

    def row(self, training: Training, took: float) -> None:
        """Print a row; `took` is the CPU time of the epoch's steps."""
        network = training.averages.evaluated
        running = training.judge.score(network, training.inputs.validation).top1
        norms, began = training.judge.norms.free(network), time.process_time()
        with training.judge.norms.judged(network, norms, step=training.step):
            share = (time.process_time() - began) / took
            estimated = training.judge.score(network, training.inputs.validation).top1
        figures = (training.curve[-1]["accuracy"], running, estimated, share)
        print(f"{training.step * self.momentum:17.2f}", *(f"{100 * figure:9.1f}" for figure in figures), flush=True)


def main() -> None:
    """Train and print."""
    torch.set_num_threads(1)
    name = sys.argv[2] if len(sys.argv) > 2 else "mobilenet_v2"
    recipe = change(load_recipe("small_images"), [("batch_size", BATCH), ("evaluate_every", 0)])
    splits = runs.read_images(Path(sys.argv[1]), recipe=recipe, resolution=SIZE, reading=runs.Reading(seed=0))
    torch.manual_seed(0)
    network = build(load(name), classes=len(splits.classes))
    norms = batch_norms(network).values()
    momentum = float(sys.argv[3]) if len(sys.argv) > 3 else next(norm.momentum or 0.1 for norm in norms)
    for norm in norms:
        norm.momentum = momentum
    epochs = round(END / momentum / (len(splits.train) // BATCH))
    recipe = change(recipe, [("epochs", epochs)])
    print("steps × momentum  training   running estimated  cost, %")
    Training(network, splits, recipe=recipe, resolution=SIZE, seed=0).run(Watch(momentum))


if __name__ == "__main__":
    main()
