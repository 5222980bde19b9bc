"""The clock of a search for a baseline: it ends the proposals, and then the trainings to the end, in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalenet.arch.config import as_data
from scalenet.arch.words import time_given
from scalenet.search.baseline.plan import recorded_plan
from scalenet.search.queue.jobs import Aim
from scalenet.search.rungs.hunt import standing
from scalenet.search.rungs.race import spent

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalenet.search.baseline.plan import BaselinePlan
    from scalenet.search.queue.board import Board
    from scalenet.search.queue.jobs import View
    from scalenet.search.queue.presence import Presence
    from scalenet.search.rungs.hunt import Hunt, Standing
    from scalenet.search.rungs.schedule import Key


class HuntClock:
    """Looks at rounds as they begin, and at proposals as they end, and says what whoever's clock has ended."""

    def __init__(self, board: Board, here: Presence, say: Callable[[str], None]) -> None:
        self.board, self.here, self.say = board, here, say
        self.hunt: Hunt | None = None
        self.admitted: set[Key] = set()

    def __call__(self, view: View) -> View:
        """Look: a round that has begun is trained to its end, and so is the first one of trainings to the end."""
        open_, plan = view.open(), recorded_plan(self.board)
        if plan is None or plan.hunt.time_limit is None:
            return view
        self._tell(plan.hunt)
        if view.unit is None or not open_:
            return view
        left = (plan.hunt.time_limit - self.here.seconds) * self.here.workers / view.unit
        found = standing(plan.hunt, view.scores, _begun(view))
        after = left - view.units_open(open_)
        new = set(open_) - self.admitted
        self.admitted |= new
        if (found.trained.seeds > 0).any():
            return self._ended(plan, found) if new and after < 0 else view
        last = len(open_) <= self.here.workers and len(found.names) >= plan.hunt.first
        if found.proposing and last and after < _least(plan.hunt):
            changed = plan.changed(hunt=plan.hunt.changed(trials=len(found.names)))
            self.board.redirect(Aim(schedule=changed.hunt, factors={}), as_data(changed))
            self._tell(changed.hunt)
            return self.board.view()
        return view

    def _tell(self, hunt: Hunt) -> None:
        """Say what of the hunt the clock has left out, this one or another process's."""
        before, self.hunt = self.hunt, hunt
        if before in (None, hunt):
            return
        if before is not None and hunt.trials < before.trials:
            self.say(f"the time holds no more members: the best of {hunt.trials} are trained to the end")
        else:
            self.say(f"{time_given(hunt.time_limit or 0)} do not hold another round")

    def _ended(self, plan: BaselinePlan, found: Standing) -> View:
        """End the hunt with what is trained."""
        hunt = plan.hunt
        before = (hunt.trials + hunt.first) * hunt.ratio + found.earlier
        changed = plan.changed(hunt=hunt.changed(finals=max(0.0, spent(found.trained) - before), finalist_seeds=1))
        self.board.cut(Aim(schedule=changed.hunt, factors={}), as_data(changed))
        self._tell(changed.hunt)
        return self.board.view()


def _least(hunt: Hunt) -> float:
    """Return what another batch and the trainings to the end take, in units of the budget."""
    return hunt.batch * hunt.race.short + hunt.to_the_end * hunt.race.budget


def _begun(view: View) -> list[Key]:
    return [entry.key for entry in sorted(view.entries.values(), key=lambda entry: entry.place)]
