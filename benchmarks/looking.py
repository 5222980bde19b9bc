"""Do compound-scaled networks look at the object? The paper's figure 7 and table 7 as numbers, on the embedded task.

    python benchmarks/looking.py [--images 3000] [--epochs 5] [--seeds 3] [FOLDER]

`small_resnet` and its scalings by depth, width, resolution and the paper's coefficients, each to 4 × its FLOPs, are
trained with several seeds at one rate, half of `search`'s in the search's pilot (docs/search.md). Class
activation maps of the true class are taken of 1,000 held-out images. Trainings are kept in the folder, and the same
command goes on from there. Prints Markdown, a row a model: top-1, and the share of the maps' positive values on the
object, means over seeds. ± is at 95 %, of the difference to the compound network with the same seed (Student's t).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import scalenet
from scalenet.studies.maps import interval

if TYPE_CHECKING:
    from scalenet.studies.maps import ModelMaps

MODELS = ("baseline", "depth", "width", "resolution", "compound")
RATIO = "4x"
RATE = 0.00067
LOOKED_AT = 1000


def main() -> None:
    """Train, look, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/looking"))
    parser.add_argument("--images", type=int, default=3000, help="training images")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    found: dict[str, list[ModelMaps]] = {name: [] for name in MODELS}
    labels: list[str | None] = []
    for seed in range(asked.seeds):
        folders = [trained(name, seed, asked) for name in MODELS]
        maps = scalenet.cam(folders, LOOKED_AT, of="true", rows=1)
        labels = list(maps.labels)
        for name, one in zip(MODELS, maps.models, strict=True):
            found[name].append(one)
            print(
                f"seed {seed}, {name}: {100 * top1(one, labels):.1f} %, {100 * on_object(one):.1f} % on it", flush=True
            )
    print("\n| model | MFLOPs | input | top-1, % | compound − it, points | on the object, % | compound − it, points |")
    print("|---|---|---|---|---|---|---|")
    for name in MODELS:
        print(row(name, found, labels))
    area = np.nanmean(found["compound"][0].area)
    print(f"\n{asked.seeds} seeds; a map that is the same everywhere has {100 * area:.1f} % on the object.")


def network(name: str) -> scalenet.Config:
    """Return one of the networks."""
    if name == "baseline":
        return scalenet.scale_by("small_resnet", phi=0, name=name)
    return scalenet.scale_by("small_resnet", name, flops=RATIO, name=name)


def trained(name: str, seed: int, asked: argparse.Namespace) -> Path:
    """Train a network where it is not trained yet, and return its folder."""
    folder: Path = asked.folder / f"{name}-{seed}"
    scalenet.train(
        network(name),
        folder=folder,
        recipe="search",
        epochs=asked.epochs,
        learning_rate=RATE,
        images=asked.images,
        seed=seed,
        say=None,
    )
    return folder


def top1(model: ModelMaps, labels: list[str | None]) -> float:
    """Return the share of images that are taken for what they are."""
    return float(np.mean([model.classes[top] == label for top, label in zip(model.top, labels, strict=True)]))


def on_object(model: ModelMaps) -> float:
    """Return the mean share of the maps on the object."""
    return float(np.nanmean(model.on_object))


def row(name: str, found: dict[str, list[ModelMaps]], labels: list[str | None]) -> str:
    """Return a row of the table."""
    flops, cells = scalenet.cost(network(name)).flops, []
    for figure in (lambda one: top1(one, labels), on_object):
        own, other = (100 * np.array([figure(one) for one in found[which]]) for which in (name, "compound"))
        gain, half = interval((other - own).astype(np.float32))
        difference = "" if name == "compound" or half is None else f"{gain:+.1f} ± {half:.1f}"
        cells += [f"{own.mean():.1f}", difference]
    size = "×".join(map(str, found[name][0].inputs.shape[2:]))
    return f"| {name} | {flops / 1e6:.2f} | {size} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
