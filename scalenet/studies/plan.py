"""The plan of a study: everything that its results follow from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from scalenet.arch.config import Factors, Multiplier, as_data, digest
from scalenet.arch.errors import ScalenetError
from scalenet.arch.records import Record, as_tuple
from scalenet.arch.spec import Architecture, Model
from scalenet.costs.formula import cost
from scalenet.scaling.rules import tidy
from scalenet.scaling.scaler import applied
from scalenet.search.plan import Images
from scalenet.search.rungs.pilot import Pilot
from scalenet.studies.definition import Definition
from scalenet.training.recipe import Recipe


class Facts(Record):
    """A network of a study: its costs, and what it is of the baseline, where it has as many stages."""

    digest: str
    flops: int
    flops_ratio: float
    params: int
    activations: int
    resolution: str
    multipliers: Factors | None = None


class Placed(Record):
    """A point of a study: a network of a series; `asked` is its cost as asked for, and `met` whether it has that."""

    series: str
    network: str
    asked: float | None = None
    met: bool = True


class Plan(Record):
    """Everything that the results of a study follow from.

    `coefficients` are the α, β, γ of its series `found`. The learning rate is what the `pilot` finds; without one it is
    the recipe's, or `learning_rate` for other evaluators that are told it; `piloted` is the network that the pilot
    trains. A study may get more seeds later: each result belongs to one network, one seed and one budget.
    """

    schema_: Literal["scalenet-study-plan/1"] = Field(alias="schema")
    study: Definition
    base: str
    model: Model
    rounding: str
    coefficients: dict[str, float] | None = None
    points: Annotated[tuple[Placed, ...], BeforeValidator(as_tuple)]
    networks: dict[str, Facts]
    seeds: Annotated[tuple[int, ...], BeforeValidator(as_tuple)]
    budget: int | None = None
    pilot: Pilot | None = None
    piloted: str | None = None
    learning_rate: Multiplier | None = None
    evaluate: str = "train"
    recipe: Recipe | None = None
    images: Images | None = None
    device: str = "cpu"
    threads: int = 1
    versions: dict[str, str]
    sources: dict[str, str] = Field(default_factory=dict)

    def check_same(self, other: Plan, place: str) -> None:
        """Raise ScalenetError where the results of another plan are not those of this one."""
        mine, theirs = as_data(self), as_data(other)
        changed = [key for key in type(self).model_fields if mine.get(key) != theirs.get(key) and key != "seeds"]
        if changed:
            raise ScalenetError(
                f"{place}: holds another study: {', '.join(changed)} differ",
                hint="give another folder with -o, or discard that study with --force",
            )

    @property
    def asked(self) -> dict[str, float]:
        """The costs that networks were asked for and miss, by name."""
        return {point.network: point.asked for point in self.points if point.asked is not None and not point.met}


def facts_of(base: Architecture, model: Model) -> Facts:
    """Return the facts of a network, beside the baseline."""
    counts = cost(model)
    alike = len(model.stages) == len(base.model.stages)
    factors = applied(base.model, model)._asdict() if alike else None
    return Facts(
        digest=digest(model),
        flops=counts.flops,
        flops_ratio=tidy(counts.flops / cost(base).flops),
        params=counts.params,
        activations=counts.activations,
        resolution="x".join(map(str, dict.fromkeys(model.size))),
        multipliers=None if factors is None else Factors(**{name: tidy(one) for name, one in factors.items()}),
    )
