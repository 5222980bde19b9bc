"""Evaluation: one candidate, one seed, trained from scratch and judged on held-out images."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from scalenet.model.builder import build
from scalenet.training.loop import DivergedError, Listener, Training

if TYPE_CHECKING:
    from scalenet.arch.spec import Model
    from scalenet.search.study import Plan
    from scalenet.training.data import Splits
    from scalenet.training.loop import Progress
    from scalenet.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Job:
    """A training: a candidate's name and model, and the seed of its initial values, data order and augmentation."""

    candidate: str
    model: Model
    seed: int


@dataclass(frozen=True, slots=True)
class Result:
    """What a training gave; `accuracy` is held-out top-1, a fraction; both it and `loss` are None where it diverged."""

    candidate: str
    seed: int
    accuracy: float | None
    loss: float | None
    seconds: float
    images: int


def evaluate(
    job: Job, splits: Splits, *, recipe: Recipe, device: str = "cpu", listener: Listener | None = None
) -> Result:
    """Train one candidate with one seed; equal jobs give equal accuracies on the same CPU and thread count."""
    torch.manual_seed(job.seed)
    module = build(recipe.applied(job.model), classes=len(splits.classes)).to(device)
    training = Training(module, splits, recipe=recipe, resolution=job.model.size, seed=job.seed)
    try:
        outcome = training.run(listener)
    except DivergedError:
        return Result(job.candidate, job.seed, None, None, 0.0, 0)
    scores = outcome.scores
    return Result(job.candidate, job.seed, scores.top1, scores.loss, outcome.seconds, outcome.images)


_worker: dict[str, Any] = {}


def start_worker(splits: Splits, plan: Plan, reports: Any) -> None:
    """Prepare a worker process: it leaves Ctrl-C to the process that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(plan.threads)
    _worker.update(splits=splits, plan=plan, reports=reports)


class _Reporter(Listener):
    """Tells the process that started this one how far a job is, about a hundred times."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def step(self, training: Training, progress: Progress) -> None:  # noqa: ARG002 - as a listener hears
        if progress.step % max(1, progress.steps // 100) == 0:
            _worker["reports"].put((self.job.candidate, self.job.seed, progress.step / progress.steps))


def work(job: Job) -> Result:
    """Evaluate a job in a worker process, and report how far it is."""
    plan = _worker["plan"]
    return evaluate(job, _worker["splits"], recipe=plan.recipe, device=plan.device, listener=_Reporter(job))
