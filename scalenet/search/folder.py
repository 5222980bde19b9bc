"""The folder of a search: what people and other programs read.

It holds `search.yaml` (the plan), `base.yaml` (the baseline as it was searched), `candidates/NAME.yaml` (the config of
each candidate that is trained), `jobs/NAME_seedN/` (logs and checkpoints), `models/NAME_seedN/` (trained networks,
where they are kept), `proxies.csv` (training-free scores, where they are wanted), `candidates.csv`, `jobs.csv` and
`curves.csv` (what is known so far) and, once all is evaluated, `coefficients.yaml`, `report.html` and `plots/`. The
results themselves are in the storage, which by default is `search.db` in the folder.
"""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from sqlalchemy import URL

from scalenet.arch import files, strict_yaml
from scalenet.arch.config import as_data, as_record, dumps, read_record, save
from scalenet.arch.errors import ScalenetError
from scalenet.arch.files import read_text, write_text
from scalenet.arch.results import Results
from scalenet.arch.spec import Architecture
from scalenet.arch.words import quoted
from scalenet.search.evaluators import Job
from scalenet.search.plan import Plan
from scalenet.search.queue.board import Place
from scalenet.search.queue.storage_url import shown
from scalenet.search.request import FOLDER
from scalenet.search.rungs.pilot import Pilot

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from scalenet.arch.config import Config
    from scalenet.search.queue.board import Board
    from scalenet.search.rungs.schedule import Key

OWN_NAME = "search"
"""What a search is called in a database of its own."""

DATABASE = "search.db"
"""The file of that database."""

MODELS = "models"
"""The folder of the trained networks that are kept, each a folder as `scalenet.train` writes one."""

WEIGHTS = "model.safetensors"
"""The file that such a folder has once its network is whole."""

PlotName: TypeAlias = Literal["shares", "cost", "curves", "ties"]
"""What the files of a report's plots are called."""

RESULTS = Results(
    "search",
    "search.yaml",
    (
        "search.yaml",
        "base.yaml",
        "proxies.csv",
        "candidates.csv",
        "jobs.csv",
        "curves.csv",
        "coefficients.yaml",
        "report.html",
        *(f"plots/{name}.{form}" for name in get_args(PlotName) for form in ("png", "svg")),
    ),
)
"""The files of a search, beside its folders `candidates`, `jobs` and `models`."""


def database(folder: Path, file: str = DATABASE) -> str:
    """Return the URL of the storage that a search has unless it is given one."""
    return URL.create("sqlite", database=str(folder.absolute() / file)).render_as_string()


def place_of(folder: Path, storage: str | None, name: str | None, grace: int = 60, *, file: str = DATABASE) -> Place:
    """Return where the board of a search is, as commands name it."""
    if storage is None:
        return Place(database(folder, file), name or OWN_NAME, grace)
    if name is None and folder == FOLDER:
        raise ScalenetError(
            "others may use this storage too", hint="name the search with --name, or its folder with -o"
        )
    return Place(storage, name or folder.absolute().name, grace)


def command(folder: Path, place: Place, verb: str, *words: str, file: str = DATABASE) -> str:
    """Return the command that does something with a search, as a shell takes it."""
    own = place.url == database(folder, file)
    storage = [] if own else ["--storage", shown(place.url)]
    usual = OWN_NAME if own else folder.absolute().name
    name = [] if place.name == usual else ["--name", place.name]
    return " ".join(["scalenet search", verb, quoted(folder), *map(quoted, [*storage, *name, *words])])


@contextmanager
def made(folder: Path, place: Place, file: str = DATABASE) -> Iterator[None]:
    """Make a folder, and take it and an empty database away again where nothing is begun."""
    ours = not folder.exists()
    empty = place.url == database(folder, file) and not (folder / file).exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScalenetError(f"{folder}: cannot be made: {error.strerror}") from None
    try:
        yield
    except BaseException:
        if empty:
            _remove_unless_begun(folder / file, place)
        raise
    finally:
        if ours and not any(folder.iterdir()):
            folder.rmdir()


def _remove_unless_begun(file: Path, place: Place) -> None:
    """Remove a database where nothing was begun in it."""
    with suppress(ScalenetError):
        if place.look().plan() is not None:
            return
    for end in ("", "-wal", "-shm"):
        file.with_name(f"{file.name}{end}").unlink(missing_ok=True)


def check_shared(
    folder: Path,
    place: Place,
    board: Board,
    say: Callable[[str], None],
    *,
    opened: bool = False,
    results: Results = RESULTS,
    file: str = DATABASE,
) -> None:
    """Refuse a folder without files of the search that a shared storage has by this name, where its own is there.

    Folders of two projects may be called alike, and so would be their searches. The record in a folder has the search's
    mark, wherever the folder was moved to or is mounted. `say` hears whose results count where the search's own folder
    is not to be seen, or the search was `opened`: that goes on in any folder.
    """
    begun = (board.request() or {}).get("folder")
    if begun in (None, str(folder.absolute())) or place.url == database(folder, file):
        return
    if _has_mark(folder / results.record, board.token):
        return
    where = f"{board.database.place}, {place.name!r}, is the {results.kind} in {begun}, of which {folder} has no files"
    if not opened and _has_mark(Path(begun) / results.record, board.token):
        hint = "give this one another --name, or name that folder to go on with that one"
        raise ScalenetError(where, hint=hint)
    say(f"{where}: its results count")


def _has_mark(record: Path, mark: str) -> bool:
    """Return whether a record names a search by its mark; those of earlier versions' studies name none."""
    try:
        text = record.read_text(encoding="utf-8", errors="replace")
    except PermissionError:  # somebody else's
        return True
    except OSError:
        return False
    return mark in text or "\nsearch: " not in text


def recorded_plan(folder: Path) -> Plan | None:
    """Return the plan of the search that a folder holds, if it holds one.

    Raise ScalenetError where files lie there that a search would write over.
    """
    file = RESULTS.recorded(folder)
    return None if file is None else read_record(Plan, read_text(file, str(file)), str(file))


def write_plan(folder: Path, plan: Plan) -> None:
    """Write the plan and the baseline."""
    write_text(folder / "search.yaml", strict_yaml.dump(as_data(plan)))
    save(Architecture(plan.base, plan.network, plan.grid.rounding or plan.rounding), folder / "base.yaml")


def sweep(folder: Path) -> None:
    """Remove files that killed processes left half-written."""
    RESULTS.sweep(folder)
    sweep_networks(folder)


def sweep_networks(folder: Path) -> None:
    """Remove configs and weights that killed processes left half-written."""
    files.sweep(folder, "candidates/*.yaml")
    for model in (folder / MODELS).glob("*_seed*"):
        files.sweep(model, WEIGHTS)


def forget_answer(folder: Path) -> None:
    """Remove what a search found, which is now asked for something else."""
    for name in ("coefficients.yaml", "report.html"):
        (folder / name).unlink(missing_ok=True)


def discard(folder: Path, names: Collection[str]) -> None:
    """Remove the files of the search that a folder holds, and nothing else.

    Its trainings are those of its plan, or `names` where that cannot be read.
    """
    file = folder / "search.yaml"
    if not file.is_file():
        return
    with suppress(ScalenetError, KeyError, TypeError):  # broken, or another version's
        plan = strict_yaml.parse(read_text(file, str(file)), str(file))[0]
        pilot = as_record(Pilot, plan["pilot"], str(file)).names if "pilot" in plan else {}
        names = {*plan["candidates"], *pilot}
    discard_networks(folder, names)
    RESULTS.discard(folder)
    _remove_empty(folder, "plots")


def discard_networks(folder: Path, names: Collection[str]) -> None:
    """Remove the configs, jobs and trained networks of these names from a folder."""
    for file in (folder / "candidates").glob("*.yaml"):
        if file.stem in names:
            file.unlink()
    for job in (*(folder / "jobs").glob("*"), *(folder / MODELS).glob("*")):
        if (match := re.fullmatch(r"(.+)_seed\d+", job.name)) and match[1] in names:
            shutil.rmtree(job) if job.is_dir() and not job.is_symlink() else job.unlink()
    _remove_empty(folder, "candidates", "jobs", MODELS)


def _remove_empty(folder: Path, *names: str) -> None:
    for below in (folder / name for name in names):
        if below.is_dir() and not any(below.iterdir()):
            below.rmdir()


def called(candidate: str, seed: int) -> str:
    """Return what the folder of a candidate's training with a seed is called."""
    return f"{candidate}_seed{seed}"


@dataclass(frozen=True, slots=True)
class Jobs:
    """Makes the jobs of a search in a folder; `config` finds a candidate's, and `rate` its learning rate."""

    folder: Path
    config: Callable[[str], Config]
    rate: Callable[[str], float | None] = lambda _: None

    def __post_init__(self) -> None:
        """Keep the folder as it is found from anywhere: an evaluator may change the working directory."""
        object.__setattr__(self, "folder", self.folder.absolute())

    def __call__(self, key: Key) -> Job:
        """Return a job."""
        candidate, seed, budget = key
        config = self.config(candidate)
        own = config.name == candidate  # the pilot's trainings have the baseline's
        return Job(
            candidate=candidate,
            config=config,
            file=self.folder / (f"candidates/{candidate}.yaml" if own else "base.yaml"),
            seed=seed,
            budget=budget,
            folder=self.folder / "jobs" / called(candidate, seed),
            model=self.folder / MODELS / called(candidate, seed),
            learning_rate=self.rate(candidate),
        )

    def prepared(self, key: Key) -> Job:
        """Return a job whose candidate's file lies there."""
        job = self(key)
        if not job.file.exists():
            write_text(job.file, dumps(job.config), within=self.folder)
        return job
