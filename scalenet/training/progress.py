"""What is heard of a training: how far it is, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scalenet.arch.errors import RunError

if TYPE_CHECKING:
    from scalenet.training.loop import Training
    from scalenet.training.scoring import Scores


class DivergedError(RunError):
    """Report a training whose loss is no longer a finite number."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Say after each step how far a training is.

    `step` of `steps` are done; epochs count from 1; `loss` is the mean of the epoch so far, `seconds` the wall time,
    `images` the number of training images seen since the training was started or went on.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float
    seconds: float
    images: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Hold what a training came to.

    `scores` are those of the held-out images, `seconds` the wall time of training and evaluation, `images` the number
    of training images seen (repetitions counted), `curve` one record an epoch, `best_epoch` the one whose weights were
    chosen (None: the last). The batch-norm statistics come from `statistics_images` training images (0: they are the
    running ones). `broken` names the images that could not be decoded.
    """

    scores: Scores
    seconds: float
    images: int
    curve: list[dict[str, float]]
    best_epoch: int | None
    statistics_images: int
    broken: tuple[str, ...]


class Listener:
    """Hears of a training; this one ignores it."""

    def step(self, training: Training, progress: Progress) -> None:
        """Hear of a finished step."""

    def epoch(self, training: Training) -> None:
        """Hear of a finished epoch, the last of `training.curve`."""
