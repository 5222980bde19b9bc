"""How far a search for a baseline is, at one moment: in words, as a table, as data, and as it changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scalenet.arch.words import duration, number, percentage
from scalenet.search.baseline.clock import HuntClock
from scalenet.search.queue.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalenet.search.baseline.hunting import BaselineSearch
    from scalenet.search.baseline.outcome import BaselineOutcome
    from scalenet.search.queue.board import Board
    from scalenet.search.queue.jobs import Entry, View

COLUMNS = ("name", "by", "training", "flops", "params", "short", "accuracy", "seeds", "reward", "over", "tied")
"""What tables for people show of a member."""


@dataclass(frozen=True)
class BaselineStatus:
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
    def finished(self) -> bool:
        """Whether nothing is left to be trained."""
        return self.view.finished

    @property
    def planned(self) -> int:
        """How many trainings there are at most."""
        return self.view.planned()

    @property
    def done(self) -> int:
        """How many trainings have a result."""
        return len(self.view.done())

    @property
    def failed(self) -> int:
        """How many trainings failed, and are not tried again by themselves."""
        return len(self.view.failed())

    @property
    def running(self) -> int:
        """How many trainings a worker has."""
        return len(self.view.running())

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
            parts.append(f"about {duration(self.seconds_left)} left")
        parts += ["asked to stop"] if self.stopped and not self.finished else []
        return " · ".join(parts)

    def about_rate(self) -> str | None:
        """Return None: there is no pilot."""
        return None

    def rows(self, most: int | None = None) -> list[dict[str, Any]]:
        """Return a row a member for so many of them, those trained to the end first, the best first."""
        return [{column: row[column] for column in COLUMNS} for row in self.outcome.ranked()[:most]]

    def data(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        running = [
            {"member": entry.key[0], "seed": entry.key[1], "budget": entry.key[2], "worker": entry.worker}
            | {"share": entry.share, "attempt": entry.attempt + 1}
            for entry in self.view.running()
        ]
        own = {"name": self.name, "stopped": self.stopped, "done": self.done, "planned": self.planned}
        return own | {"running": running, "seconds_left": self.seconds_left} | self.outcome.data()


class Watch:
    """Tells what is new each time it looks, keeps the tables up to date, and ends the hunt by the clock."""

    def __init__(self, search: BaselineSearch, board: Board, workers: int, say: Callable[[str], None]) -> None:
        self.search, self.board, self.workers, self.say = search, board, workers, say
        self.known: set[Any] | None = None
        self.pace = Pace()
        view = board.view()
        self.clock = HuntClock(board, view, workers, say)
        self.say(f"{BaselineStatus(search.name, search.outcome(view), workers)}, in {search.folder}")

    def __call__(self, view: View) -> None:
        """Look."""
        view = self.clock(view)
        ended = {entry.key: entry for entry in (*view.done(), *view.failed())}
        if self.known is None:
            self.known = set(ended)
        new = [entry for key, entry in ended.items() if key not in self.known]
        for place, entry in enumerate(new, start=len(ended) - len(new) + 1):
            self.say(f"[{place}/{view.planned()}] {line(entry)}")
        self.known |= set(ended)
        if new and self.pace.is_due:
            with self.pace.timed():
                self.search.write_tables(self.search.outcome(view))


def line(entry: Entry) -> str:
    """Return what became of a training."""
    if entry.result is None:
        return f"failed: {entry.why()}"
    accuracy = "diverged" if entry.result.accuracy is None else percentage(entry.result.accuracy)
    return f"{entry.job}: {accuracy}, {entry.result.seconds:.1f} s"
