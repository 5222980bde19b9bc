"""Contrasts: weighted sums over networks of their accuracies, or of the logarithm of their errors, with intervals.

Networks are compared seed by seed and image by image. What an effect of each network and one of each seed leave over is
the noise of a training, pooled over all networks (Student's t). The held-out images are a draw as well, the same for
all networks: how much a contrast would change with others follows from its share of each image (the delta method).
Both parts add up as variances. A contrast whose weights add up to 0 is free of what a seed does to all networks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from scalenet.search.answer.noise import residual_noise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CONFIDENCE = 0.95
"""How often an interval holds what it is about; several together hold as often (Bonferroni)."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, half the width of its interval (nan where nothing is known of the noise), and its parts.

    `seeds` is the standard error by the noise of trainings, `images` that by the choice of held-out images.
    """

    value: float
    half: float
    seeds: float
    images: float

    @property
    def told(self) -> bool:
        """Whether the value is told from 0."""
        return abs(self.value) > self.half


@dataclass(frozen=True)
class Scored:
    """Accuracies of networks (rows) by seeds (columns), as fractions; `right` has the share of the seeds by image.

    `right` is [networks, images], None where images are not known one by one.
    """

    names: tuple[str, ...]
    accuracies: NDArray[np.float64]
    right: NDArray[np.float64] | None = None

    @property
    def means(self) -> NDArray[np.float64]:
        """The mean accuracy of each network."""
        return np.asarray(self.accuracies.mean(axis=1))

    @cached_property
    def _log_errors(self) -> NDArray[np.float64]:
        """log₂ of the errors; one without errors has half an error of the least step that is known."""
        least = 0.5 / (self.right.shape[1] if self.right is not None else 1000)
        return np.asarray(np.log2(np.maximum(1 - self.accuracies, least)))

    def mean(self, name: str) -> Estimate:
        """Return a network's accuracy; its interval leaves out what a seed does to all networks."""
        return self.accuracy({name: 1.0})

    def accuracy(self, weights: dict[str, float], *, together: int = 1) -> Estimate:
        """Return a contrast of accuracies; of so many contrasts `together` all intervals hold."""
        return self._estimate(self._vector(weights), self.accuracies, np.ones(len(self.names)), together)

    def log_error(self, weights: dict[str, float], *, together: int = 1) -> Estimate:
        """Return a contrast of the log₂ of errors."""
        slopes = -1 / (np.exp2(self._log_errors.mean(axis=1)) * math.log(2))
        return self._estimate(self._vector(weights), self._log_errors, slopes, together)

    def slope(self, names: Sequence[str], costs: Sequence[float], *, together: int = 1) -> Estimate:
        """Return by how many doublings the error changes for each doubling of cost: a line through the networks."""
        return self.log_error(slope_weights(names, costs), together=together)

    def _vector(self, weights: dict[str, float]) -> NDArray[np.float64]:
        return np.array([weights.get(name, 0.0) for name in self.names])

    def _estimate(
        self,
        weights: NDArray[np.float64],
        table: NDArray[np.float64],
        slopes: NDArray[np.float64],
        together: int,
    ) -> Estimate:
        from scipy import special  # noqa: PLC0415 - slow to import

        value = float(weights @ table.mean(axis=1))
        tail = 1 - (1 - CONFIDENCE) / 2 / together
        images = 0.0 if self.right is None else _deviation_of_mean((weights * slopes) @ self.right)
        noise = residual_noise(table)
        if noise is None:
            return Estimate(value, math.nan, math.nan, images)
        seeds = noise.deviation * float(np.sqrt((weights**2).sum() / table.shape[1]))
        half = math.hypot(float(special.stdtrit(noise.freedom, tail)) * seeds, float(special.ndtri(tail)) * images)
        return Estimate(value, half, seeds, images)


def slope_weights(names: Sequence[str], costs: Sequence[float]) -> dict[str, float]:
    """Return the weights of the slope of a line through networks over log₂ of their costs."""
    doublings = np.log2(np.asarray(costs, dtype=np.float64))
    centred = doublings - doublings.mean()
    return dict(zip(names, (centred / (centred**2).sum()).tolist(), strict=True))


def minus(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    """Return the weights of the difference of two contrasts."""
    return {name: first.get(name, 0.0) - second.get(name, 0.0) for name in {**first, **second}}


def mean_of(names: Sequence[str]) -> dict[str, float]:
    """Return the weights of the mean over networks, one of which may stand there twice."""
    weights = dict.fromkeys(names, 0.0)
    for name in names:
        weights[name] += 1 / len(names)
    return weights


def _deviation_of_mean(shares: NDArray[np.float64]) -> float:
    """Return the standard error of a mean over images."""
    return float(shares.std(ddof=1) / math.sqrt(len(shares))) if len(shares) > 1 else 0.0
