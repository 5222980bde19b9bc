"""Noise: how far a training's score lies off by chance, measured or from the number of held-out images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Rows = Sequence[NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Noise:
    """The standard deviation of one score, and its degrees of freedom: inf where it was not measured."""

    deviation: float
    freedom: float

    def at_least(self, deviation: float) -> Noise:
        """Return this noise, or so large a one."""
        return Noise(max(self.deviation, deviation), self.freedom)


def residual_noise(rows: Rows) -> Noise | None:
    """Return what an effect of each candidate and one of each seed leave over, by least squares.

    A row has the scores of a candidate by seed. All begin with the same seed, and may differ in length. None where a
    single candidate or seed does not tell noise from the rest.
    """
    there = np.array([np.arange(max(map(len, rows))) < len(row) for row in rows], dtype=np.float64)
    freedom = int(there.sum()) - sum(there.shape) + 1
    if not freedom:
        return None
    values = np.zeros_like(there)
    values[there > 0] = np.concatenate(rows)
    share = there / there.sum(axis=1, keepdims=True)
    centred = there * (values - (share * values).sum(axis=1, keepdims=True))
    equations = np.diag(there.sum(axis=0)) - there.T @ share  # of the seeds, once candidates are eliminated
    seeds = np.append(0.0, np.linalg.solve(equations[1:, 1:], centred.sum(axis=0)[1:]))  # relative to the first
    residual = there * (centred - seeds + (share @ seeds)[:, None])
    return Noise(float(np.sqrt((residual**2).sum() / freedom)), freedom)


def own_noise(rows: Rows) -> Noise | None:
    """Return how the scores of a single candidate differ, what a seed does to any candidate included."""
    (row,) = rows
    return Noise(float(row.std(ddof=1)), len(row) - 1) if len(row) > 1 else None


def counting_noise(accuracies: Sequence[Sequence[float]], image: float | None) -> Noise:
    """Return the noise that follows from the number of held-out images, where each is `image` of a score; else inf."""
    mean = float(np.mean(accuracies))
    return Noise(math.inf if image is None else math.sqrt(mean * (1 - mean) * image), math.inf)


def rounding_noise(image: float | None) -> float:
    """Return the standard deviation of rounding to a whole number of images, where each is `image` of a score."""
    return 0.0 if image is None else image / math.sqrt(12)
