"""Record a table of a space: random members of a band of FLOPs, trained with two seeds shortly and to the end.

    python benchmarks/record_space.py --data FOLDER [--device cuda] [--processes 4]

Writes `benchmarks/tables/spaces/small_images.csv.xz`, a row a training, and `small_images.yaml` beside it.
Trainings are kept in `runs/tables/small_images.jsonl`, and the same command goes on from there. The recipe is `search`.
`benchmarks/spaces.py` replays searches on the table.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml
from tables.trainings import Wanted, train_all

from scalenet._version import __version__
from scalenet.spaces.limits import read_limits
from scalenet.spaces.members import Membership
from scalenet.spaces.space import load_space
from scalenet.training.data import read
from scalenet.training.recipe import change, load_recipe
from scalenet.training.selection import select
from scalenet.training.sources import find_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalenet.training.data import Splits

SPACE, FLOPS, MEMBERS = "small_images", "1M±5%", 300
TRAIN, HELD_OUT = 2000, 2000
EPOCHS = {"short": 1, "full": 4}
SEEDS = {"short": 2, "full": 2}
HERE = Path(__file__).parent / "tables" / "spaces"


def wanted() -> Iterator[Wanted]:
    """Yield the trainings, each judged at its end: all short ones, then member by member those to the end."""
    members = Membership(load_space(SPACE), read_limits(flops=FLOPS))
    drawn = members.draw(MEMBERS, np.random.default_rng(0)).members
    names = [members.name(member) for member in drawn]
    for kind, epochs in EPOCHS.items():
        recipe = change(load_recipe("search"), [("epochs", epochs), ("evaluate_every", 0)])
        for name, seed in product(names, range(SEEDS[kind])):
            yield Wanted(SPACE, "images", kind, name, members.config(name), recipe, seed)


def images(folder: Path) -> Splits:
    """Return the images that a search of so many would take."""
    source = find_source(folder)
    count = sum(map(len, source.train.values()))
    return read(select(source, seed=0, limit=TRAIN, fraction=HELD_OUT / count), size=32)


def table(records: list[dict[str, Any]]) -> pd.DataFrame:
    """Return a row a training."""
    columns = {"network": "member", "kind": "kind", "seed": "seed", "epochs": "epochs", "accuracy": "accuracy"}
    return pd.DataFrame(records)[list(columns)].rename(columns=columns).sort_values(["kind", "seed", "member"])


def main() -> None:
    """Train what is left and write the table."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--data", type=Path, required=True, help="folder of class folders with CIFAR-10's images")
    options.add_argument("--device", default="cpu")
    options.add_argument("--processes", type=int, default=1, help="trainings at a time")
    options.add_argument("--seconds", type=float, help="begin no training after so long")
    given = options.parse_args()
    found = train_all(
        [*wanted()],
        {"images": images(given.data)},
        Path("runs/tables") / f"{SPACE}.jsonl",
        device=given.device,
        processes=given.processes,
        seconds=given.seconds,
    )
    HERE.mkdir(parents=True, exist_ok=True)
    rows = table(found)
    rows.to_csv(HERE / f"{SPACE}.csv.xz", index=False)
    about = {
        "space": SPACE,
        "flops": FLOPS,
        "members": int(rows.member.nunique()),
        "images": {"of": "CIFAR-10", "train": TRAIN, "held_out": HELD_OUT},
        "recipe": {"name": "search", "epochs": EPOCHS, "seeds": SEEDS},
        "trainings": len(found),
        "seconds": round(sum(record["seconds"] for record in found)),
        "devices": sorted({record["device"] for record in found}),
        "versions": {"scalenet": __version__, "torch": ", ".join(sorted({record["torch"] for record in found}))},
    }
    (HERE / f"{SPACE}.yaml").write_text(
        yaml.safe_dump(about, sort_keys=False, width=120, allow_unicode=True), encoding="utf-8"
    )
    print(f"{len(found)} trainings recorded")


if __name__ == "__main__":
    main()
