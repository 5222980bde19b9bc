"""The clock of a search with a time limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalenet.arch.words import time_given
from scalenet.search.rungs.race import Race

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalenet.search.queue.jobs import View
    from scalenet.search.queue.presence import Presence
    from scalenet.search.rungs.schedule import Key
    from scalenet.search.study import Study


class Clock:
    """Ends a race once its time limit would not hold another round, and says so whoever's clock has ended it."""

    def __init__(self, study: Study, here: Presence, limit: float, say: Callable[[str], None]) -> None:
        self.study, self.here, self.limit, self.say = study, here, limit, say
        self.cap: float | None = None
        self.admitted: set[Key] = set()

    @property
    def left(self) -> float:
        """The seconds that are left."""
        return self.limit - self.here.seconds

    def __call__(self, view: View) -> View:
        """Look: a round that has begun is trained to its end, and so are those that an answer needs."""
        race = view.aim.schedule
        if not isinstance(race, Race):
            return view
        before, self.cap = self.cap, race.cap
        if before is not None and race.cap < before:
            self.say(f"{time_given(self.limit)} do not hold another round")
        open_ = view.open()
        new = set(open_) - self.admitted
        answers = any(key[2] == race.budget and score is not None for key, score in view.scores.items())
        at_a_time = min(self.here.workers, len(open_))
        if new and answers and view.units_open(open_) * (view.unit or 0.0) / at_a_time > self.left:
            self.study.close(view)
            return self(self.study.board.view())
        self.admitted |= new
        return view
