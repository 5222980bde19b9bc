"""The clock of a study with a time limit: seeds that it does not hold are left out, but for two."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scalenet.search.queue.jobs import View
    from scalenet.search.queue.presence import Presence
    from scalenet.studies.plan import Plan

FEWEST = 2
"""Seeds that a study has at least: one tells no noise."""

_MORE = 0.1
"""The share of the limit that a seed may take longer, once it was begun."""


class Clock:
    """Says which seeds a study keeps."""

    def __init__(self, here: Presence, limit: float) -> None:
        self.here, self.limit = here, limit

    def kept(self, plan: Plan, view: View, needed: float | None) -> tuple[int, ...]:
        """Return the seeds to keep, where the next one takes about so many seconds more."""
        done = [seed for seed in plan.seeds if all((name, seed, plan.budget) in view.scores for name in plan.networks)]
        left = self.limit * (1 + _MORE) - self.here.seconds
        if needed is None or not FEWEST <= len(done) < len(plan.seeds) or needed <= left:
            return plan.seeds
        return tuple(done)
