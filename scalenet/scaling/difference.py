"""Two networks side by side: costs, stages, and the fields that differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scalenet.arch.comparison import aligned_stages, differences
from scalenet.arch.config import as_data
from scalenet.arch.convention import CONVENTION
from scalenet.costs.formula import cost
from scalenet.costs.tables import stage_rows
from scalenet.scaling.scaler import find_config

if TYPE_CHECKING:
    import pandas as pd

    from scalenet.arch.spec import Model
    from scalenet.scaling.scaler import Network

_COSTS = ("flops", "params", "activations")


@dataclass(frozen=True, slots=True)
class Difference:
    """What two networks, by name, have in `costs`, in `stages` side by side, and in the fields of `differences`.

    Stages are paired by position where there are as many, else by `stride`; None stands for one without a counterpart.
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
    old, new = cost(first.model), cost(second.model)
    figures = [(name, getattr(old, name), getattr(new, name)) for name in _COSTS]
    as_many = len(first.model.stages) == len(second.model.stages)
    return Difference(
        before=first.name,
        after=second.name,
        convention=CONVENTION,
        costs=[{"cost": name, "before": one, "after": two, "ratio": two / one} for name, one, two in figures],
        paired_by="position" if as_many else "stride",
        stages=_pairs(first.model, second.model),
        differences=[one._asdict() for one in differences(as_data(first.model), as_data(second.model))],
    )


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
