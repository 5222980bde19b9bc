"""A search is run: what judges candidates is made, the study is begun or gone on with, and all that is left is trained.

The trainings are in worker processes, or in this one.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from scalenet.arch.errors import ScalenetError
from scalenet.arch.words import duration, number
from scalenet.search.answer.trainings import shares_of
from scalenet.search.clock import Clock
from scalenet.search.evaluators import Given
from scalenet.search.folder import database
from scalenet.search.foresight import blunt, foresight
from scalenet.search.images import images_of, read_images, scorer, trainers
from scalenet.search.queue.database import PATIENCE
from scalenet.search.queue.jobs import Aim, View
from scalenet.search.queue.placement import environments
from scalenet.search.rungs.race import Race
from scalenet.search.status import Status, Watch
from scalenet.search.study import check, new_study

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from scalenet.search.asked import Asked, Bar
    from scalenet.search.evaluators import Evaluator
    from scalenet.search.plan import Plan
    from scalenet.search.queue.board import Place
    from scalenet.search.study import Study
    from scalenet.training.data import Splits


@dataclass(frozen=True)
class Ears:
    """Who hears of a run: `say` a line for each thing that happens, `bar` how far what takes a while is, and
    `progress` how far the search is, about once a second.
    """

    say: Callable[[str], None]
    bar: Bar
    progress: Callable[[Status], object] | None


@dataclass(frozen=True)
class Judges:
    """What judges candidates: an evaluator for each worker and its environment, the plan, and the images if it has any.

    `devices` are those of the workers.
    """

    evaluators: Sequence[Evaluator]
    environments: Sequence[Mapping[str, str]]
    plan: Plan
    devices: Sequence[str]
    splits: Splits | None


def judges(asked: Asked, ears: Ears) -> Judges:
    """Return what judges the candidates; scalenet's own training reads its images."""
    devices = asked.workers()
    if asked.evaluator is not None:
        shown = environments(asked.device(), len(devices))
        return Judges([asked.evaluator] * len(devices), shown, asked.plan(), devices, None)
    import torch  # noqa: PLC0415 - slow to import

    from scalenet.training.data import stakes  # noqa: PLC0415
    from scalenet.training.devices import usable_device  # noqa: PLC0415

    for device in dict.fromkeys(devices):
        usable_device(device)
    held = 1 if asked.request.folds is None else 2  # a worker has them once more, divided by the fold
    splits = read_images(asked, 1 + held * len(devices), say=ears.say, bar=ears.bar)
    ears.say(stakes(splits))
    for line in blunt(asked):
        ears.say(line)
    plan = asked.plan(images_of(splits, asked.request.folds), {"torch": torch.__version__})
    return Judges(trainers(asked, devices, splits), [{} for _ in devices], plan, devices, splits)


def begin(
    asked: Asked, judged: Judges, folder: Path, place: Place, ears: Ears, *, more_seeds: int = 0, force: bool = False
) -> Study:
    """Begin a search, go on with it or join it; where it is refused nothing is left behind."""
    candidates, evaluator = asked.candidates, judged.evaluators[0]
    ready = partial(check, evaluator, folder, candidates)
    ready(judged.plan)
    plan = judged.plan.changed(sources=evaluator.sources())
    request = {"options": asked.request.recorded(), "directory": str(Path.cwd()), "folder": str(folder.absolute())}
    with _made(folder, place):
        study = new_study(folder, plan, candidates, place, place.board(patience=PATIENCE, say=ears.say))
        study.begin(candidates, more=more_seeds, force=force, ready=ready, say=ears.say, request=request)
    if asked.request.proxies:
        study.score(candidates, scorer(asked, judged.splits, ears.say))
    return study


def evaluate(study: Study, asked: Asked, judged: Judges, ears: Ears, *, apart: bool) -> None:
    """Train all that is left, in processes of their own or in this one; KeyboardInterrupt gives back what runs."""
    workers = len(judged.evaluators)
    view = study.board.view()
    images = None if judged.splits is None else len(judged.splits.train)
    epoch = None if view.done() or view.finished else asked.seconds_an_epoch(images)
    limit = study.plan.schedule.time_limit
    clock = None if limit is None else Clock(study, view, workers, limit, ears.say)
    watch = Watch(study, workers=workers, epoch=epoch, clock=clock, say=ears.say, progress=ears.progress)
    ears.say(f"{watch.status(view)}, in {study.folder}")
    threads = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(asked.request.threads)}
    shown = [threads | dict(one) for one in judged.environments]
    try:
        if apart:
            study.run(judged.evaluators, shown, look=watch, say=ears.say)
        else:
            with _environment(shown[0]), _as_before(judged):
                study.run_here(judged.evaluators[0], look=watch)
    except KeyboardInterrupt:
        ears.say(_stopped(study))
        raise


def is_apart(asked: Asked, workers: int, apart: bool | None) -> bool:
    """Return whether trainings are in processes of their own: unless there is one worker, or it is asked otherwise."""
    if isinstance(asked.evaluator, Given):
        if workers > 1 or apart:
            raise ScalenetError(
                f"{asked.evaluator}: only this process knows this function",
                hint="one worker calls it here; for several, write it into a module of its own and import it",
            )
        return False
    if apart is False and workers > 1:
        raise ScalenetError(f"{number(workers, 'worker')} have a process each", hint="one worker may train in this one")
    return workers > 1 if apart is None else apart


def expected(asked: Asked) -> Iterator[str]:
    """Yield about how long the search will take on this machine, and what it will tell, in words."""
    facts = {candidate.name: candidate.facts() for candidate in asked.candidates}
    factors, shares = dict.fromkeys(facts, 1.0), shares_of(facts)
    aim = Aim(schedule=asked.schedule(), factors=factors, shares=shares, pilot=asked.pilot)
    view, workers, epoch = View(aim, {}), len(asked.workers()), asked.seconds_an_epoch()
    seconds, limit = view.seconds_left(workers, epoch), aim.schedule.time_limit
    if limit is not None and seconds is not None:
        seconds = min(seconds, limit)
    most = "at most " if isinstance(aim.schedule, Race) else ""
    trainings = most + number(view.planned(), "training")
    if view.trial is not None:
        trainings += f", {len(view.trial.needed)} of them the pilot's"
    if seconds is None:
        yield f"{trainings}; how long they take is unknown before the first training"
        return
    yield f"{trainings}, about {duration(seconds)} with {number(workers, 'worker')} here, going by one timed step"
    share = 1.0
    if isinstance(aim.schedule, Race) and limit is not None and epoch is not None:
        share = aim.schedule.share_of(limit * workers / epoch)
    yield from foresight(asked, share)


def _stopped(study: Study) -> str:
    """Return what is left of a search that was stopped, in words."""
    if not study.board.there():
        return f"stopped; {study.board.database.place} was removed meanwhile, and what was finished with it"
    where = study.folder if study.folder.is_dir() else study.board.database.place
    return f"stopped; what is finished is kept in {where}, and the same command goes on from there"


@contextmanager
def _made(folder: Path, place: Place) -> Iterator[None]:
    """Make a folder, and take it and an empty database away again where the search is not begun."""
    ours = not folder.exists()
    file = folder / "search.db" if place.url == database(folder) else None
    empty = file is not None and not file.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScalenetError(f"{folder}: cannot be made: {error.strerror}") from None
    try:
        yield
    except BaseException:
        if empty:
            _remove_unless_begun(folder, place)
        raise
    finally:
        if ours and not any(folder.iterdir()):
            folder.rmdir()


def _remove_unless_begun(folder: Path, place: Place) -> None:
    """Remove the database of a folder where no search was begun in it."""
    with suppress(ScalenetError):
        if place.look().plan() is not None:
            return
    for name in ("search.db", "search.db-wal", "search.db-shm"):
        (folder / name).unlink(missing_ok=True)


@contextmanager
def _environment(names: Mapping[str, str]) -> Iterator[None]:
    """Have these variables in the environment of what is started in here."""
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextmanager
def _as_before(judged: Judges) -> Iterator[None]:
    """Leave torch's threads and random state as they are, where trainings are in this process."""
    if judged.splits is None:
        yield
        return
    import torch  # noqa: PLC0415

    from scalenet.model.threads import on_threads  # noqa: PLC0415

    with on_threads(torch.get_num_threads()), torch.random.fork_rng():
        yield
