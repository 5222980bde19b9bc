"""How far trainings are, of a search or a study: their numbers, what became of each, and how long the rest takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from scalenet.arch.words import duration, percentage

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalenet.search.queue.jobs import Entry, View
    from scalenet.search.rungs.schedule import Key


class Counted(ABC):
    """The numbers of trainings of a `view`."""

    @property
    @abstractmethod
    def view(self) -> View:
        """The trainings as they are known."""

    @property
    def finished(self) -> bool:
        """Whether nothing is left to be trained."""
        return self.view.finished

    @property
    def planned(self) -> int:
        """How many trainings there are, those that may follow included."""
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


class Ended:
    """Tells each training that ended since the first look, once."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.known: set[Key] | None = None

    def tell(self, view: View, more: Callable[[], str] = str) -> bool:
        """Say what became of those that ended since the last look, each with `more`; return whether any did."""
        ended = {entry.key: entry for entry in (*view.done(), *view.failed())}
        known = set(ended) if self.known is None else self.known
        new = [entry for key, entry in ended.items() if key not in known]
        said = more() if new else ""
        for place, entry in enumerate(new, start=len(ended) - len(new) + 1):
            self.say(f"[{place}/{view.planned()}] {_became(entry)}{said}")
        self.known = known | set(ended)
        return bool(new)


def _became(entry: Entry) -> str:
    if entry.result is None:
        return f"failed: {entry.why()}"
    accuracy = "diverged" if entry.result.accuracy is None else percentage(entry.result.accuracy)
    return f"{entry.job}: {accuracy}, {entry.result.seconds:.1f} s"


def time_left(seconds: float | None) -> str:
    """Return about how long the rest takes, in words."""
    return "time left unknown before the first training" if seconds is None else f"about {duration(seconds)} left"


def at_work(entry: Entry, what: str = "candidate") -> dict[str, Any]:
    """Return a training that a worker has as JSON has it; `what` is trained."""
    name, seed, budget = entry.key
    own = {what: name, "seed": seed, "budget": budget, "worker": entry.worker}
    return own | {"share": entry.share, "attempt": entry.attempt + 1}
