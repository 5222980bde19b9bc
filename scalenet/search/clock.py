"""The clock of a search with a time limit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from scalenet.arch.words import duration
from scalenet.search.rungs.race import Race

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalenet.search.queue.jobs import View
    from scalenet.search.rungs.schedule import Key
    from scalenet.search.study import Study


class Clock:
    """Ends a race once its time limit would not hold another round; what earlier runs took counts."""

    def __init__(self, study: Study, view: View, workers: int, limit: float, say: Callable[[str], None]) -> None:
        self.study, self.workers, self.limit, self.say = study, workers, limit, say
        seconds = sum(entry.result.seconds for entry in view.entries.values() if entry.result is not None)
        self.began = time.monotonic() - seconds / workers
        self.admitted: set[Key] = set()

    @property
    def left(self) -> float:
        """The seconds that are left."""
        return self.limit - (time.monotonic() - self.began)

    def __call__(self, view: View) -> View:
        """Look: a round that has begun is trained to its end, and so are those that an answer needs."""
        race, new = view.aim.schedule, set(view.open()) - self.admitted
        if not (new and isinstance(race, Race)):
            return view
        answers = any(key[2] == race.budget and score is not None for key, score in view.scores.items())
        if answers and view.units_open(view.needed) * (view.unit or 0.0) / self.workers > self.left:
            self.study.close(view)
            self.say(f"{duration(self.limit)} do not hold another round")
            return self.study.board.view()
        self.admitted |= new
        return view
