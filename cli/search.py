"""`scalenet search`: look at a search from anywhere, stop it, go on with it, and print what it found."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from scalenet.arch.words import number
from scalenet.search.request import FOLDER

from .errors import INTERRUPTED, plain_errors
from .grid_search import finish, run
from .headings import Command
from .options import Json, SearchName, Storage
from .output import emit, emit_json, emit_lines, note
from .search_report import FORMATS, GREEK, emit_baseline, emit_standings, records, watch

if TYPE_CHECKING:
    from scalenet.search.baseline.hunting import BaselineSearch
    from scalenet.search.search import Search

BEST = 20
"""Candidates that `status` lists."""

SearchFolder: TypeAlias = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the search.")]

app = typer.Typer(
    help="Look at a search from anywhere, stop it, go on with it, and print what it found.", no_args_is_help=True
)


@app.command("list", cls=Command)
@plain_errors
def list_searches(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that searches lie below.")] = Path("runs"),
    storage: Storage = None,
    json: Json = False,
) -> None:
    """List the searches below a folder, or those of a --storage: where they are, how far, and the best so far."""
    from scalenet.search.calls import searches
    from scalenet.search.queue.storage_url import shown

    rows = [_summary(search) for search in searches(folder, storage=storage)]
    if json:
        emit_json(rows)
    elif rows:
        emit(rows, formats=FORMATS)
    else:
        note(f"{folder if storage is None else shown(storage)}: holds no search")


@app.command(cls=Command)
@plain_errors
def status(folder: SearchFolder = FOLDER, storage: Storage = None, name: SearchName = None, json: Json = False) -> None:
    """Say how far a search is.

    Its rungs, the best candidates so far, and what each worker is at.
    """
    search = _opened(folder, storage, name)
    found = search.status()
    if json:
        emit_json(found.data())
        return
    note(str(found))
    if (said := found.about_rate()) is not None:
        note(said)
    for entry in found.view.running():
        note(f"{entry.worker}: {entry.job}, {100 * entry.share:.0f} %")
    for entry in found.view.failed():
        note(f"failed: {entry.error or f'its worker died {entry.attempt + 1} times'}")
    emit_standings(found, BEST)
    if (others := found.candidates - BEST) > 0:
        note(f"and {number(others, 'candidate')} more: {search.command('results')} lists all")


@app.command(cls=Command)
@plain_errors
def stop(folder: SearchFolder = FOLDER, storage: Storage = None, name: SearchName = None) -> None:
    """Ask all processes of a search to end.

    They give back what they are at, on all machines, and `resume` goes on from there.
    """
    search = _opened(folder, storage, name)
    if search.status().finished:
        note("the search is finished")
        return
    note(f"asked {number(search.stop(), 'worker')} to stop; {search.command('resume')} goes on")


@app.command(cls=Command)
@plain_errors
def resume(
    folder: SearchFolder = FOLDER,
    storage: Storage = None,
    name: SearchName = None,
    more_seeds: Annotated[int, typer.Option(min=0, help="So many more seeds for the winner and its ties.")] = 0,
    spend: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Go on until so much is trained of all to the end."),
    ] = None,
    within: Annotated[
        float | None, typer.Option(metavar="POINTS", help="Go on until no candidate can be better by more points.")
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option(metavar="TIME", help="Go on until it took so long in all: 30min.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, envvar="SCALENET_WORKERS", help="Trainings at a time here.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(envvar="SCALENET_DEVICE", help="cpu, cuda, cuda:1, or cuda:0,cuda:2.")
    ] = None,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the images are on this machine.")] = None,
    json: Json = False,
) -> None:
    """Go on with a search, or take part in it.

    As it was asked for, or for longer; --more-seeds tells its ties from the winner.
    """
    from scalenet.search.search import Search

    data = None if data is None else data.absolute()
    search = _opened(folder.absolute(), storage, name)
    here: dict[str, Any] = {"workers": workers, "device": device, "data": data, "time_limit": time_limit}
    own = {"more_seeds": more_seeds, "spend": spend, "within": within}
    if isinstance(search, Search):
        run(search, **here, **own, json=json)
        return
    _refuse([option for option, value in own.items() if value])
    with watch() as ears:
        search.run(**here, apart=True, say=ears["say"], bar=ears["bar"])
    _finish(search, json=json)


class Engine(StrEnum):
    """Who starts processes elsewhere."""

    slurm = "slurm"
    local = "local"


@app.command(cls=Command)
@plain_errors
def workers(
    folder: SearchFolder = FOLDER,
    launch: Annotated[Engine, typer.Option("--launch", help="Who starts them: SLURM, or this machine.")] = Engine.slurm,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Jobs to start.")] = 1,
    launch_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="Of submitit: timeout_min=60, gpus_per_node=1, slurm_partition=gpu. Repeatable."
        ),
    ] = None,
    storage: Storage = None,
    name: SearchName = None,
    workers: Annotated[int, typer.Option(min=1, help="Trainings at a time in each job.")] = 1,
    device: Annotated[str | None, typer.Option(help="Where they train: cpu, cuda.")] = None,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the images are on their machines.")] = None,
) -> None:
    """Start jobs elsewhere that take part in a search.

    Prints their numbers. `grid-search --begin` begins a search for them, `status` shows them at work, `stop` ends them.
    """
    search = _opened(folder, storage, name)
    if search.status().finished:
        note("the search is finished")
        return
    options = dict(map(_launch_option, launch_option or ()))
    data = None if data is None else data.absolute()
    emit_lines(search.launch(launch.value, count, workers=workers, device=device, data=data, options=options))
    note(f"{number(count, 'job')} started, logs in {folder / 'workers'}; {search.command('status')} shows them")


def _launch_option(text: str) -> tuple[str, Any]:
    """Return name and value of an option for submitit: a number or other JSON, or else text."""
    import json

    from scalenet.arch.errors import ScalenetError

    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ScalenetError(f"--launch-option {text}: no KEY=VALUE", hint="such as slurm_partition=gpu")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


@app.command(cls=Command)
@plain_errors
def results(
    folder: SearchFolder = FOLDER,
    storage: Storage = None,
    name: SearchName = None,
    jobs: Annotated[bool, typer.Option("--jobs", help="A row a training instead of a candidate.")] = False,
    json: Json = False,
) -> None:
    """Print what a search found.

    Of a finished search the files and the report are written again from its storage, where they may be.
    """
    from scalenet.search.search import Search

    search = _opened(folder, storage, name)
    found = search.status()
    if jobs:
        rows = records(search.jobs())
        emit_json(rows) if json else emit(rows, formats=FORMATS)
    elif found.finished:
        if _may_write(folder):
            note(f"report: {search.write()}")
        _finish(search, json=json)
    elif json:  # as a finished search has it, without an answer
        known = {"candidates": records(search.results())} if isinstance(search, Search) else search.outcome().data()
        emit_json(known)
    else:
        emit_standings(found)


def _opened(folder: Path, storage: str | None, name: str | None) -> Search | BaselineSearch:
    from scalenet.search.calls import open_any

    return open_any(folder, storage=storage, name=name)


def _finish(search: Search | BaselineSearch, *, json: bool) -> None:
    """Say what a search found; one that was asked to stop ends as on Ctrl-C."""
    from scalenet.search.search import Search

    if isinstance(search, Search):
        finish(search, json=json)
        return
    if not search.status().finished:
        raise typer.Exit(INTERRUPTED)
    emit_baseline(search, json=json)


def _refuse(given: list[str]) -> None:
    """Refuse options that only searches for α, β, γ take."""
    from scalenet.arch.errors import ScalenetError

    if given:
        raise ScalenetError(
            f"--{given[0].replace('_', '-')} is for searches of α, β, γ",
            hint="a search for a baseline takes --time-limit, and `baseline-search` more --trials",
        )


def _may_write(folder: Path) -> bool:
    """Return whether a search's folder is here and may be written to; say so where not."""
    here = any((folder / name).is_file() for name in ("search.yaml", "baseline-search.yaml"))
    may = here and os.access(folder, os.W_OK)
    if not may:
        note(f"{folder} {'may not be written to' if here else 'is not its folder'}: no files are written")
    return may


def _summary(search: Search | BaselineSearch) -> dict[str, Any]:
    """Return a row of a list of searches."""
    found = search.status()
    best = next(iter(found.rows(1)), {})
    state = "finished" if found.finished else "running" if found.running else "stopped" if found.stopped else "idle"
    return {
        "folder": str(search.folder),
        "name": search.name,
        "base": search.base,
        "state": state,
        "done": f"{found.done + found.failed}/{found.planned}",
        **{name: best.get(name) for name in GREEK},
        "best": best.get("accuracy"),
    }
