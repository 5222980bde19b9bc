"""`coefficients.yaml`: the answer of a search, as `scalenet scale --coefficients` takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field

from scalenet.arch import strict_yaml
from scalenet.arch.config import Multiplier, as_data, read_record, write_text
from scalenet.arch.errors import ScalenetError
from scalenet.arch.spec import Record, as_tuple

if TYPE_CHECKING:
    from pathlib import Path


class Tie(Record):
    """A candidate that the search cannot tell from its winner."""

    alpha: Multiplier
    beta: Multiplier
    gamma: Multiplier
    accuracy: float


class Evidence(Record):
    """What the answer rests on.

    `accuracy` is the winner's mean held-out top-1 over `seeds`; `interval` is for comparing it with the others on these
    images and seeds at 95 %, not for the accuracy on other images. `margin` is the distance below which two candidates
    are not distinguishable, `seed_correlation` the mean rank correlation between seeds, `diverged` how many candidates
    were left out because a training of theirs diverged.
    """

    base: str
    base_digest: str
    data: str
    data_digest: str
    grid: str
    rounding: str
    candidates: int
    diverged: int = 0
    seeds: int
    accuracy: float
    interval: float
    margin: float
    seed_correlation: float | None = None
    ties: Annotated[tuple[Tie, ...], BeforeValidator(as_tuple)] = ()
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
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScalenetError(f"{path}: {error.strerror}", hint="`scalenet grid-search` writes it") from None
    return read_record(Coefficients, text, str(path))


def save_coefficients(coefficients: Coefficients, path: Path) -> None:
    """Write the answer of a search."""
    write_text(path, strict_yaml.dump(as_data(coefficients)))
