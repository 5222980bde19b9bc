"""The trainings of a search as the judge and the surface take them: tables of scores by candidate and seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from scalenet.scaling.rules import doublings
from scalenet.search.answer.finding import Trained
from scalenet.search.answer.noise import foreseen_noise, rounding_noise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scalenet.search.rungs.race import Race
    from scalenet.search.rungs.schedule import Key, Schedule
    from scalenet.search.space.candidates import Facts

Shares: TypeAlias = Mapping[str, tuple[float, float, float]]
"""By candidate, how many doublings of the FLOPs come from depth, width and resolution."""


def shares_of(candidates: Mapping[str, Facts]) -> Shares:
    """Return the shares of candidates."""
    return {name: doublings(facts.alpha, facts.beta, facts.gamma) for name, facts in candidates.items()}


def tabled(
    shares: Mapping[str, Sequence[float] | NDArray[np.float64]],
    schedule: Schedule | Race,
    scores: Mapping[Key, float | None],
    held_out: int | None,
) -> Trained:
    """Return the finished trainings at a schedule's first and last budget.

    A score of None is a training that diverged or failed; its candidate is out. Where the budgets are one there are no
    short trainings. The number of `held_out` images says what noise to expect, at the mean of the trainings to the end.
    """
    places = {name: place for place, name in enumerate(shares)}
    columns = {seed: column for column, seed in enumerate(schedule.seeds)}
    first, last = schedule.budgets
    tables = {budget: _nothing(len(places), len(columns)) for budget in (first, last)}
    out = np.zeros(len(places), dtype=bool)
    for (name, seed, budget), score in scores.items():
        if name in places and seed in columns:
            out[places[name]] |= score is None
            if budget in tables and score is not None:
                tables[budget][places[name], columns[seed]] = score
    full = tables[last]
    return Trained(
        shares=np.array(list(shares.values())),
        short=_nothing(len(places), len(columns)) if first == last else tables[first],
        full=full,
        ratio=1.0 if first == last else (first or 1) / (last or 1),
        out=out,
        least=0.0 if held_out is None else rounding_noise(1 / held_out),
        foreseen=foreseen_noise(full[~np.isnan(full)], held_out),
    )


def _nothing(candidates: int, seeds: int) -> NDArray[np.float64]:
    return np.full((candidates, seeds), np.nan)


def cost_spread(candidates: Sequence[Facts]) -> float:
    """Return by how much the dearest candidate costs more than the cheapest, as a fraction of that."""
    costs = [facts.flops for facts in candidates]
    return max(costs) / min(costs) - 1
