"""The plan of a study: everything that its results follow from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, cast

from pydantic import BeforeValidator, Field, model_validator

from scalenet.arch.config import Factors, Multiplier, as_data, digest
from scalenet.arch.errors import ScalenetError
from scalenet.arch.factory import Factory, check_one_network
from scalenet.arch.records import Record, as_tuple
from scalenet.arch.spec import Architecture, Model
from scalenet.costs.network import cost
from scalenet.scaling.rules import tidy
from scalenet.scaling.scaler import applied
from scalenet.search.plan import Images, by_source
from scalenet.search.rungs.pilot import Pilot
from scalenet.studies.definition import Definition
from scalenet.training.recipe import Recipe

if TYPE_CHECKING:
    from scalenet.arch.spec import Buildable


_FREE = ("seeds", "search")
_ANOTHER_FOLDER = "give another folder with -o, or discard that study with --force"


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
    trains. A study may get more seeds later: each result belongs to one network, one seed and one budget. `search` is
    the mark that it has in its database.
    """

    schema_: Literal["scalenet-study-plan/1"] = Field(alias="schema")
    study: Definition
    base: str
    model: Model | None = None
    factory: Factory | None = None
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
    search: str | None = None

    @property
    def network(self) -> Buildable:
        """What the baseline is made from: a description, or a factory's call."""
        return cast("Buildable", self.model or self.factory)

    @model_validator(mode="after")
    def _one_network(self) -> Plan:
        check_one_network(self.model, self.factory)
        return self

    def check_same(self, other: Plan, place: str, hint: str = _ANOTHER_FOLDER) -> None:
        """Raise ScalenetError where the results of another plan are not those of this one."""
        mine, theirs = as_data(self), as_data(other)
        changed = [key for key in type(self).model_fields if mine.get(key) != theirs.get(key) and key not in _FREE]
        if changed := by_source(changed, self, other):
            raise ScalenetError(
                f"{place}: holds another study: {', '.join(changed)} differ",
                hint=hint,
            )

    @property
    def asked(self) -> dict[str, float]:
        """The costs that networks were asked for and miss, by name."""
        return {point.network: point.asked for point in self.points if point.asked is not None and not point.met}


def facts_of(base: Architecture, network: Buildable) -> Facts:
    """Return the facts of a network, beside the baseline."""
    counts = cost(network)
    factors = applied(base.network, network)._asdict() if _of_a_kind(base.network, network) else None
    return Facts(
        digest=digest(network),
        flops=counts.flops,
        flops_ratio=tidy(counts.flops / cost(base).flops),
        params=counts.params,
        activations=counts.activations,
        resolution="x".join(map(str, dict.fromkeys(network.size))),
        multipliers=None if factors is None else Factors(**{name: tidy(one) for name, one in factors.items()}),
    )


def _of_a_kind(base: Buildable, network: Buildable) -> bool:
    """Return whether a network has multipliers of the baseline: as many stages, or the same factory."""
    if isinstance(base, Factory) or isinstance(network, Factory):
        return getattr(base, "callable", None) == getattr(network, "callable", None)
    return len(base.stages) == len(network.stages)
