"""Evaluation by scalenet's own training: one candidate, one seed, from scratch, judged on held-out images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from scalenet.model.builder import build
from scalenet.search.evaluators import Report, Result
from scalenet.training.loop import DivergedError, Listener, Training

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalenet.search.evaluators import Job, Tell
    from scalenet.training.data import Splits
    from scalenet.training.loop import Progress
    from scalenet.training.recipe import Recipe


@dataclass(frozen=True, slots=True, eq=False)
class Train:
    """Trains each candidate by a recipe, for the job's budget of epochs or else the recipe's."""

    splits: Splits
    recipe: Recipe
    device: str = "cpu"
    threads: int = 1

    def check(self, jobs: Sequence[Job]) -> None:
        """Take any job."""

    def evaluate(self, job: Job, tell: Tell) -> Result:
        """Train one candidate with one seed; equal jobs give equal accuracies on the same CPU and thread count."""
        torch.set_num_threads(self.threads)
        torch.manual_seed(job.seed)
        recipe = self.recipe if job.budget is None else self.recipe.model_copy(update={"epochs": job.budget})
        model = job.config.model
        module = build(recipe.applied(model), classes=len(self.splits.classes)).to(self.device)
        training = Training(module, self.splits, recipe=recipe, resolution=model.size, seed=job.seed)
        try:
            outcome = training.run(_Reporter(tell))
        except DivergedError:
            return Result(job.candidate, job.seed, None, None, 0.0, 0)
        scores = outcome.scores
        return Result(job.candidate, job.seed, scores.top1, scores.loss, outcome.seconds, outcome.images)


class _Reporter(Listener):
    """Tells how far a training is about a hundred times, and its accuracy where an epoch has one."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell

    def step(self, training: Training, progress: Progress) -> None:  # noqa: ARG002 - as a listener hears
        if progress.step % max(1, progress.steps // 100) == 0:
            self.tell(Report(progress.epochs * progress.step / progress.steps))

    def epoch(self, training: Training) -> None:
        accuracy = training.curve[-1].get("held_out_top1")
        if accuracy is not None:
            self.tell(Report(training.epoch, accuracy))
