"""The ranking of a race, whose candidates have as many seeds to the end as it took to judge them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scalenet.search.answer.finding import row_means
from scalenet.search.answer.ranking import Ranking, Standing, interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scalenet.search.answer.finding import Finding, Trained


def rank_race(finding: Finding, trained: Trained, names: Sequence[str], factors: Mapping[str, float]) -> Ranking:
    """Rank candidates by how they are expected to score at the full budget, the winner of the judge first.

    Scores and accuracies are means over a candidate's own seeds, to the end where it has such. Those that are out have
    no standing. Only those trained to the end have an interval.
    """
    judged = trained.seeds > 0
    trainings = np.where(judged, trained.seeds, (~np.isnan(trained.short)).sum(axis=1))
    scores = np.where(judged, finding.verdict.means, row_means(trained.short))
    accuracies = np.where(judged, row_means(trained.full), row_means(trained.short))
    noise, freedom = finding.verdict.noise, finding.verdict.freedom
    known = freedom >= 1 and not math.isnan(noise)
    error = interval(freedom) * noise if known else math.inf

    ahead = finding.expected.copy()
    ahead[finding.winner] = np.inf
    order = [place for place in np.argsort(-ahead, kind="stable").tolist() if not finding.out[place]]
    standings = tuple(
        Standing(
            name=names[place],
            rank=rank,
            accuracy=float(accuracies[place]) / factors[names[place]],
            score=float(scores[place]),
            interval=error / math.sqrt(trainings[place]) if judged[place] else math.inf,
            tied=bool(finding.tied[place]),
            rung=int(judged[place]),
            seeds=int(trainings[place]),
            seeds_to_part=None,
        )
        for rank, place in enumerate(order, start=1)
    )
    return Ranking(standings, math.inf, noise if known else math.inf, int(trained.seeds[finding.winner]), None)
