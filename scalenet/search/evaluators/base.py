"""What evaluators are given, and what they give."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from scalenet.arch.errors import RunError, ScalenetError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from scalenet.arch.config import Config


@dataclass(frozen=True, slots=True)
class Job:
    """A candidate to be evaluated once.

    `config` is the candidate's, `file` where it lies. `seed` is that of all random numbers, `budget` how long to train,
    in the evaluator's units (epochs; None where it knows by itself), and `folder` the job's own, for checkpoints and
    logs; it may not exist yet. A job of the same folder with a larger budget may go on from what lies there. `model` is
    the folder of the trained network, where that is kept. The learning rate is None where it is the evaluator's own.
    """

    candidate: str
    config: Config
    file: Path
    seed: int
    budget: int | None
    folder: Path
    learning_rate: float | None = None
    model: Path | None = None

    def __str__(self) -> str:
        return f"{self.candidate} seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Kept:
    """Which trained networks are kept: those of trainings for so many `epochs`, but for the pilot's.

    `seed` drew the held-out images of all of them, and `command` trains them.
    """

    epochs: int
    pilots: frozenset[str]
    seed: int
    command: str


@dataclass(frozen=True, slots=True)
class Report:
    """How far an evaluation is: `done` of its budget, and the accuracy then, where it is known."""

    done: float
    accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What an evaluation gave.

    `accuracy` is a fraction, held-out top-1 in scalenet's own trainings, and None where the training diverged; `loss`,
    the number of `images` trained on and whether all held-out images were taken for `one_class` are None where they are
    not known, `seconds` are wall time.
    """

    candidate: str
    seed: int
    accuracy: float | None
    loss: float | None
    seconds: float
    images: int | None
    one_class: bool | None = None


Tell: TypeAlias = "Callable[[Report], None]"


def check_rates(jobs: Sequence[Job], *, takes: bool, needs: bool, what: str) -> None:
    """Refuse jobs with a learning rate where an evaluator takes none, and without one where it needs it."""
    given = [job.learning_rate is not None for job in jobs]
    if any(given) and not takes:
        hint = "leave --learning-rate and --rates out, or let it take one"
        raise ScalenetError(f"{what} takes no learning rate: every rate would get the same result", hint=hint)
    if needs and not all(given):
        hint = "--rates 0.01,0.03,0.1 has a pilot find it, --learning-rate says it"
        raise ScalenetError(f"{what} wants a learning rate", hint=hint)


class Evaluator(Protocol):
    """Evaluates jobs, in a process of its own that another one may start and kill; it must survive pickling."""

    def check(self, jobs: Sequence[Job]) -> None:
        """Raise ScalenetError where jobs cannot be evaluated, before the first one is."""

    def evaluate(self, job: Job, tell: Tell) -> Result:
        """Evaluate a job, and tell how far it is; raise RunError where it fails."""

    def sources(self) -> dict[str, str]:
        """Return digests of what results follow from beside the job, by name: files, a function's source."""


def fraction(value: Any, place: str) -> float | None:
    """Return an accuracy; None and NaN are trainings that diverged; raise RunError for what is not a fraction."""
    share = number(value)
    if value is None or (share is not None and math.isnan(share)):
        return None
    if share is None or not 0 <= share <= 1:
        raise RunError(f"{place}: accuracy {value!r} is not a fraction between 0 and 1")
    return share


def number(value: Any) -> float | None:
    """Return a number as a float, None for what is none."""
    try:
        return None if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last by a tensor of several
        return None


def fingerprint(content: bytes) -> str:
    """Return the SHA-256 of what results follow from."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
