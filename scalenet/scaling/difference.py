"""Two networks side by side: costs, stages, and the fields that differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scalenet.arch.comparison import aligned_stages, differences
from scalenet.arch.config import as_data
from scalenet.arch.convention import CONVENTION
from scalenet.arch.factory import Factory
from scalenet.arch.spec import described
from scalenet.costs.network import cost, part_rows
from scalenet.costs.tables import stage_rows
from scalenet.scaling.scaler import find_config

if TYPE_CHECKING:
    import pandas as pd

    from scalenet.arch.spec import Buildable, Model
    from scalenet.scaling.scaler import Network

_COSTS = ("flops", "params", "activations")


@dataclass(frozen=True, slots=True)
class Difference:
    """What two networks, by name, have in `costs`, in `stages` side by side, and in the fields of `differences`.

    Stages are paired by position where there are as many, else by `stride`, the top modules of factories by `name`;
    None stands for one without a counterpart.
    """

    before: str
    after: str
    convention: str
    costs: list[dict[str, Any]]
    paired_by: str
    stages: list[dict[str, Any]]
    differences: list[dict[str, Any]]

    def frame(self) -> pd.DataFrame:
        """Return a row a cost: before, after, and their ratio."""
        import pandas as pd  # noqa: PLC0415 - slow to import

        return pd.DataFrame(self.costs)


def diff(before: Network, after: Network) -> Difference:
    """Compare two networks: by cost, stage by stage, and field by field."""
    first, second = find_config(before), find_config(after)
    old, new = cost(first.network), cost(second.network)
    figures = [(name, getattr(old, name), getattr(new, name)) for name in _COSTS]
    paired_by, stages = _paired(first.network, second.network)
    return Difference(
        before=first.name,
        after=second.name,
        convention=CONVENTION,
        costs=[{"cost": name, "before": one, "after": two, "ratio": two / one} for name, one, two in figures],
        paired_by=paired_by,
        stages=stages,
        differences=[one._asdict() for one in differences(as_data(first.network), as_data(second.network))],
    )


def _paired(before: Buildable, after: Buildable) -> tuple[str, list[dict[str, Any]]]:
    """Return what parts are paired by, and the pairs."""
    if isinstance(before, Factory) and isinstance(after, Factory):
        old, new = ({row["stage"]: row for row in part_rows(one)} for one in (before, after))
        return "name", [{"before": old.get(name), "after": new.get(name)} for name in {**old, **new}]
    first, second = described(before), described(after)
    as_many = len(first.stages) == len(second.stages)
    return "position" if as_many else "stride", _pairs(first, second)


def _pairs(before: Model, after: Model) -> list[dict[str, Any]]:
    """Return stem, stages and head of both networks side by side; None where there is no counterpart."""
    old, new = stage_rows(before), stage_rows(after)
    numbers = [(0, 0), *((_next(one), _next(two)) for one, two in aligned_stages(before, after)), (-1, -1)]
    return [
        {"before": None if one is None else old[one], "after": None if two is None else new[two]}
        for one, two in numbers
    ]


def _next(stage: int | None) -> int | None:
    """Return the row of a stage: the first one is the stem's."""
    return None if stage is None else stage + 1
