"""The pilot: which learning rate suits the baseline, by short trainings of it at a few rates, before the search.

Every candidate is then trained at the rate that was found. The recipe's own costs networks of twice the baseline's cost
points of accuracy, changes their order and makes noise (docs/search.md). What is found follows from the pilot's results
alone, whoever looks and whoever died.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field

from scalenet.arch.config import Multiplier
from scalenet.arch.options import Positive
from scalenet.arch.records import Record, as_tuple
from scalenet.training.guessing import is_guess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scalenet.search.rungs.schedule import Key

APART = 3.0
"""The factor between two rates."""

BEYOND = 2
"""Rates that are tried at most beyond the first ones, where the best is at an end."""

BUDGET, STEPS, SHARE = 2, 100, 2
"""Epochs and steps of a pilot's training at least, and how many times longer a whole training is at most, but for
those. Longer trainings want higher rates (`benchmarks/lengths.py`), so that a pilot may not be much shorter.
"""

LEAST_RATES = 3
"""Rates that a parabola takes."""


class Pilot(Record):
    """How a search finds its learning rate.

    The baseline is trained at each of the `rates`, and beyond them where the best is at an end, with these seeds and
    this budget; rates are judged `by` the held-out loss where the evaluator is known to tell it, or else by accuracy.
    Where no loss is below that of a guess among so many `classes`, nothing is known of them. Such a training costs
    `cost` times as much as one of a candidate that is as long.
    """

    rates: Annotated[tuple[Multiplier, ...], BeforeValidator(as_tuple), Field(min_length=LEAST_RATES)]
    seeds: Annotated[tuple[int, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    budget: Positive | None = None
    by: Literal["loss", "accuracy"] = "accuracy"
    classes: Positive | None = None
    cost: Multiplier = 1.0

    @property
    def names(self) -> dict[str, float]:
        """All rates that may be tried, by what their trainings are called."""
        rates = sorted(self.rates)
        for _ in range(BEYOND):
            rates = [below(rates), *rates, above(rates)]
        return {_name(rate): rate for rate in rates}

    def keys(self, rate: float) -> list[Key]:
        """Return the trainings at a rate."""
        return [(_name(rate), seed, self.budget) for seed in self.seeds]


def epochs_of(budget: int | None, steps: float = math.inf) -> int | None:
    """Return how long a pilot's training is, for trainings of a budget with so many `steps` an epoch."""
    if budget is None:
        return None
    return min(budget, max(BUDGET, math.ceil(STEPS / steps), math.ceil(budget / SHARE)))


def around(rate: float) -> tuple[float, ...]:
    """Return a rate between two others."""
    return two_digits(rate / APART), rate, two_digits(rate * APART)


@dataclass(frozen=True)
class Trial:
    """A pilot as far as it is known: `losses` are those of the trainings that ended, infinite where one diverged or
    failed. What is lost is 1 − accuracy where rates are judged by that.
    """

    pilot: Pilot
    losses: Mapping[Key, float]

    @cached_property
    def rates(self) -> tuple[float, ...]:
        """The rates to be tried, as far as it is known."""
        rates = sorted(self.pilot.rates)
        for _ in range(BEYOND):
            if not self._has(rates) or (beyond := self._beyond(rates)) is None:
                break
            rates = sorted([*rates, beyond])
        return tuple(rates)

    @property
    def needed(self) -> list[Key]:
        """The trainings at these rates, seed by seed."""
        by_rate = [self.pilot.keys(rate) for rate in self.rates]
        return [key for keys in zip(*by_rate, strict=True) for key in keys]

    @property
    def over(self) -> bool:
        """Whether all of them ended."""
        return self._has(self.rates)

    @cached_property
    def rate(self) -> float | None:
        """The rate that was found; None before that, and where every training diverged or failed."""
        if not self.over:
            return None
        means = self._means(self.rates)
        if not math.isfinite(min(means.values())):
            return None
        return self._middle if self.blind else two_digits(fitted_rate(means, self._middle))

    @property
    def blind(self) -> bool:
        """Whether no rate did better than a guess, so that the middle one stays."""
        classes = self.pilot.classes
        return classes is not None and self.over and is_guess(min(self._means(self.rates).values()), classes)

    @property
    def _middle(self) -> float:
        """The rate to keep to where nothing is known."""
        return sorted(self.pilot.rates)[len(self.pilot.rates) // 2]

    def _has(self, rates: tuple[float, ...] | list[float]) -> bool:
        return all(key in self.losses for rate in rates for key in self.pilot.keys(rate))

    def _means(self, rates: tuple[float, ...] | list[float]) -> dict[float, float]:
        return {rate: fmean(self.losses[key] for key in self.pilot.keys(rate)) for rate in rates}

    def _beyond(self, rates: list[float]) -> float | None:
        """Return the next rate to try: lower ones where all diverged."""
        means = self._means(rates)
        best = least(means, self._middle)
        if best == rates[0] or not math.isfinite(means[best]):
            return below(rates)
        return above(rates) if best == rates[-1] else None


def fitted_rate(losses: Mapping[float, float], near: float | None = None) -> float:
    """Return the rate with the least loss, by a parabola through the lowest loss and its neighbours in log rate.

    It is that rate itself where it lies at an end, because nothing is known of what lies beyond, and where a neighbour
    diverged. Of equal ones the nearest to `near` counts.
    """
    rates = sorted(losses)
    best = least(losses, near or rates[0])
    place = rates.index(best)
    if place in {0, len(rates) - 1}:
        return best
    left, middle, right = (math.log(rate) for rate in rates[place - 1 : place + 2])
    low, least_loss, high = (losses[rate] for rate in rates[place - 1 : place + 2])
    down, up = (low - least_loss) / (middle - left), (high - least_loss) / (right - middle)
    if not 0 < down + up < math.inf:
        return best
    # The parabola's slope is linear: -down halfway to the left neighbour, up halfway to the right one.
    share = down / (down + up)
    return math.exp((left + middle) / 2 + share * (right - left) / 2)


def least(losses: Mapping[float, float], near: float) -> float:
    """Return the rate with the least loss; of equal ones the nearest to another rate."""
    return min(sorted(losses), key=lambda rate: (losses[rate], abs(math.log(rate / near))))


def below(rates: Sequence[float]) -> float:
    """Return the rate to try below ascending ones."""
    return two_digits(rates[0] / APART)


def above(rates: Sequence[float]) -> float:
    """Return the rate to try above ascending ones."""
    return two_digits(rates[-1] * APART)


def two_digits(rate: float) -> float:
    """Return a rate to two digits."""
    return float(f"{rate:.2g}")


def _name(rate: float) -> str:
    return f"rate_{rate}"
