"""Rankings by the judge: of a race, whose candidates have seeds of their own number, and of rungs by what he says."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scalenet.search.answer.finding import row_means
from scalenet.search.answer.margins import reach
from scalenet.search.answer.noise import Noise
from scalenet.search.answer.ranking import Ranking, Standing, TieRound, look_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scalenet.search.answer.finding import Finding, Trained


def rank_race(finding: Finding, trained: Trained, names: Sequence[str], factors: Mapping[str, float]) -> Ranking:
    """Rank candidates by how they are expected to score at the full budget, the winner of the judge first.

    Scores and accuracies are means over a candidate's own seeds, to the end where it has such, without trainings that
    collapsed. Those that are out have no standing. Only those trained to the end have an interval.
    """
    judged = trained.seeds > 0
    trainings = np.where(judged, trained.seeds, (~np.isnan(trained.short)).sum(axis=1))
    scores = np.where(judged, row_means(trained.sound), row_means(trained.short))
    noise = finding.verdict.noise

    ahead = finding.expected.copy()
    ahead[finding.winner] = np.inf
    order = [place for place in np.argsort(-ahead, kind="stable").tolist() if not finding.out[place]]
    standings = tuple(
        Standing(
            name=names[place],
            rank=rank,
            accuracy=float(scores[place]) / factors[names[place]],
            score=float(scores[place]),
            interval=float(finding.verdict.off[place]),
            tied=bool(finding.tied[place]),
            rung=int(judged[place]),
            seeds=int(trainings[place]),
            seeds_to_part=None,
        )
        for rank, place in enumerate(order, start=1)
    )
    return Ranking(
        standings, math.inf, math.inf if math.isnan(noise) else noise, int(trained.seeds[finding.winner]), None
    )


def told(ranking: Ranking, finding: Finding, places: Mapping[str, int], tie_rounds: int) -> Ranking:
    """Return a ranking by rungs with who ties as the judge says, by each candidate's own noise, so that ties and bound
    are one statement.

    Of a candidate that is out of the trainings to the end the rungs before speak, as they did.
    """
    tied = [
        one.tied if finding.out[places[one.name]] else bool(finding.tied[places[one.name]]) for one in ranking.standings
    ]
    winner, candidates = ranking.winner, int((finding.verdict.over < math.inf).sum())
    round_after = TieRound(sum(tied), winner.seeds, look_error(tie_rounds + 1))
    one_error = reach(max(2, candidates), finding.verdict.freedom, look_error(tie_rounds)) / math.sqrt(winner.seeds)

    def standing(one: Standing, tied: bool) -> Standing:
        place, more = places[one.name], None
        if tied and one.rung == winner.rung:
            gap = winner.score - one.score
            margin = gap + float(finding.verdict.over[place])
            more = round_after.seeds_to_part(gap, Noise(margin / one_error, finding.verdict.freedom))
        off = float(finding.verdict.off[place])  # inf where it was never trained to the end
        return replace(one, tied=tied, interval=one.interval if math.isinf(off) else off, seeds_to_part=more)

    standings = tuple(standing(*each) for each in zip(ranking.standings, tied, strict=True))
    return replace(ranking, standings=standings, margin=math.inf)
