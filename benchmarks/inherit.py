"""How many epochs does a scaled network save that inherits the weights of its baseline?

    python benchmarks/inherit.py FOLDER [--seeds 3] [--runs runs/inherit]
    python benchmarks/inherit.py --recorded

FOLDER holds class folders of images, such as CIFAR-10's. For each seed small_resnet is trained at 32 px on 2,000 of
them, and judged on 1,000 others after each epoch. Then each network that is scaled from it is trained twice on the same
images by the same recipe and rate, from scratch and from inherited weights. What is trained already is not trained
again: the same command goes on where it stopped.

Writes `benchmarks/inherit.csv`, a row an epoch, and prints Markdown from it; with `--recorded` nothing is trained. An
epoch is saved where the inherited network has reached the accuracy that its twin from scratch has in the end; ± is at
95 %, by Student's t over seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scipy import stats

import scalenet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TABLE = Path(__file__).with_suffix(".csv")
EPOCHS, TRAIN, HELD_OUT = 10, 2000, 1000
RECIPE = {"batch_size": 32, "average.decay": 0.98}
"""Changes of the recipe `small_images`: smaller steps and shorter averages, for fewer images."""

SCALED: dict[str, dict[str, Any]] = {"phi 1": {"phi": 1}, "depth 2": {"depth": 2}}


def trained(network: Any, data: Path, folder: Path, *, seed: int, share: float, init: Path | None = None) -> Path:
    """Train a network in a folder, or find it trained there."""
    scalenet.train(
        network,
        data,
        folder=folder,
        recipe="small_images",
        changes=RECIPE,
        epochs=EPOCHS,
        images=TRAIN,
        held_out=share,
        seed=seed,
        init=init,
        device="cpu",
        workers=0,
        say=None,
    )
    return folder


def rows(folder: Path, **which: Any) -> Iterator[dict[str, Any]]:
    """Yield a row an epoch."""
    for row in pd.read_csv(folder / "log.csv").to_dict("records"):
        yield {**which, "epoch": int(row["epoch"]), "top1": row["held_out_top1"]}


def measured(data: Path, place: Path, *, seed: int) -> Iterator[dict[str, Any]]:
    """Train everything with a seed, and yield a row an epoch; epoch 0 is what inherited weights are before."""
    share = HELD_OUT / sum(1 for file in data.rglob("*") if file.is_file())
    base = scalenet.load("small_resnet").at(32)
    small = trained(base, data, place / "base", seed=seed, share=share)
    yield from rows(small, seed=seed, network="small_resnet", start="scratch")
    for name, how in SCALED.items():
        config = scalenet.scale_by(base, **how, say=None).changed(name=name.replace(" ", "_"))
        scratch = trained(config, data, place / f"{name} scratch", seed=seed, share=share)
        yield from rows(scratch, seed=seed, network=name, start="scratch")
        begun = place / f"{name} begun"
        found = scalenet.inherit(small, config, begun, data=data, seed=seed, force=True, say=None)
        yield {"seed": seed, "network": name, "start": "inherited", "epoch": 0, "top1": found.after}
        heir = trained(config, data, place / f"{name} inherited", seed=seed, share=share, init=begun)
        yield from rows(heir, seed=seed, network=name, start="inherited")


def reached(curve: pd.Series, wanted: float) -> int:
    """Return the first epoch in which an accuracy is reached, one more than there are where none is."""
    late = curve[curve >= wanted]
    return int(late.index[0]) if len(late) else EPOCHS + 1


def interval(values: Sequence[float]) -> str:
    """Return mean and 95 % interval."""
    count = len(values)
    half = stats.t.ppf(0.975, count - 1) * np.std(values, ddof=1) / count**0.5 if count > 1 else float("nan")
    return f"{np.mean(values):.1f} ± {half:.1f}"


def show(table: pd.DataFrame) -> None:
    """Print what was found, as Markdown."""
    curves = table.set_index("epoch").groupby(["network", "start", "seed"]).top1
    by = {key: 100 * curve.sort_index() for key, curve in curves}
    seeds = sorted(table.seed.unique())
    print("| network | from scratch | inherited, at once | after 1 epoch | 2 | 5 | 10 | epochs until scratch's end |")
    print("|---|---|---|---|---|---|---|---|")
    base = [by["small_resnet", "scratch", seed].iloc[-1] for seed in seeds]
    print(f"| small_resnet | {interval(base)} |  |  |  |  |  |  |")
    for name in SCALED:
        ends = [by[name, "scratch", seed].iloc[-1] for seed in seeds]
        heirs = [by[name, "inherited", seed] for seed in seeds]
        cells = [interval([heir[epoch] for heir in heirs]) for epoch in (0, 1, 2, 5, EPOCHS)]
        epochs = [reached(heir, end) for heir, end in zip(heirs, ends, strict=True)]
        print(
            f"| {name} | {interval(ends)} | {' | '.join(cells)} | {interval(epochs)} ({', '.join(map(str, epochs))}) |"
        )


def main() -> None:
    """Train, write and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("data", type=Path, nargs="?")
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--runs", type=Path, default=Path("runs/inherit"))
    options.add_argument("--recorded", action="store_true")
    asked = options.parse_args()
    torch.set_num_threads(1)
    if not asked.recorded:
        found: list[dict[str, Any]] = []
        for seed in range(asked.seeds):
            found += measured(asked.data, asked.runs / str(seed), seed=seed)
            pd.DataFrame(found).round({"top1": 5}).to_csv(TABLE, index=False)
    show(pd.read_csv(TABLE))


if __name__ == "__main__":
    main()
