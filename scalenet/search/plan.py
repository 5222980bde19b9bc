"""The plan of a search: everything that its results follow from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from pydantic import Field, model_validator

from scalenet._version import __version__
from scalenet.arch.config import Multiplier, as_data, as_record
from scalenet.arch.errors import ConfigError, ScalenetError
from scalenet.arch.factory import Factory, check_one_network
from scalenet.arch.records import Record
from scalenet.arch.spec import Architecture, Model
from scalenet.search.rungs.pilot import Pilot
from scalenet.search.rungs.race import Race
from scalenet.search.rungs.schedule import Schedule
from scalenet.search.space.grids import Grid
from scalenet.search.space.objective import Objective
from scalenet.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scalenet.arch.spec import Buildable


class Sourced(Protocol):
    """A plan, as far as it says what an evaluator's results follow from."""

    evaluate: str
    sources: dict[str, str]


class Images(Record):
    """The images of a search, by name, digest and number.

    `drawn` is the share that was drawn to be held out, where the data had no held-out images; `chance` is the share of
    the largest class among those held out, which a network gets that always says this class. With `folds` seed s holds
    out fold s mod folds; the numbers are then those of fold 0, and others have one image more or less of a class.
    `fitted` is how many were to be trained on because the time limit held no more.
    """

    name: str
    digest: str
    train: int
    validation: int
    classes: int
    drawn: float | None = None
    folds: int | None = None
    fitted: int | None = None
    chance: float


class Plan(Record):
    """Everything that the results of a search follow from.

    `rounding` is the baseline's own. `evaluate` is the evaluator, as text; images and recipe are those of scalenet's
    own trainings. The learning rate is what the `pilot` finds; without one it is the recipe's, or `learning_rate` for
    other evaluators that are told it. `sources` are digests of what an evaluator is made of: a table, a function's
    module or parts, a command's own files. `candidates` are the digests of the networks by name; `versions` those of
    scalenet and torch. A search may get another schedule, another goal and a grid of the same candidates later: each
    result belongs to one candidate, one seed and one budget. `search` is the mark that the search has in its database.
    """

    schema_: Literal["scalenet-search/1"] = Field(alias="schema")
    base: str
    model: Model | None = None
    factory: Factory | None = None
    rounding: str
    grid: Grid
    objective: Objective = Objective()
    schedule: Schedule | Race
    pilot: Pilot | None = None
    learning_rate: Multiplier | None = None
    evaluate: str = "train"
    recipe: Recipe | None = None
    images: Images | None = None
    device: str = "cpu"
    threads: int = 1
    candidates: dict[str, str]
    versions: dict[str, str]
    sources: dict[str, str] = Field(default_factory=dict)
    search: str | None = None

    def differences(self, other: Plan) -> list[str]:
        """Return what differs so that the results of one plan are not those of the other."""
        mine, theirs = as_data(self), as_data(other)
        for data in (mine, theirs):
            data.get("recipe", {}).pop("epochs", None)  # each training has its own
            data["pilot"] = data.get("pilot", {}).get("rates")  # its seeds and budget stay those it began with
        found = [key for key in Plan.model_fields if mine.get(key) != theirs.get(key) and key not in _FREE]
        return by_source(found, self, other) + ["latency"] * (self.objective.latency != other.objective.latency)

    @property
    def baseline(self) -> Architecture:
        """The network whose coefficients are wanted, as the pilot trains it."""
        return Architecture(self.base, self.network, self.rounding)

    @property
    def network(self) -> Buildable:
        """What the baseline is made from: a description, or a factory's call."""
        return cast("Buildable", self.model or self.factory)

    @model_validator(mode="after")
    def _one_network(self) -> Plan:
        check_one_network(self.model, self.factory)
        return self

    def judged(self) -> str:
        """Return what the accuracies belong to, in words."""
        return "and this evaluator" if self.images is None else f"on {self.images.name} with this recipe"


def recorded(data: dict[str, Any], place: str) -> Plan:
    """Return the plan that a storage has; raise ScalenetError where another version of scalenet wrote it."""
    try:
        return as_record(Plan, data, place)
    except ConfigError as error:
        writer = data.get("versions", {}).get("scalenet")
        if writer in (None, __version__):
            raise
        hint = f"version {writer} goes on with it; this is {__version__}"
        raise ScalenetError(
            f"{place}: begun by scalenet {writer}, whose plan this one cannot read: {error.message}", hint=hint
        ) from None


def by_source(keys: Iterable[str], mine: Sourced, before: Sourced) -> list[str]:
    """Return the keys in which plans differ, with `sources` in words.

    An earlier version recorded less of what a function is made of and a command runs: what it did not know makes no
    difference. Nor does a file that a command names and that was not there before, such as what it writes itself.
    """
    names, ending = {*mine.sources, *before.sources}, f" of {mine.evaluate}"
    if "{" in mine.evaluate:  # a command
        names = {*before.sources}
    if _some_end(mine.sources, ending) and not _some_end(before.sources, ending):
        names = mine.sources.keys() & before.sources.keys()
    changed = sorted(name for name in names if mine.sources.get(name) != before.sources.get(name))
    words = {"sources": [f"the contents of {' and '.join(changed)}"] if changed else []}
    return [word for key in keys for word in words.get(key, [key])]


def _some_end(names: Iterable[str], ending: str) -> bool:
    return any(name.endswith(ending) for name in names)


_FREE = ("grid", "objective", "schedule", "search")
