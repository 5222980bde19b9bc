"""Evaluation by scalenet's own training: one candidate, one seed, from scratch, judged on held-out images."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch

from scalenet._version import __version__
from scalenet.arch.config import as_data
from scalenet.arch.errors import ScalenetError
from scalenet.arch.files import sweep
from scalenet.model.builder import build
from scalenet.search.evaluators.answers import answers_file, write_answers
from scalenet.search.evaluators.base import Report, Result
from scalenet.training.checkpoint import read_state, write_state
from scalenet.training.folder import write_model
from scalenet.training.folds import fold_of
from scalenet.training.loop import Training
from scalenet.training.numerics import memory_format
from scalenet.training.progress import DivergedError, Listener
from scalenet.training.recipe import change
from scalenet.training.runs import training_plan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scalenet.search.evaluators.base import Job, Kept, Tell
    from scalenet.training.data import Splits
    from scalenet.training.progress import Outcome, Progress
    from scalenet.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Folds:
    """How many folds images have, and the seed that drew them: a training with seed s holds out fold s mod `number`."""

    number: int
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class Train:
    """Trains each candidate by a recipe, for the job's budget of epochs and at its rate, or else the recipe's.

    A training that was killed goes on from its checkpoint in the job's folder, written `every` so many seconds. Where
    it `keeps_answers`, that folder has which held-out images were right, too (`answers`). The networks that are `kept`
    are written as `scalenet.train` does.
    """

    splits: Splits
    recipe: Recipe
    device: str = "cpu"
    threads: int = 1
    every: float = 30.0
    folds: Folds | None = None
    keeps_answers: bool = False
    kept: Kept | None = None

    def check(self, jobs: Sequence[Job]) -> None:
        """Take any job."""

    def sources(self) -> dict[str, str]:
        """Return nothing: the plan has recipe, images and versions."""
        return {}

    def evaluate(self, job: Job, tell: Tell) -> Result:
        """Train one candidate with one seed, stopped in between or not.

        Equal jobs give equal accuracies on the same CPU and thread count. Seconds and images are those of all attempts,
        without what was done twice. The checkpoint is removed at the end.
        """
        torch.set_num_threads(self.threads)
        asked = {"epochs": job.budget, "optimizer.lr": job.learning_rate}
        recipe = change(self.recipe, [(key, value) for key, value in asked.items() if value is not None])
        training = self._training(job, recipe)
        keeper = _Keeper(job.folder / f"epochs-{recipe.epochs}.safetensors", self._about(job, recipe), self.every, tell)
        keeper.begin(training)
        accuracy = loss = one_class = None
        try:
            outcome = training.run(keeper)
            scores = outcome.scores
            accuracy, loss, one_class = scores.top1, scores.loss, scores.one_class
            if self.keeps_answers:
                write_answers(answers_file(job.folder, recipe.epochs), scores.correct.numpy())
            self._keep(job, recipe, training, outcome)
        except DivergedError:
            pass
        keeper.end()
        return Result(job.candidate, job.seed, accuracy, loss, training.seconds, training.images, one_class)

    def _training(self, job: Job, recipe: Recipe) -> Training:
        torch.manual_seed(job.seed)
        model = job.config.network
        module = build(recipe.applied(model), classes=len(self.splits.classes)).to(self.device)
        layout = memory_format(recipe, model, module)
        splits = self.images_of(job.seed)
        return Training(module, splits, recipe=recipe, resolution=model.size, seed=job.seed, layout=layout)

    def _keep(self, job: Job, recipe: Recipe, training: Training, outcome: Outcome) -> None:
        """Write the trained network, if it is to be kept."""
        kept = self.kept
        if kept is None or job.model is None or recipe.epochs != kept.epochs or job.candidate in kept.pilots:
            return
        splits = self.images_of(job.seed)
        plan = training_plan(job.config.architecture(), splits, recipe, seed=job.seed, drawn_by=kept.seed)
        write_model(job.model, training, plan, outcome, command=f"{kept.command}: {job}", found=splits.found)

    def images_of(self, seed: int) -> Splits:
        """Return what a training with a seed is trained on and held against."""
        if self.folds is None:
            return self.splits
        number = self.folds.number
        return fold_of(self.splits, seed % number, folds=number, seed=self.folds.seed)

    def _about(self, job: Job, recipe: Recipe) -> str:
        """Return all that a training's bits follow from, as text."""
        return json.dumps(
            {
                "model": as_data(job.config.network),
                "recipe": as_data(recipe),
                "images": self.splits.digest,
                "folds": None if self.folds is None else asdict(self.folds),
                "seed": job.seed,
                "versions": {"scalenet": __version__, "torch": torch.__version__},
            }
        )


class _Keeper(Listener):
    """Keeps a training in a file now and then.

    Tells how far it is about a hundred times, and after each epoch how accurate: on all held-out images where the
    recipe evaluates them, and else on some.
    """

    def __init__(self, file: Path, about: str, every: float, tell: Tell) -> None:
        self.file, self.about, self.every, self.tell = file, about, every, tell
        self.kept = time.monotonic()

    def begin(self, training: Training) -> None:
        """Go back to the checkpoint; start afresh without one, or with one that is damaged or another training's."""
        with contextlib.suppress(ScalenetError):
            training.restore(read_state(self.file, self.about))

    def step(self, training: Training, progress: Progress) -> None:
        if training.batch < training.batches:  # the last step of an epoch is kept with what the epoch comes to
            self._keep(training)
        if progress.step % max(1, progress.steps // 100) == 0:
            self.tell(Report(progress.epochs * progress.step / progress.steps))

    def epoch(self, training: Training) -> None:
        accuracy = training.curve[-1].get("held_out_top1")
        self.tell(Report(training.epoch, training.glimpse() if accuracy is None else accuracy))
        self._keep(training)

    def end(self) -> None:
        """Remove the checkpoint, and what killed processes left half-written of it."""
        self.file.unlink(missing_ok=True)
        sweep(self.file.parent, self.file.name)

    def _keep(self, training: Training) -> None:
        if time.monotonic() - self.kept < self.every:
            return
        state = training.state()
        if not state.sound:  # an older checkpoint is worth more
            return
        write_state(self.file, state, self.about)
        self.kept = time.monotonic()
