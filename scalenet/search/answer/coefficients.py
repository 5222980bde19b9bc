"""`coefficients.yaml`: the answer of a search, as `scalenet scale --coefficients` takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field

from scalenet.arch import strict_yaml
from scalenet.arch.config import Multiplier, as_data, read_record
from scalenet.arch.files import read_text, write_text
from scalenet.arch.spec import Record, as_tuple
from scalenet.search.space.objective import Ceiling, Goal

if TYPE_CHECKING:
    from pathlib import Path


class Tie(Record):
    """A candidate that the search cannot tell from its winner; `score` as in `Evidence`.

    It was in this many rungs, and its accuracy is the mean over `seeds` in the last of them. With `seeds_to_part` more
    seeds for both, a difference as it was measured would tell it from the winner; None where that takes very many.
    Where a training of it failed before it had any, nothing is known of it.
    """

    alpha: Multiplier
    beta: Multiplier
    gamma: Multiplier
    accuracy: float | None = None
    score: float | None = None
    rung: int = 1
    seeds: int | None = None
    seeds_to_part: int | None = None


class Separation(Record):
    """What would tell `ties` of the ties from the winner: so many more `seeds` for it and all ties, in `seconds`."""

    ties: int
    seeds: int
    seconds: float


class Round(Record):
    """A rung as it was: how many candidates with how many seeds, each trained for how long."""

    candidates: int
    seeds: int
    budget: int | None = None


class Evidence(Record):
    """What the answer rests on.

    `accuracy` is the winner's mean over `seeds` as `evaluate` measured it: held-out top-1 on `data` for `train`.
    Candidates were ranked by `objective` (see `Objective`); where that is not the accuracy itself,
    `score` is the winner's. No candidate was above the `ceilings`, or slower than `latency` in seconds on the machine
    that began the search. `interval` is for comparing scores on these images and seeds at 95 %, not for the accuracy
    on other images; that of a single candidate is for its mean over seeds. `margin` is how far below the winner's score
    that of the best may lie in the last rung. Both are missing where nothing is known of the noise. `seed_correlation`
    is the mean rank correlation between seeds, `diverged` how many candidates were left out because a training of
    theirs diverged, and `failed` of how many one failed: they are ranked by the rungs before, or tie. `proxies` are
    the rank correlations of training-free scores with the accuracies of this search. `flops_ratio` is the winner's, and
    `target` the grid's product; with a `tolerance` the winner was brought to it by closed-loop rounding, and is not
    what φ = 1 gives. `rungs` say how the trainings were spent, `spent` how much that was in units of the budget
    (epochs, or trainings where they have none), and `exhaustive` what every candidate at the full budget would have
    taken.
    """

    base: str
    base_digest: str
    evaluate: str = "train"
    data: str | None = None
    data_digest: str | None = None
    objective: Goal = "accuracy"
    ceilings: dict[Ceiling, int] = Field(default_factory=dict)
    latency: float | None = None
    grid: str
    rounding: str
    candidates: int
    diverged: int = 0
    failed: int = 0
    rungs: Annotated[tuple[Round, ...], BeforeValidator(as_tuple)] = ()
    spent: float | None = None
    exhaustive: float | None = None
    seeds: int
    accuracy: float
    score: float | None = None
    interval: float | None = None
    margin: float | None = None
    flops_ratio: float | None = None
    target: float | None = None
    tolerance: float | None = None
    seed_correlation: float | None = None
    proxies: dict[str, float] | None = None
    ties: Annotated[tuple[Tie, ...], BeforeValidator(as_tuple)] = ()
    separation: Separation | None = None
    note: str


class Coefficients(Record):
    """α, β, γ, and what they rest on."""

    schema_: Literal["scalenet-coefficients/1"] = Field(alias="schema")
    alpha: Multiplier
    beta: Multiplier
    gamma: Multiplier
    evidence: Evidence | None = None

    def multipliers(self) -> dict[str, float]:
        """Return α, β, γ by name."""
        return {"alpha": self.alpha, "beta": self.beta, "gamma": self.gamma}


def load_coefficients(path: Path) -> Coefficients:
    """Read α, β, γ from a file that a search wrote, or one with only `schema`, `alpha`, `beta` and `gamma`."""
    text = read_text(path, str(path), hint="`scalenet grid-search` writes it")
    return read_record(Coefficients, text, str(path))


def save_coefficients(coefficients: Coefficients, path: Path) -> None:
    """Write the answer of a search."""
    write_text(path, strict_yaml.dump(as_data(coefficients)))
