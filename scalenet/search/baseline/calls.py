"""A search for a baseline as one call: to ask for one, and to open one that was begun."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalenet.arch.errors import ScalenetError
from scalenet.arch.words import hush, tell
from scalenet.search.baseline.asked import ask_baseline
from scalenet.search.baseline.hunting import DATABASE, BaselineSearch
from scalenet.search.baseline.request import FOLDER, BaselineRequest
from scalenet.search.folder import place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scalenet.spaces.latencies import Latencies
    from scalenet.spaces.space import Space
    from scalenet.training.recipe import Recipe
    from scalenet.training.sources import Layout


def baseline_search(
    space: str | Path | Space = BaselineRequest.space,
    *,
    flops: int | str,
    params: int | str | None = BaselineRequest.params,
    memory: int | str | None = BaselineRequest.memory,
    latency: str | None = BaselineRequest.latency,
    latencies: str | Path | Latencies | None = BaselineRequest.latencies,
    data: str | Path | None = BaselineRequest.data,
    resolution: int | tuple[int, int] | str | None = BaselineRequest.resolution,
    classes: int | None = BaselineRequest.classes,
    evaluate: str | Callable[..., Any] = BaselineRequest.evaluate,
    images: int | None = BaselineRequest.images,
    held_out: float | None = BaselineRequest.held_out,
    layout: Layout | None = BaselineRequest.layout,
    strict: bool = BaselineRequest.strict,
    method: str = BaselineRequest.method,
    objective: str = BaselineRequest.objective,
    trials: int | None = BaselineRequest.trials,
    epochs: int | None = BaselineRequest.epochs,
    batch_size: int | None = BaselineRequest.batch_size,
    learning_rate: float | None = BaselineRequest.learning_rate,
    recipe: str | Path | Recipe | None = BaselineRequest.recipe,
    changes: Sequence[str] | Mapping[str, Any] | None = BaselineRequest.changes,
    seed: int = BaselineRequest.seed,
    seeds: int = BaselineRequest.seeds,
    time_limit: float | str | None = BaselineRequest.time_limit,
    workers: int | None = BaselineRequest.workers,
    threads: int = BaselineRequest.threads,
    device: str | None = BaselineRequest.device,
    keep_models: bool = BaselineRequest.keep_models,
    grace: int = BaselineRequest.grace,
    folder: str | Path = FOLDER,
    storage: str | None = None,
    name: str | None = None,
    force: bool = False,
    say: Callable[[str], None] | None = tell,
) -> BaselineSearch:
    """Return a search for the best member of a space at a cost; nothing is trained or written before its `run()`.

    Members of the `space` (a name of `scalenet spaces`, a file or a record) have so many `flops` ("400M±2%"), and
    at most so many `params` and bytes of `memory`, and take at most a `latency` ("12ms") by a table of `latencies`
    (a file, or what `scalenet.time_space` returns). `trials` of them get a short training, of a fifth of the `epochs`:
    random ones first, then those that the `method` proposes ("mixture", "evolution", "predictor", "random", or one of
    Optuna's samplers: "optuna:TPESampler"); the best are trained to the end with several `seeds`. `objective` "paper"
    ranks by accuracy × (FLOPs / target)^-0.07. All else is as in `grid_search`. Raise ScalenetError for what cannot be
    done.
    """
    given = locals()
    own = BaselineRequest(**{field.name: given[field.name] for field in fields(BaselineRequest)})
    folder = Path(folder)
    if name is not None and storage is None:
        raise ScalenetError("--name is the search's name in a --storage", hint="-o names another folder")
    place = place_of(folder, storage, name, grace, file=DATABASE)
    asked = ask_baseline(own)
    for text in asked.lines():
        (say or hush)(text)
    return BaselineSearch(folder, place, asked, force=force)


def open_baseline_search(
    folder: str | Path = FOLDER, *, storage: str | None = None, name: str | None = None
) -> BaselineSearch:
    """Return a search for a baseline that was begun, by this program or another one.

    It is to be looked at or gone on with. Raise ScalenetError where there is none.
    """
    folder = Path(folder)
    if storage is None and not (folder / DATABASE).exists():
        raise ScalenetError(
            f"{folder}: holds no search for a baseline",
            hint="its storage is named with --storage, its name with --name",
        )
    search = BaselineSearch(folder, place_of(folder, storage, name, file=DATABASE))
    _ = search.plan
    return search
