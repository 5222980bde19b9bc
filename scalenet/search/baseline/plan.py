"""The plan of a search for a baseline: everything that its results follow from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from scalenet.arch.config import Multiplier, as_data, as_record
from scalenet.arch.errors import ScalenetError
from scalenet.arch.records import Record
from scalenet.search.plan import Images, by_source
from scalenet.search.rungs.hunt import Hunt
from scalenet.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scalenet.search.queue.board import Board


class BaselinePlan(Record):
    """Everything that the results of a search for a baseline follow from.

    How many members are trained, how much is trained to the end and how long it takes may change later: each result
    belongs to one member, one seed and one budget. `search` is the mark that the search has in its database.
    """

    schema_: Literal["scalenet-baseline-search/1"] = Field(alias="schema")
    hunt: Hunt
    evaluate: str = "train"
    learning_rate: Multiplier | None = None
    recipe: Recipe | None = None
    images: Images | None = None
    device: str = "cpu"
    threads: int = 1
    versions: dict[str, str]
    sources: dict[str, str] = Field(default_factory=dict)
    search: str | None = None

    def differences(self, other: BaselinePlan) -> list[str]:
        """Return what differs so that the results of one plan are not those of the other."""
        mine, theirs = _compared(self), _compared(other)
        return by_source([name for name, value in mine.items() if theirs.get(name) != value], self, other)


def _compared(plan: BaselinePlan) -> Mapping[str, Any]:
    """Return what must be the same, by name."""
    data = as_data(plan)
    hunt, race = data.pop("hunt"), plan.hunt.race
    free = ("trials", "finals", "finalist_seeds", "race", "search")
    whole = {**data, **hunt, "epochs": race.budget, "first seed": race.first_seed, "seeds": race.most}
    whole.get("recipe", {}).pop("epochs", None)
    return {name: value for name, value in whole.items() if name not in free}


def is_for_baseline(plan: Mapping[str, Any] | None) -> bool:
    """Return whether what a storage has is the plan of a search for a baseline."""
    return plan is not None and str(plan.get("schema")).startswith("scalenet-baseline-search/")


def recorded_plan(board: Board) -> BaselinePlan | None:
    """Return the plan on a board, None where nothing was begun; raise ScalenetError where it is another search's."""
    data = board.plan()
    return None if data is None else plan_of(data, board.name)


def plan_of(data: Mapping[str, Any], name: str) -> BaselinePlan:
    """Return the plan that a storage has of that name; raise ScalenetError where it is another search's."""
    if not is_for_baseline(data):
        raise ScalenetError(f"{name}: no search for a baseline", hint="give this one another name")
    return as_record(BaselinePlan, data, name)
