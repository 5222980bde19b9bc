"""Draw the figure of the README: a search, answered from recorded trainings instead of new ones.

    python benchmarks/picture.py [FILE]

The search is the product's own (`scalenet grid-search`): `small_resnet` on the embedded task, 14 candidates of twice
its cost, until it has trained 30 % of what all of them to the end take with eight seeds. What it trains is looked up in
`benchmarks/tables/embedded-small_resnet.csv.xz`. Writes `docs/search.svg`, the same bytes each time (a test holds
that), and prints the search's own words.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from tables.tasks import HERE, TASKS

import scalenet
from scalenet.report.figures import style, svg

TASK = TASKS["embedded-small_resnet"]
FIGURE = Path(__file__).parents[1] / "docs" / "search.svg"
SEEDS, SPEND = 8, 0.3


def main() -> None:
    """Draw it, and say what the search says."""
    file = Path(sys.argv[1]) if sys.argv[1:] else FIGURE
    with TemporaryDirectory() as folder:
        search = answered(Path(folder))
        print(*search.answer.sentences, sep="\n")
        file.write_bytes(drawn(search))


def answered(folder: Path) -> scalenet.Search:
    """Return the search, run in a folder."""
    results = folder / "results.csv"
    recorded().to_csv(results, index=False)
    search = scalenet.grid_search(
        TASK.baseline,
        grid=TASK.grid(),
        evaluate=f"table:{results}",
        epochs=TASK.epochs,
        seeds=SEEDS,
        spend=SPEND,
        folder=folder / "search",
        say=None,
    )
    search.run()
    return search


def recorded() -> pd.DataFrame:
    """Return each training's accuracy at its end: name, seed, budget, accuracy."""
    found = pd.read_csv(HERE / f"{TASK.name}.csv.xz")
    found = found[found["epoch"] == found["epochs"]]
    return found.rename(columns={"candidate": "name", "epochs": "budget"})[["name", "seed", "budget", "accuracy"]]


def drawn(search: scalenet.Search) -> bytes:
    """Return the triangle as SVG, without what differs by nothing that is seen."""
    with style():
        return re.sub(rb"[ \t]+\n", b"\n", svg(search.plot("shares").figure))


if __name__ == "__main__":
    main()
