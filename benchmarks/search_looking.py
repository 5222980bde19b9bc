"""What it costs to look at a large search, in CPU time of one process, and how large its report is.

    python benchmarks/search_looking.py [CANDIDATES …]

Of invented results, on SQLite: `search status` while half of 10,000 candidates with two seeds are done, and `search
results`, which ranks, writes tables and report, of a finished search of 2,000 that tie by the hundred. Imports are not
counted: each command has run before. Prints Markdown.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sql
from scalenet_cli.main import app

from scalenet._version import __version__
from scalenet.arch.config import as_data, digest
from scalenet.scaling.scaler import load
from scalenet.search.folder import database, write_plan
from scalenet.search.plan import Plan
from scalenet.search.queue.board import Board
from scalenet.search.queue.jobs import Aim
from scalenet.search.queue.tables import ATTEMPTS, CURVES
from scalenet.search.rungs.schedule import halving
from scalenet.search.space.candidates import enumerate_candidates
from scalenet.search.space.grids import load_grid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalenet.search.queue.jobs import Entry
    from scalenet.search.space.candidates import Candidate, Facts

STATUS, REPORT = 10_000, 2_000
EPOCHS, SEEDS = 25, 4
NOISE = 0.01


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        searched(folder / "small", 20)
        for verb in ("status", "results"):
            cpu("search", verb, folder / "small")
        print("| what | candidates | CPU, s | page, MB |")
        print("|---|---|---|---|")
        searched(folder / "status", STATUS, done=0.5)
        print(f"| `search status` | {STATUS:,} | {cpu('search', 'status', folder / 'status'):.2f} | |", flush=True)
        for size in [int(word) for word in sys.argv[1:]] or [REPORT]:
            searched(folder / "report", size)
            spent = cpu("search", "results", folder / "report")
            page = (folder / "report" / "report.html").stat().st_size / 1e6
            print(f"| `search results` | {size:,} | {spent:.2f} | {page:.2f} |", flush=True)


def cpu(*words: object) -> float:
    """Return the CPU seconds of a command."""
    began = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        app([str(word) for word in words], standalone_mode=False)
    return time.process_time() - began


def searched(folder: Path, size: int, done: float = 1.0) -> None:
    """Make a search of so many candidates, of which a part of the first rung, or all rungs, are done."""
    folder.mkdir()
    example = _example()
    facts = {one.name: one for one in invented(example.facts(), size)}
    board = Board(database(folder), "search", grace=60)
    plan = planned(example, facts).changed(search=board.token)
    write_plan(folder, plan)
    known = [(name, asdict(one), example.config) for name, one in facts.items()]
    aim = Aim(schedule=plan.schedule, factors=dict.fromkeys(facts, 1.0))
    board.begin(aim, plan=as_data(plan), request={}, candidates=known)
    draw, accuracies = np.random.default_rng(0), {name: 0.7 + one.alpha / 1000 for name, one in facts.items()}
    while waiting := board.view().waiting():
        finish(board, waiting[: int(len(waiting) * done)], accuracies, draw)
        if done < 1:
            return
        board.fill()


def finish(board: Board, entries: list[Entry], accuracies: dict[str, float], draw: np.random.Generator) -> None:
    """Give jobs a result each, and an accuracy after each epoch."""
    results, curves = [], []
    for entry in entries:
        accuracy = accuracies[entry.key[0]] + draw.normal(0, NOISE)
        results.append({"number": entry.id, "found": accuracy})
        epochs = entry.key[2] or 1
        curves += [
            {"attempt": entry.id, "epoch": epoch, "accuracy": accuracy * (1 - 0.8**epoch) / (1 - 0.8**epochs)}
            for epoch in range(1, epochs + 1)
        ]
    done = ATTEMPTS.update().where(ATTEMPTS.c.id == sql.bindparam("number"))
    done = done.values(state="done", worker="before", seconds=1.0, accuracy=sql.bindparam("found"))
    board.database.transact(lambda connection, _: connection.execute(done, results))
    board.database.add(CURVES, curves)


def invented(example: Facts, size: int) -> Iterator[Facts]:
    """Yield candidates with shares of the extra FLOPs that are drawn."""
    draw = np.random.default_rng(0)
    for depth, width, resolution in draw.dirichlet([1, 1, 1], size):
        alpha, beta, gamma = (round(float(2**power), 6) for power in (depth, width / 2, resolution / 2))
        name = f"small_resnet_a{alpha}_b{beta}_g{gamma}"
        yield replace(example, name=name, alpha=alpha, beta=beta, gamma=gamma, flops_ratio=draw.uniform(1.98, 2.02))


def planned(example: Candidate, facts: dict[str, Facts]) -> Plan:
    """Return the plan of a search."""
    base = load("small_resnet")
    return Plan(
        schema="scalenet-search/1",
        base=base.name,
        model=base.model,
        rounding=base.rounding,
        grid=load_grid("small"),
        schedule=halving(len(facts), seeds=range(SEEDS), budget=EPOCHS),
        evaluate="judges:judge",
        candidates=dict.fromkeys(facts, digest(example.config.model)),
        versions={"scalenet": __version__},
    )


def _example() -> Candidate:
    return enumerate_candidates(load("small_resnet"), load_grid("small")).candidates[0]


if __name__ == "__main__":
    main()
