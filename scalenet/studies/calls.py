"""A study as one call: to ask for one, and to open one that was begun."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalenet.arch.errors import ScalenetError
from scalenet.arch.words import hush, tell
from scalenet.search.request import Request
from scalenet.studies.asked import ask
from scalenet.studies.folder import DATABASE, place_of
from scalenet.studies.study import Study

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scalenet.scaling.scaler import Network
    from scalenet.studies.definition import Definition
    from scalenet.training.recipe import Recipe
    from scalenet.training.sources import Layout

FOLDER = Path("runs/study")
"""Where a study is unless its folder is named."""

SEEDS = 3
"""Seeds of each network unless it is said how many."""


def study(
    study: str | Path | Definition,
    base: Network = Request.base,
    *,
    data: str | Path | None = Request.data,
    coefficients: str | Path | Mapping[str, float] | None = None,
    resolution: int | tuple[int, int] | str | None = Request.resolution,
    upsample: bool = False,
    keep_models: bool = Request.keep_models,
    classes: int | None = Request.classes,
    evaluate: str | Callable[..., Any] = Request.evaluate,
    images: int | None = Request.images,
    held_out: float | None = Request.held_out,
    layout: Layout | None = Request.layout,
    strict: bool = Request.strict,
    epochs: int | None = Request.epochs,
    batch_size: int | None = Request.batch_size,
    learning_rate: float | None = Request.learning_rate,
    rates: Sequence[float] | str | None = Request.rates,
    recipe: str | Path | Recipe | None = Request.recipe,
    changes: Sequence[str] | Mapping[str, Any] | None = Request.changes,
    seed: int = Request.seed,
    seeds: int = SEEDS,
    time_limit: float | str | None = Request.time_limit,
    workers: int | None = Request.workers,
    threads: int = Request.threads,
    device: str | None = Request.device,
    grace: int = Request.grace,
    folder: str | Path = FOLDER,
    storage: str | None = None,
    name: str | None = None,
    force: bool = False,
    say: Callable[[str], None] | None = tell,
) -> Study:
    """Return a study of a baseline: one of the paper's comparisons; nothing is trained or written before its `run()`.

    The study is a name (`single_dimension`, `width_under`, `methods`, `table7`, `family`), a file or a record: series
    of networks that grow from `base` at a `resolution` to equal FLOPs. A series of found coefficients takes those of a
    search's file, or α, β, γ by name. Networks that see more pixels than the images have are refused, unless these are
    to be blown up (`upsample`).

    Networks are trained and judged as in `grid_search`, each with so many `seeds`, all at one learning rate. Unless
    that is given a pilot finds it, by short trainings at three `rates` of a network of middle cost. A `time_limit`
    (seconds, or "30min") says how many epochs there are, unless they are given. With `keep_models` each trained network
    is kept, in a folder that `cam`, `evaluate` and others take (`Study.models`).

    Raise ScalenetError for what cannot be done.
    """
    given = locals()
    known = {field.name for field in fields(Request)}
    limit = given.pop("time_limit")
    request = Request(**{key: value for key, value in given.items() if key in known})
    folder = Path(folder)
    asked = ask(
        study,
        request,
        time_limit=limit,
        coefficients=coefficients,
        upsample=upsample,
        say=say or hush,
    )
    for line in asked.lines():
        (say or hush)(line)
    return Study(folder, place_of(folder, storage, name, grace), asked=asked, force=force)


def open_study(folder: str | Path = FOLDER, *, storage: str | None = None, name: str | None = None) -> Study:
    """Return a study that was begun, by this program or another one, to be looked at and written again.

    Raise ScalenetError where there is none.
    """
    folder = Path(folder)
    if storage is None and not (folder / DATABASE).exists():
        raise ScalenetError(f"{folder}: holds no study", hint="`scalenet study` begins one")
    found = Study(folder, place_of(folder, storage, name))
    _ = found.plan
    return found
