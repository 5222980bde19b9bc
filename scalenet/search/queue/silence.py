"""Silence: how long a process has watched workers give no sign of life."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PULSE = 2.0
"""Seconds between two signs of life, at most."""


@dataclass
class Silence:
    """Watches counters that workers count up, by its own clock alone: no two clocks are compared.

    Only time between looks that follow each other counts, and of that no more than a quarter of `grace` a look: who was
    stopped, or could not look because the database was away, has watched nothing meanwhile, and the workers may have
    been stopped as well.
    """

    grace: float
    clock: Callable[[], float] = time.monotonic
    _beats: Mapping[int, int] = field(default_factory=dict)
    _silent: dict[int, float] = field(default_factory=dict)
    _looked: float = -float("inf")

    def after(self, beats: Mapping[int, int]) -> list[int]:
        """Return the attempts whose counters were watched for longer than `grace` seconds and did not change."""
        now = self.clock()
        watched, self._looked = min(now - self._looked, self.grace / 4), now
        self._silent = {
            number: self._silent.get(number, 0.0) + watched if self._beats.get(number) == beat else 0.0
            for number, beat in beats.items()
        }
        self._beats = dict(beats)
        return [number for number, seconds in self._silent.items() if seconds > self.grace]
