"""Noise: how far a training's score lies off by chance, measured or from the number of held-out images.

An accuracy p on n images is off by √(p (1 − p) / n), and trainings differ beside that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

AS_GOOD_AS = 9000
"""Held-out images whose noise is that of training itself: more images do not help beyond it."""

UNKNOWN = 0.5
"""The accuracy at which noise is largest, where no accuracy is known."""

WORTH = 4.0
"""Degrees of freedom that the number of held-out images is worth, as if so many trainings had told it."""


@dataclass(frozen=True, slots=True)
class Noise:
    """The standard deviation of one score, and its degrees of freedom: inf where it was not measured."""

    deviation: float
    freedom: float

    def at_least(self, deviation: float) -> Noise:
        """Return this noise, or so large a one."""
        return Noise(max(self.deviation, deviation), self.freedom)


def residual_noise(table: NDArray[np.float64]) -> Noise | None:
    """Return what an effect of each candidate (row) and one of each seed (column) leave over.

    None where a single candidate or seed does not tell noise from the rest.
    """
    if min(table.shape) == 1:
        return None
    residual = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    return Noise(float(np.sqrt((residual**2).sum() / freedom)), freedom)


def own_noise(table: NDArray[np.float64]) -> Noise | None:
    """Return how the scores of a single candidate differ, what a seed does to any candidate included."""
    return Noise(float(table.std(ddof=1)), table.size - 1) if table.size > 1 else None


def foreseen_noise(accuracies: NDArray[np.float64], held_out: int | None) -> float | None:
    """Return what the noise of one of these trainings is expected to be; None where nothing tells."""
    if held_out is None or not accuracies.size:
        return None
    half = 0.5 / held_out  # an image: no accuracy is sure to be 0 or 1
    return training_noise(held_out, min(max(float(accuracies.mean()), half), 1 - half))


def training_noise(held_out: int, accuracy: float | None = None) -> float:
    """Return about the noise of one training's accuracy, by how many images are held out."""
    p = UNKNOWN if accuracy is None else accuracy
    return math.sqrt(p * (1 - p) * (1 / held_out + 1 / AS_GOOD_AS))


def rounding_noise(image: float | None) -> float:
    """Return the standard deviation of rounding to a whole number of held-out images, each `image` of a score."""
    return 0.0 if image is None else image / math.sqrt(12)


def images_of(rounding: float) -> int:
    """Return of how many held-out images the noise of rounding to one is this."""
    return round(1 / (rounding * math.sqrt(12)))
