"""A search is run: what judges candidates is made, the study is begun or gone on with, and all that is left is trained.

The trainings are in worker processes, or in this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from scalenet.arch.words import duration, hush, number
from scalenet.search.answer.trainings import shares_of
from scalenet.search.clock import Clock
from scalenet.search.evaluators.function import sources_of
from scalenet.search.folder import check_shared, made
from scalenet.search.foresight import blunt, foresight
from scalenet.search.images import scorer
from scalenet.search.judges import Judges, find_judges, train_all
from scalenet.search.keeping import missing
from scalenet.search.queue.database import PATIENCE
from scalenet.search.queue.jobs import Aim, View
from scalenet.search.rungs.race import Race
from scalenet.search.status import Status, Watch
from scalenet.search.study import check, new_study

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scalenet.search.asked import Asked
    from scalenet.search.queue.board import Place
    from scalenet.search.queue.presence import Presence
    from scalenet.search.setting import Bar
    from scalenet.search.study import Study


@dataclass(frozen=True)
class Ears:
    """Who hears of a run: `say` a line for each thing that happens, `bar` how far what takes a while is, and
    `progress` how far the search is, about once a second.
    """

    say: Callable[[str], None]
    bar: Bar
    progress: Callable[[Status], object] | None


def judges(asked: Asked, ears: Ears) -> Judges:
    """Return what judges the candidates, and say where the images are too few to tell them apart."""
    found = find_judges(asked, say=ears.say, bar=ears.bar)
    for line in blunt(asked):
        ears.say(line)
    return found


def begin(
    asked: Asked,
    judged: Judges,
    folder: Path,
    place: Place,
    ears: Ears,
    *,
    opened: bool = False,
    more_seeds: int = 0,
    force: bool = False,
    here: Presence | None = None,
) -> Study:
    """Begin a search, go on with it, as one that was `opened` does, or join it, and be `here`; where it is refused
    nothing is left behind.
    """
    candidates, evaluator = asked.candidates, judged.evaluators[0]
    ready = partial(check, evaluator, folder, candidates)
    plan = asked.plan(judged.images(asked), judged.versions())
    ready(plan)
    plan = plan.changed(sources=evaluator.sources() | sources_of(asked.base.network))
    request = {"options": asked.request.recorded(), "directory": str(Path.cwd()), "folder": str(folder.absolute())}
    with made(folder, place):
        study = new_study(folder, plan, candidates, place, place.board(patience=PATIENCE, say=ears.say))
        check_shared(folder, place, study.board, hush if force else ears.say, opened=opened)
        study.begin(candidates, more=more_seeds, force=force, ready=ready, say=ears.say, request=request, here=here)
    if asked.request.proxies:
        study.score(candidates, scorer(asked, judged.splits, ears.say))
    return study


def evaluate(study: Study, asked: Asked, judged: Judges, ears: Ears, here: Presence, *, apart: bool) -> None:
    """Train all that is left, in processes of their own or in this one; KeyboardInterrupt gives back what runs."""
    workers = len(judged.evaluators)
    view = study.board.view()
    images = None if judged.splits is None else len(judged.splits.train)
    epoch = None if view.done() or view.finished else asked.seconds_an_epoch(images)
    limit = study.plan.schedule.time_limit
    clock = None if limit is None else Clock(study, here, limit, ears.say)
    watch = Watch(study, workers=workers, epoch=epoch, clock=clock, say=ears.say, progress=ears.progress)
    ears.say(f"{watch.status(view)}, in {study.folder}")
    for line in missing(asked, study.folder, view):
        ears.say(line)
    threads = asked.request.threads
    train_all(study.board, study.place, study.folder, judged, threads=threads, apart=apart, look=watch, say=ears.say)


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
