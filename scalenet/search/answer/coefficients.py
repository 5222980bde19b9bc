"""`coefficients.yaml`: the answer of a search, as `scalenet scale --coefficients` takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field

from scalenet.arch import strict_yaml
from scalenet.arch.config import Multiplier, as_data, read_record
from scalenet.arch.files import read_text, write_text
from scalenet.arch.records import Record, as_tuple
from scalenet.search.space.objective import Ceiling, Goal

if TYPE_CHECKING:
    from pathlib import Path


class Tie(Record):
    """A candidate that the search cannot tell from its winner; `score` as in `Evidence`.

    By `over` its score may be better than the winner's, at 95 %; None where nothing is known of that.

    It was in this many rungs, and its accuracy is the mean over `seeds` in the last of them (in a race without those
    that broke down). With `seeds_to_part` more seeds for both, a difference as it was measured would tell it from the
    winner; None where that takes very many. Where a training of it failed before it had any, nothing is known of it.
    """

    alpha: Multiplier
    beta: Multiplier
    gamma: Multiplier
    accuracy: float | None = None
    score: float | None = None
    over: float | None = None
    rung: int = 1
    seeds: int | None = None
    seeds_to_part: int | None = None


class Separation(Record):
    """What would tell `ties` of the ties from the winner: so many more `seeds` for it and all ties, in `seconds`."""

    ties: int
    seeds: int
    seconds: float


class Round(Record):
    """A rung as it was: how many candidates with how many seeds, each trained for how long.

    In a race `seeds` is the most that one had, and `trainings` how many there were.
    """

    candidates: int
    seeds: int
    budget: int | None = None
    trainings: int | None = None


class Tried(Record):
    """A learning rate of the pilot: means over its trainings, None where one diverged or failed."""

    rate: float
    accuracy: float | None = None
    loss: float | None = None


class Piloted(Record):
    """How the learning rate was found: the baseline was trained at these rates, with so many seeds for so long.

    The best one was found `by` the least loss on the held-out images, or by accuracy; where all were `blind`, no better
    than a guess, it is the one in the middle.
    """

    rates: Annotated[tuple[Tried, ...], BeforeValidator(as_tuple)]
    seeds: int
    budget: int | None = None
    by: Literal["loss", "accuracy"]
    blind: bool = False


class Evidence(Record):
    """What the answer rests on.

    `accuracy` is the winner's mean over `seeds` as `evaluate` measured it, in a race without trainings that broke down:
    held-out top-1 on `data` for `train`. Candidates were ranked by `objective` (see `Objective`); where that is not the
    accuracy itself, `score` is the winner's. No candidate was above the `ceilings`, or slower than `latency` in seconds
    on the machine that began the search. `interval` is for comparing scores on these images and seeds at 95 %, not for
    the accuracy on other images; that of a single candidate is for its mean over seeds. `margin` is how far below the
    winner's score that of the best may lie in the last rung, where that is the same for all. Neither is there where
    nothing is known of the noise. No candidate scores better than the winner by more than `bound`, at 95 %, as the
    trainings to the end say; `unjudged` candidates had none, and are bounded by what short trainings and their
    neighbours say (see `scalenet.search.answer.finding`). `forecast` is what the bound was expected to be, by the pilot
    and the number of held-out images, before a candidate was trained. `agreement` is the correlation of short trainings
    with long ones that was found there, `noisier` and `collapsed` are how many candidates have more noise than the
    others, and how many trainings broke down and were left out of the bound, in a race of the means as well.
    `cost_spread` is by how much the dearest candidate costs more than the cheapest, a fraction, and `cost_correlation`
    the rank correlation of FLOPs with what was ranked. `seed_correlation` is the mean rank correlation between seeds,
    `diverged` how many candidates were left out because a training of theirs diverged, and `failed` of how many one
    failed: they are ranked by the rungs before, or tie. `proxies` are the rank correlations of training-free scores
    with the accuracies of this search. `flops_ratio` is the winner's, and `target` the grid's product; with a
    `tolerance` the winner was brought to it by closed-loop rounding, and is not what φ = 1 gives. `rungs` say how the
    trainings were spent, `spent` how much that was in units of the budget (epochs, or trainings where they have none),
    and `exhaustive` what every candidate at the full budget would have taken, the pilot's not counted. `learning_rate`
    is that of all candidates, which the `pilot` found where there is one; it is missing where only the evaluator knows
    it.
    """

    base: str
    base_digest: str
    evaluate: str = "train"
    data: str | None = None
    data_digest: str | None = None
    objective: Goal = "accuracy"
    ceilings: dict[Ceiling, int] = Field(default_factory=dict)
    latency: float | None = None
    learning_rate: float | None = None
    pilot: Piloted | None = None
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
    bound: float | None = None
    forecast: float | None = None
    unjudged: int = 0
    agreement: float | None = None
    noisier: int = 0
    collapsed: int = 0
    cost_spread: float | None = None
    cost_correlation: float | None = None
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
