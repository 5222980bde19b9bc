"""Does another seed give `make run` another answer? Its search, begun again and again with seeds of its own.

    python benchmarks/answers.py [--runs 10] [FOLDER]

Each search is `scalenet grid-search` in a folder of its own, with seeds that no other one has (minutes each; it goes on
where it stopped). Prints a row a search as Markdown, as each is done, and what they say together.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

FEW = 2
"""Ties that an answer may have to be of use."""

APART = 100
"""From one search's first seed to the next one's: a race gives no candidate so many."""


def main() -> None:
    """Run the searches and print their answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/answers"))
    parser.add_argument("--runs", type=int, default=10, help="searches")
    asked = parser.parse_args()
    print("| first seed | learning rate | winner | accuracy | bound | ties | seconds |")
    print("|---|---|---|---|---|---|---|")
    found = [answer(asked.folder, APART * run) for run in range(asked.runs)]
    everybody = set.intersection(*({one["winner"], *one["ties"]} for one in found))
    useful = sum(len(one["ties"]) <= FEW for one in found)
    print(f"\nat most {FEW} ties in {useful} of {len(found)}; winner or tie in all: {', '.join(sorted(everybody))}")


def answer(folder: Path, first: int) -> dict[str, Any]:
    """Search with seeds from this one on, print a row, and return the winner and its ties."""
    scalenet, own = Path(sys.executable).parent / "scalenet", folder / f"seed{first}"
    began = time.perf_counter()
    command: list[str | Path] = [scalenet, "grid-search", "--seed", str(first), "-o", own]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    found = yaml.safe_load((own / "coefficients.yaml").read_text())
    evidence = found["evidence"]
    winner, ties = _named(found), [_named(tie) for tie in evidence["ties"]]
    accuracy = f"{100 * evidence['accuracy']:.1f} | {100 * evidence['bound']:.1f}"
    which = f"{first} | {evidence['learning_rate']:g} | {winner}"
    print(f"| {which} | {accuracy} | {'; '.join(ties) or 'none'} | {seconds:.0f} |", flush=True)
    return {"winner": winner, "ties": ties}


def _named(coefficients: dict[str, float]) -> str:
    return ", ".join(f"{coefficients[name]:.3g}" for name in ("alpha", "beta", "gamma"))


if __name__ == "__main__":
    main()
