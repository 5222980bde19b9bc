"""The search recipe: the numbers that every candidate of a search is trained with."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


class Recipe(BaseModel):
    """Hold one training recipe; the defaults are those of the embedded task.

    The learning rate rises linearly over the first ``warmup`` of all steps and then falls to zero. The weights that
    are evaluated are the mean of those after each step of the last ``average`` of all steps (0: the last ones).
    ``statistics_images`` training images then set the batch-norm statistics anew (0: keep the running ones), which
    makes them fit averaged weights and makes a short training independent of the batch-norm momentum.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    epochs: int = Field(default=5, ge=1)
    batch_size: int = Field(default=32, ge=2)
    optimizer: Literal["rmsprop", "sgd"] = "rmsprop"
    learning_rate: float = Field(default=0.002, gt=0.0, allow_inf_nan=False)
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    weight_decay: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    schedule: Literal["cosine", "linear"] = "cosine"
    warmup: Fraction = 0.1
    label_smoothing: float = Field(default=0.1, ge=0.0, lt=1.0)
    average: Fraction = 0.15
    statistics_images: int = Field(default=2048, ge=0)
    augmentation: Literal["none", "shift", "flip", "flip-shift"] = "none"

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of one step, counted from 0, of ``steps``."""
        rising = round(self.warmup * steps)
        if step < rising:
            return self.learning_rate * (step + 1) / (rising + 1)
        done = (step - rising) / max(1, steps - rising)
        left = 1.0 - done if self.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
        return self.learning_rate * left
