"""How far a search for a baseline is, at one moment: in words, as a table, as data, and as it changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scalenet.arch.words import number
from scalenet.search.baseline.clock import HuntClock
from scalenet.search.progress import Counted, Ended, at_work, time_left
from scalenet.search.queue.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scalenet.search.baseline.hunting import BaselineSearch
    from scalenet.search.baseline.outcome import BaselineOutcome
    from scalenet.search.queue.board import Board
    from scalenet.search.queue.jobs import View
    from scalenet.search.queue.presence import Presence

COLUMNS = (
    *("name", "by", "training", "flops", "params", "latency"),
    *("short", "accuracy", "seeds", "reward", "over", "tied"),
)
"""What tables for people show of a member, a latency where there is a table of them."""


@dataclass(frozen=True)
class BaselineStatus(Counted):
    """How far a search for a baseline is; `workers` are those that the time left is for."""

    name: str
    outcome: BaselineOutcome
    workers: int = 1
    stopped: bool = False

    @property
    def view(self) -> View:
        """The trainings as they are known."""
        return self.outcome.view

    @property
    def candidates(self) -> int:
        """How many members are known."""
        return len(self.outcome.standing.names)

    @property
    def title(self) -> str:
        """What the members are, in words."""
        return f"{self.outcome.hunt.space.name}, {self.outcome.hunt.limits}"

    @property
    def seconds_left(self) -> float | None:
        """About how long the rest takes, 0 where nothing is left; None where nothing is known of it yet."""
        return 0.0 if self.finished else self.view.seconds_left(self.workers)

    def __str__(self) -> str:
        lost = f", {self.failed} of them failed" if self.failed else ""
        most = self.planned if self.finished else f"at most {self.planned}"
        parts = [f"{self.done + self.failed} of {most} trainings done{lost}, {self.running} running"]
        parts += [number(self.candidates, "member")]
        if not self.finished and self.seconds_left is not None:
            parts.append(time_left(self.seconds_left))
        parts += ["asked to stop"] if self.stopped and not self.finished else []
        return " · ".join(parts)

    def about_rate(self) -> str | None:
        """Return None: there is no pilot."""
        return None

    def rows(self, most: int | None = None) -> list[dict[str, Any]]:
        """Return a row a member for so many of them, those trained to the end first, the best first."""
        return [shown(row) for row in self.outcome.ranked()[:most]]

    def data(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        running = [at_work(entry, "member") for entry in self.view.running()]
        own = {"name": self.name, "stopped": self.stopped, "done": self.done, "planned": self.planned}
        return own | {"running": running, "seconds_left": self.seconds_left} | self.outcome.data()


class Watch:
    """Tells what is new each time it looks, keeps the tables up to date, and ends the hunt by the clock."""

    def __init__(self, search: BaselineSearch, board: Board, here: Presence, say: Callable[[str], None]) -> None:
        self.search, self.board, self.say = search, board, say
        self.ended = Ended(say)
        self.pace = Pace()
        view = board.view()
        self.clock = HuntClock(board, here, say)
        self.say(f"{BaselineStatus(search.name, search.outcome(view), here.workers)}, in {search.folder}")

    def __call__(self, view: View) -> None:
        """Look."""
        view = self.clock(view)
        if self.ended.tell(view) and self.pace.is_due:
            with self.pace.timed():
                self.search.write_tables(self.search.outcome(view))


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tables for people show of a member's row."""
    return {column: row[column] for column in COLUMNS if column in row}
