"""What judges the networks of a search or a study on this machine, and trains all that is left of one."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scalenet.arch.errors import ScalenetError
from scalenet.arch.words import number
from scalenet.search.evaluators import Given
from scalenet.search.images import images_of, read_images, trainers
from scalenet.search.queue.crew import work, work_alone
from scalenet.search.queue.placement import environments
from scalenet.search.queue.worker import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from scalenet.search.evaluators import Evaluator
    from scalenet.search.plan import Images
    from scalenet.search.queue.board import Board, Place
    from scalenet.search.queue.jobs import View
    from scalenet.search.setting import Bar, Setting
    from scalenet.training.data import Splits


@dataclass(frozen=True)
class Judges:
    """What judges networks: an evaluator for each worker and its environment, and the images if it has any."""

    evaluators: Sequence[Evaluator]
    environments: Sequence[Mapping[str, str]]
    splits: Splits | None = None

    def images(self, setting: Setting) -> Images | None:
        """Return what a plan says of the images and their folds; None where only the evaluator knows them."""
        return None if self.splits is None else images_of(setting, self.splits)

    def versions(self) -> dict[str, str]:
        """Return the versions of what scalenet's own training stands on."""
        if self.splits is None:
            return {}
        import torch  # noqa: PLC0415 - slow to import

        return {"torch": torch.__version__}


def find_judges(setting: Setting, *, say: Callable[[str], None], bar: Bar) -> Judges:
    """Return what judges networks; scalenet's own training reads its images.

    `say` hears how many there are, or what of a function may change unnoticed.
    """
    devices = setting.workers()
    if isinstance(setting.evaluator, Given) and (line := setting.evaluator.unnoticed()):
        say(line)
    if setting.evaluator is not None:
        return Judges([setting.evaluator] * len(devices), environments(setting.device(), len(devices)))
    from scalenet.training.data import stakes  # noqa: PLC0415
    from scalenet.training.devices import usable_device  # noqa: PLC0415

    for device in dict.fromkeys(devices):
        usable_device(device)
    held = 1 if setting.request.folds is None else 2  # a worker has them once more, divided by the fold
    splits = read_images(setting, 1 + held * len(devices), say=say, bar=bar)
    say(stakes(splits))
    return Judges(trainers(setting, devices, splits), [{} for _ in devices], splits)


def is_apart(setting: Setting, workers: int, apart: bool | None) -> bool:
    """Return whether trainings are in processes of their own: unless there is one worker, or it is asked otherwise."""
    if isinstance(setting.evaluator, Given):
        if workers > 1 or apart:
            raise ScalenetError(
                f"{setting.evaluator}: only this process knows this function",
                hint="one worker calls it here; for several, write it into a module of its own and import it",
            )
        return False
    if apart is False and workers > 1:
        raise ScalenetError(f"{number(workers, 'worker')} have a process each", hint="one worker may train in this one")
    return workers > 1 if apart is None else apart


def train_all(
    board: Board,
    place: Place,
    folder: Path,
    judges: Judges,
    *,
    threads: int,
    apart: bool,
    look: Callable[[View], None],
    say: Callable[[str], None],
) -> None:
    """Train all that is left on a board, in processes of their own or in this one.

    KeyboardInterrupt gives back what runs, and says what is left of the rest.
    """
    usual = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(threads)}
    shown = [usual | dict(one) for one in judges.environments]
    try:
        if apart:
            pairs = zip(judges.evaluators, shown, strict=True)
            work(board, [Task(place, folder, evaluator, names) for evaluator, names in pairs], look=look, say=say)
        else:
            with _environment(shown[0]), _as_before(judges):
                work_alone(board, folder, judges.evaluators[0], look=look)
    except KeyboardInterrupt:
        say(_stopped(board, folder))
        raise


def _stopped(board: Board, folder: Path) -> str:
    """Return what is left of what was stopped, in words."""
    if not board.there():
        return f"stopped; {board.database.place} was removed meanwhile, and what was finished with it"
    where = folder if folder.is_dir() else board.database.place
    return f"stopped; what is finished is kept in {where}, and the same command goes on from there"


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
def _as_before(judges: Judges) -> Iterator[None]:
    """Leave torch's threads and random state as they are, where trainings are in this process."""
    if judges.splits is None:
        yield
        return
    import torch  # noqa: PLC0415

    from scalenet.model.threads import on_threads  # noqa: PLC0415

    with on_threads(torch.get_num_threads()), torch.random.fork_rng():
        yield
