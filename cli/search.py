"""`scalenet search`: look at a search from anywhere, stop it, go on with it, and print what it found."""

from __future__ import annotations

import os
from contextlib import chdir
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from scalenet.arch.words import number

from .errors import plain_errors
from .grid_search import Options, finish, search
from .options import FOLDER, Json, SearchName, Storage, place, search_command
from .output import emit, emit_json, note
from .search_report import FORMATS, progress_line, records, standing_rows, title

if TYPE_CHECKING:
    from scalenet.search.answer.outcome import Outcome
    from scalenet.search.queue.jobs import Entry, View
    from scalenet.search.study import Study

SearchFolder: TypeAlias = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the search.")]

app = typer.Typer(
    help="Look at a search from anywhere, stop it, go on with it, and print what it found.", no_args_is_help=True
)


@app.command()
@plain_errors
def status(folder: SearchFolder = FOLDER, storage: Storage = None, name: SearchName = None, json: Json = False) -> None:
    """Say how far a search is.

    Its rungs, the best candidates so far, and what each worker is at.
    """
    study = _opened(folder, storage, name)
    view, stopped = study.board.view(), study.board.stopped()
    if json:
        emit_json(_status(study, view, stopped=stopped))
        return
    workers = len(view.running())
    note(progress_line(view, max(1, workers)) + (" · asked to stop" if stopped and not view.finished else ""))
    for entry in view.running():
        note(f"{entry.worker}: {entry.job}, {100 * entry.share:.0f} %")
    for entry in view.failed():
        note(f"failed: {entry.error or f'its worker died {entry.attempt + 1} times'}")
    _emit_standings(study.outcome(view))


@app.command()
@plain_errors
def stop(folder: SearchFolder = FOLDER, storage: Storage = None, name: SearchName = None) -> None:
    """Ask all processes of a search to end.

    They give back what they are at, on all machines, and `resume` goes on from there.
    """
    study = _opened(folder, storage, name)
    view = study.board.view()
    if view.finished:
        note("the search is finished")
        return
    study.place.board().stop()
    note(f"asked {number(len(view.running()), 'worker')} to stop; {search_command('resume', study)} goes on")


@app.command()
@plain_errors
def resume(
    folder: SearchFolder = FOLDER,
    storage: Storage = None,
    name: SearchName = None,
    more_seeds: Annotated[int, typer.Option(min=0, help="So many more seeds for the winner and its ties.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Trainings at a time here.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, or cuda:0,cuda:2.")] = None,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the images are on this machine.")] = None,
    json: Json = False,
) -> None:
    """Go on with a search, or take part in it.

    As it was asked for; --more-seeds then tells its ties from the winner.
    """
    folder = folder.absolute()
    where, study = place(folder, storage, name), _opened(folder, storage, name)
    request = study.board.request()
    options = _options(request["options"])
    options = replace(
        options,
        workers=workers or options.workers,
        device=device or options.device,
        data=options.data if data is None else str(data.absolute()),
    )
    begun = Path(request["directory"])
    with chdir(begun if begun.is_dir() else "."):
        search(options, folder, replace(where, grace=options.grace), more=more_seeds, json=json)


@app.command()
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
    study = _opened(folder, storage, name)
    outcome = study.outcome()
    if jobs:
        rows = records(outcome.jobs())
        emit_json(rows) if json else emit(rows, formats=FORMATS)
    elif outcome.view.finished:
        finish(study, write=_may_write(folder), json=json)
    elif json:
        emit_json({"candidates": records(outcome.table())})  # as a finished search has it, without an answer
    else:
        _emit_standings(outcome)


def _options(recorded: dict[str, Any]) -> Options:
    """Return what a search was asked for; raise ScalenetError where another version of scalenet asked."""
    from scalenet.arch.errors import ScalenetError

    known = {field.name for field in fields(Options)}
    if other := sorted(known ^ recorded.keys()):
        raise ScalenetError(
            f"the search was begun by another version of scalenet: {', '.join(other)} differ",
            hint="the command that began it goes on with it, and `search results` reads it",
        )
    return Options(**recorded)


def _emit_standings(outcome: Outcome) -> None:
    emit(standing_rows(outcome), title=title(outcome.plan), formats=FORMATS, hidden=("name",))


def _may_write(folder: Path) -> bool:
    """Return whether a search's folder is here and may be written to; say so where not."""
    here = (folder / "search.yaml").is_file()
    may = here and os.access(folder, os.W_OK)
    if not may:
        note(f"{folder} {'may not be written to' if here else 'is not its folder'}: no files are written")
    return may


def _opened(folder: Path, storage: str | None, name: str | None) -> Study:
    from scalenet.arch.errors import ScalenetError
    from scalenet.search.study import load_study

    if storage is None and not (folder / "search.db").exists():
        raise ScalenetError(
            f"{folder}: holds no search", hint="its storage is named with --storage, its name with --name"
        )
    return load_study(folder, place(folder, storage, name))


def _status(study: Study, view: View, *, stopped: bool) -> dict[str, Any]:
    outcome = study.outcome(view)
    rungs = [
        {"candidates": len(names), "seeds": len(rung.seeds), "budget": rung.budget} for rung, names in outcome.rungs
    ]
    return {
        "name": study.place.name,
        "finished": view.finished,
        "stopped": stopped,
        "rungs": rungs,
        "of": len(view.aim.schedule.rungs),
        "done": len(view.done()),
        "failed": len(view.failed()),
        "planned": view.planned(),
        "running": [_running(entry) for entry in view.running()],
        "seconds_left": view.seconds_left(max(1, len(view.running()))),
        "candidates": standing_rows(outcome),
    }


def _running(entry: Entry) -> dict[str, Any]:
    candidate, seed, budget = entry.key
    own = {"worker": entry.worker, "share": entry.share, "attempt": entry.attempt + 1}
    return {"candidate": candidate, "seed": seed, "budget": budget, **own}
