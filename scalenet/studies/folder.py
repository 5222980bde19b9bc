"""The folder of a study: what people and other programs read.

It holds `study.yaml` (the plan), `candidates/NAME.yaml` (the config of each network), `jobs/NAME_seedN/` (checkpoints,
and which held-out images were right), `models/NAME_seedN/` (trained networks, where they are kept), `latency.csv` and,
as far as it is known, `results.csv`, `jobs.csv`, `slopes.csv`, `comparisons.csv`, the same as LaTeX, `figures/` and
`report.html`. The results themselves are in the storage, which by default is `study.db` in the folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalenet.arch.errors import ScalenetError
from scalenet.arch.results import Results
from scalenet.search.folder import database, discard_networks, sweep_networks
from scalenet.search.queue.board import Place

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

DATABASE = "study.db"
"""The file of the storage that a study has unless it is given one."""

OWN_NAME = "study"
"""What a study is called in a database of its own."""

FIGURES = ("accuracy", "costs")
FORMS = ("pdf", "svg", "png")
TABLES = ("results", "slopes", "comparisons")

RESULTS = Results(
    "study",
    "study.yaml",
    (
        "study.yaml",
        "jobs.csv",
        "latency.csv",
        "report.html",
        *(f"{name}.{form}" for name in TABLES for form in ("csv", "tex")),
        *(f"figures/{name}.{form}" for name in FIGURES for form in FORMS),
    ),
)
"""The files of a study, beside its folders `candidates`, `jobs` and `models`."""


def place_of(folder: Path, storage: str | None, name: str | None, grace: int = 60) -> Place:
    """Return where the board of a study is, as commands name it."""
    if storage is None:
        if name is not None:
            raise ScalenetError("--name is the study's name in a --storage", hint="-o names another folder")
        return Place(database(folder, DATABASE), OWN_NAME, grace)
    return Place(storage, name or folder.absolute().name, grace)


def sweep(folder: Path) -> None:
    """Remove files that killed processes left half-written."""
    RESULTS.sweep(folder)
    sweep_networks(folder)


def discard(folder: Path, names: Collection[str]) -> None:
    """Remove the files of a study whose networks have these names, and nothing else."""
    discard_networks(folder, names)
    RESULTS.discard(folder)
