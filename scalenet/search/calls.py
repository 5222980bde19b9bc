"""A search as one call: to ask for one, to open one that was begun, and to find those that there are."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalenet.arch.errors import PlainError, ScalenetError
from scalenet.arch.words import hush, tell
from scalenet.search.asked import ask
from scalenet.search.baseline.calls import open_baseline_search
from scalenet.search.baseline.hunting import DATABASE as BASELINE_DATABASE
from scalenet.search.baseline.hunting import BaselineSearch
from scalenet.search.baseline.plan import is_for_baseline
from scalenet.search.folder import DATABASE, place_of
from scalenet.search.queue.board import search_names
from scalenet.search.queue.database import open_database
from scalenet.search.request import FOLDER, Request
from scalenet.search.search import Search

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from scalenet.scaling.scaler import Network
    from scalenet.search.space.grids import Grid
    from scalenet.training.recipe import Recipe
    from scalenet.training.sources import Layout


def grid_search(
    base: Network = Request.base,
    *,
    data: str | Path | None = Request.data,
    grid: str | Path | Grid | None = Request.grid,
    resolution: int | tuple[int, int] | str | None = Request.resolution,
    classes: int | None = Request.classes,
    evaluate: str | Callable[..., Any] = Request.evaluate,
    images: int | None = Request.images,
    held_out: float | None = Request.held_out,
    folds: int | None = Request.folds,
    layout: Layout | None = Request.layout,
    strict: bool = Request.strict,
    epochs: int | None = Request.epochs,
    batch_size: int | None = Request.batch_size,
    learning_rate: float | None = Request.learning_rate,
    rates: Sequence[float] | str | None = Request.rates,
    recipe: str | Path | Recipe | None = Request.recipe,
    changes: Sequence[str] | Mapping[str, Any] | None = Request.changes,
    objective: str = Request.objective,
    max_params: int | str | None = Request.max_params,
    max_activations: int | str | None = Request.max_activations,
    max_latency: float | str | None = Request.max_latency,
    seed: int = Request.seed,
    seeds: int = Request.seeds,
    halving: int | None = Request.halving,
    spend: float | None = Request.spend,
    within: float | None = Request.within,
    time_limit: float | str | None = Request.time_limit,
    workers: int | None = Request.workers,
    threads: int = Request.threads,
    device: str | None = Request.device,
    proxies: bool = Request.proxies,
    keep_models: bool = Request.keep_models,
    grace: int = Request.grace,
    folder: str | Path = FOLDER,
    storage: str | None = None,
    name: str | None = None,
    force: bool = False,
    say: Callable[[str], None] | None = tell,
) -> Search:
    """Return a search for a network's α, β, γ (STEP 1); nothing is trained or written before its `run()`.

    What is searched: the candidates that a `grid` (a name of `scalenet grids`, a file or a record) gives for `base` at
    a `resolution`, without those above `max_params` and `max_activations` (5_000_000, "5M", or "1.5x" the baseline's)
    or slower than `max_latency` here (seconds, or "30ms").

    How a candidate is judged: by scalenet's own training on the images of `data` (rendered ones without), or by what
    `evaluate` gives: a function `judge(architecture, *, budget, seed, folder, report)` that returns an accuracy, "a
    command with {config} {seed} {budget}", or "table:results.csv"; then `classes` are the baseline's. A function of the
    running script or notebook is called in this process, one of a module that can be imported in several. `images`
    limits training images, `held_out` is the share held out where none are, or `folds` hold out every image once (seed
    s holds out fold s mod `folds`), `layout` and `strict` are as in `train`,
    `recipe` and its `changes` ({"optimizer.lr": 0.1}, or text as `--set` takes it), `batch_size` and `learning_rate`
    say how it is trained. Unless the `learning_rate` is given a pilot finds it, by short trainings of the baseline at
    three `rates`: those around the recipe's, or (0.01, 0.03, 0.1), which other evaluators need to have one.

    How much is trained: `epochs` (the budget of other evaluators) with so many `seeds`, from `seed` on. A race trains
    whoever keeps the answer from being sure, until it has trained a share, `spend`, of what all candidates to the end
    take, no candidate can be better than the winner by more than `within` points, or a `time_limit` (seconds, or
    "15min") would not hold more; that also says how many epochs, unless they are given. With `halving` each rung has so
    many times fewer candidates instead. What wins: the most accurate, or by the `objective` "accuracy-flops" the best
    accuracy × (FLOPs / target)^-0.07. `proxies` adds training-free scores.
    With `keep_models` the network of each training to the end is kept, in a folder that `evaluate`, `cam` and others
    take (`Search.models`).

    This machine: `workers` at a time with `threads` each on a `device`. Where it is kept: in the `folder`, or in the
    `storage` of many machines under a `name`; a worker silent for `grace` seconds counts as dead, and `force` discards
    another search there. `say` hears what lies in the data and how many candidates there are.

    Raise ScalenetError for what cannot be done.
    """
    given = locals()
    request = Request(**{field.name: given[field.name] for field in fields(Request)})
    if name is not None and storage is None:
        raise ScalenetError("--name is the search's name in a --storage", hint="-o names another folder")
    folder = Path(folder)
    place = place_of(folder, storage, name, request.grace)
    asked = ask(request)
    for line in asked.lines():
        (say or hush)(line)
    return Search(folder, place, asked=asked, force=force)


def open_search(folder: str | Path = FOLDER, *, storage: str | None = None, name: str | None = None) -> Search:
    """Return a search that was begun, by this program or another one, to be looked at or gone on with.

    Raise ScalenetError where there is none.
    """
    found = open_any(folder, storage=storage, name=name)
    if isinstance(found, BaselineSearch):
        raise ScalenetError(f"{found.folder}: a search for a baseline", hint="`open_baseline_search` opens it")
    return found


def open_any(
    folder: str | Path = FOLDER, *, storage: str | None = None, name: str | None = None
) -> Search | BaselineSearch:
    """Return a search that was begun, for α, β, γ or for a baseline; raise ScalenetError where there is none."""
    folder = Path(folder)
    if storage is None and (folder / BASELINE_DATABASE).exists() and not (folder / DATABASE).exists():
        return open_baseline_search(folder, name=name)
    if storage is None and not (folder / DATABASE).exists():
        raise ScalenetError(
            f"{folder}: holds no search", hint="its storage is named with --storage, its name with --name"
        )
    place = place_of(folder, storage, name)
    if storage is not None and is_for_baseline(place.look().plan()):
        return BaselineSearch(folder, place)
    search = Search(folder, place)
    _ = search.plan
    return search


def searches(place: str | Path = "runs", *, storage: str | None = None) -> list[Search | BaselineSearch]:
    """Return the searches below a folder, or those of a storage, whose URL may be given as either.

    Those for a baseline are among them.

    What is no database, or one of scalenet 0.1, is left out. Raise ScalenetError where there is no such place.
    """
    url = str(place) if storage is None and "://" in str(place) else storage
    if url is not None:
        names = search_names(open_database(url, reading=True))
        return [_of_storage(url, name) for name in names]
    root = Path(place)
    if not root.is_dir():
        raise ScalenetError(f"{root}: no such directory", hint="name the folder that searches lie below")
    found: list[Search | BaselineSearch] = []
    for folder in sorted(_folders(root)):
        with suppress(PlainError):
            found.append(open_any(folder))
    return found


def _of_storage(storage: str, name: str) -> Search | BaselineSearch:
    """Return a search of a storage that many share, in the folder that began it last."""
    search = open_any(Path(name), storage=storage, name=name)
    request = search.place.look().request()
    search.folder = Path(request.get("folder", name))
    return search


def _folders(root: Path) -> Iterator[Path]:
    """Yield the folders with the database of a search, the root too; nothing lies below one."""
    for place, names, files in os.walk(root):
        if {DATABASE, BASELINE_DATABASE}.intersection(files):
            names.clear()
            yield Path(place)
        names[:] = [name for name in names if not name.startswith(".")]
