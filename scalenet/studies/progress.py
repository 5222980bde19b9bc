"""How far a study is, in words, and what is told of it as it goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scalenet.arch.words import number, time_given
from scalenet.search.progress import Ended, time_left
from scalenet.studies.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scalenet.search.queue.board import Board
    from scalenet.search.queue.jobs import View
    from scalenet.search.queue.presence import Presence
    from scalenet.search.rungs.schedule import Key
    from scalenet.studies.asked import Asked
    from scalenet.studies.study import Study


@dataclass(frozen=True)
class Progress:
    """How far a study is: its jobs, the FLOPs of what they train by name, and the workers that the time left is for.

    `unit` is about how many seconds a FLOP takes in an epoch, before anything is done.
    """

    view: View
    flops: Mapping[str, int]
    workers: int
    unit: float | None = None

    @property
    def done(self) -> int:
        """How many trainings have ended."""
        return len(self.view.done()) + len(self.view.failed())

    @property
    def planned(self) -> int:
        """How many there are, the pilot's among them."""
        return self.view.planned()

    @property
    def seconds_left(self) -> float | None:
        """About how long the rest takes, by the FLOPs of what is done; None where nothing is known of it yet."""
        return self.seconds_of([key for key in self.view.foreseen if key not in self.view.scores])

    def seconds_of(self, open_: Sequence[Key]) -> float | None:
        """Return about how long trainings take that have not ended."""
        results = {key: one.result for key, one in self.view.entries.items() if one.result is not None}
        done = sum(map(self._work, results))
        unit = sum(one.seconds for one in results.values()) / done if done else self.unit
        if unit is None:
            return None
        shares = {key: entry.share for key, entry in self.view.entries.items()}
        return sum(self._work(key) * (1 - shares.get(key, 0.0)) for key in open_) * unit / self.workers

    def _work(self, key: Key) -> float:
        return self.flops.get(key[0], 0) * (key[2] or 1)

    def left(self) -> str:
        """Return about how long the rest takes, in words."""
        return time_left(self.seconds_left)

    def __str__(self) -> str:
        left = "" if self.view.finished else f" · {self.left()}"
        return f"{self.done} of {self.planned} trainings done, {len(self.view.running())} running{left}"


class Watch:
    """Tells what is new each time it looks at a study."""

    def __init__(
        self,
        study: Study,
        asked: Asked,
        board: Board,
        here: Presence,
        say: Callable[[str], None],
        progress: Callable[[Progress], object] | None,
    ) -> None:
        self.study, self.asked, self.board, self.here, self.say, self.tell = study, asked, board, here, say, progress
        self.clock = None if asked.time_limit is None else Clock(here, asked.time_limit)
        self.flops = asked.flops()
        self.unit: float | None = None
        self.ended = Ended(say)
        self.rated: bool | None = None

    def progress(self, view: View) -> Progress:
        """Return how far the study is; before the first training by one timed step."""
        if self.unit is None and not view.done() and not view.finished:
            whole = self.asked.seconds()
            work = sum(self.flops.get(key[0], 0) * (key[2] or 1) for key in view.foreseen)
            self.unit = None if whole is None or not work else whole * len(self.asked.workers()) / work
        return Progress(view, self.flops, self.here.workers, self.unit)

    def __call__(self, view: View) -> None:
        """Look."""
        found = Progress(view, self.flops, self.here.workers, self.unit)
        if self.rated is None:
            self.rated = view.rate is not None
        self.ended.tell(view, lambda: "" if view.finished else f" · {found.left()}")
        if view.trial is not None and view.rate is not None and not self.rated:
            self.rated = True
            self.say(f"learning rate: {view.rate:g}, by the pilot")
        self._look_at_the_clock(found)
        if self.tell is not None:
            self.tell(found)

    def _look_at_the_clock(self, found: Progress) -> None:
        """Leave out the seeds that the time limit does not hold, and say so whoever's clock has left them out."""
        plan, aim = self.study.plan, found.view.aim.schedule
        if set(aim.seeds) != set(plan.seeds):
            self.study.follow(aim.seeds)
            self._tell_kept(plan.seeds)
        if self.clock is None or found.view.finished:
            return
        open_ = [key for key in found.view.open() if not found.view.is_pilots(key)]
        coming = [key for key in open_ if key[1] == open_[0][1]]
        kept = self.clock.kept(plan, found.view, found.seconds_of(coming))
        if kept != plan.seeds:
            self.study.keep(kept, self.board)
            self._tell_kept(plan.seeds)

    def _tell_kept(self, before: Sequence[int]) -> None:
        kept, time = len(self.study.plan.seeds), "" if self.clock is None else time_given(self.clock.limit)
        if kept < len(before):
            self.say(f"{time or 'the time of another process'} hold {number(kept, 'seed')} of {len(before)}")
