"""The outcome of a search: what its tables and its answer say agrees, whatever else its storage has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalenet.arch.errors import RunError
from scalenet.scaling.scaler import load
from scalenet.search.answer.margins import chance
from scalenet.search.answer.outcome import Outcome
from scalenet.search.evaluators import Result
from scalenet.search.plan import Plan
from scalenet.search.queue.jobs import Aim, Entry, State, View
from scalenet.search.rungs.schedule import Rung, Schedule
from scalenet.search.space.candidates import enumerate_candidates
from scalenet.search.space.grids import load_grid
from scalenet.search.space.objective import Objective

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from scalenet.search.rungs.schedule import Key

GOOD, FAIR, POOR = "tiny_a2_b1_g1", "tiny_a1_b1.5_g1", "tiny_a1_b1_g1.5"
WHOLE = Schedule(rungs=(Rung(seeds=(0, 1, 2), budget=4),))
HALVED = Schedule(rungs=(Rung(seeds=(0, 1), budget=1), Rung(keep=2, seeds=(0, 1), budget=4)))
SHORT = {(GOOD, 0, 1): 0.60, (GOOD, 1, 1): 0.62, (FAIR, 0, 1): 0.58, (FAIR, 1, 1): 0.62, (POOR, 0, 1): 0.57}
SHORT |= {(POOR, 1, 1): 0.60}
LONG = {(GOOD, 0, 4): 0.80, (GOOD, 1, 4): 0.82, (FAIR, 0, 4): 0.78, (FAIR, 1, 4): 0.805}
OTHER = {(POOR, 0, 9): 0.9}
"""A training that another schedule asked for."""


def plan(tiny: Path, schedule: Schedule = HALVED) -> Plan:
    base = load(str(tiny / "net.yaml"))
    return Plan(
        schema="scalenet-search/1",
        base=base.name,
        model=base.model,
        rounding=base.rounding,
        grid=load_grid(str(tiny / "grid.yaml")),
        schedule=schedule,
        evaluate="judges:judge",
        candidates={},
        versions={},
    )


def outcome(
    tiny: Path,
    accuracies: Mapping[Key, float | None],
    *,
    failed: Sequence[Key] = (),
    seconds: float = 1.0,
    schedule: Schedule = HALVED,
) -> Outcome:
    """Return the outcome of trainings that took so many seconds an epoch, diverged where None, or failed."""
    own = plan(tiny, schedule)
    found = enumerate_candidates(load(str(tiny / "net.yaml")), own.grid).candidates
    entries = {
        key: Entry(
            key,
            State.done,
            0,
            id=0,
            place=0,
            result=Result(key[0], key[1], accuracy, None, seconds * (key[2] or 1), None),
            curve={} if accuracy is None else {1: accuracy},
        )
        for key, accuracy in accuracies.items()
    }
    entries |= {key: Entry(key, State.failed, 1, id=0, place=0, error="no memory") for key in failed}
    aim = Aim(schedule=schedule, factors=dict.fromkeys((candidate.name for candidate in found), 1.0))
    return Outcome(own, {candidate.name: candidate.facts() for candidate in found}, View(aim, entries), {})


def test_trainings_of_another_schedule_are_no_part_of_what_was_spent_or_drawn(tiny):
    found, alone = outcome(tiny, SHORT | LONG | OTHER), outcome(tiny, SHORT | LONG)
    assert found.spent() == alone.spent() == (6 + 4 * 4, 3 * 2 * 4)
    assert found.jobs()["budget"].sum() == found.spent()[0]
    assert set(found.curves()["budget"]) == {1, 4}
    assert found.answer() == alone.answer()


def test_a_planned_rung_may_err_by_its_share_before_the_others_are_known(tiny):
    ranking = outcome(tiny, SHORT).ranking
    assert chance(ranking.margin * 2**0.5 / ranking.noise, 3, 2) == pytest.approx(0.02, rel=1e-4)


@given(noise=st.floats(0.001, 0.05), gap=st.floats(0, 0.1), seed=st.integers(0, 2**32 - 1), whole=st.booleans())
def test_a_candidate_ties_where_the_bound_leaves_room_and_nowhere_else(tiny, noise, gap, seed, whole):
    random = np.random.default_rng(seed)
    schedule = WHOLE if whole else HALVED
    names = [name for name, _, budget in SHORT if budget == 1] if whole else [GOOD, FAIR]
    drawn = {
        (name, seed, 4): 0.8 - gap * place + float(random.normal(0, noise))
        for place, name in enumerate(dict.fromkeys(names))
        for seed in schedule.rungs[-1].seeds
    }
    found = outcome(tiny, drawn if whole else SHORT | drawn, schedule=schedule)
    rows = found.rows()
    assert all(row["tied"] == (row["over"] is None or row["over"] > 0 or row["rank"] == 1) for row in rows)
    assert found.bound == max(row["over"] for row in rows)


def test_whom_the_first_look_told_apart_stays_told_after_a_tie_round_and_the_bound_gets_no_wider(tiny):
    first = {GOOD: [0.80, 0.82, 0.81], FAIR: [0.79, 0.82, 0.80], POOR: [0.768, 0.789, 0.779]}
    more = {GOOD: [0.78, 0.86], FAIR: [0.81, 0.83]}
    seen = {(name, seed, 4): score for name, row in first.items() for seed, score in enumerate(row)}
    later = {(name, seed, 4): score for name, row in more.items() for seed, score in enumerate(row, start=3)}
    before = outcome(tiny, seen, schedule=WHOLE)
    after = outcome(tiny, seen | later, schedule=WHOLE.with_more(2, (GOOD, FAIR)))
    for found in (before, after):
        assert (found.ranking.winner.name, [one.name for one in found.ranking.ties]) == (GOOD, [FAIR])
    assert 0 < after.bound <= before.bound


def test_whom_the_first_look_told_apart_stays_told_from_a_winner_that_was_not_seen_then(tiny):
    last = HALVED.rungs[-1].changed(seeds=(0, 1, 2))
    schedule = HALVED.changed(rungs=(HALVED.rungs[0], last))
    full = {GOOD: [0.80, 0.82, 0.81], FAIR: [0.788, 0.809, 0.799]}
    more = {GOOD: [0.80, 0.82, 0.81, 0.84, 0.80], POOR: [0.81, 0.825, 0.815, 0.80, 0.84]}
    seen = SHORT | {(name, seed, 4): score for name, row in full.items() for seed, score in enumerate(row)}
    later = {(name, seed, 4): score for name, row in more.items() for seed, score in enumerate(row)}
    before = outcome(tiny, seen, schedule=schedule)
    after = outcome(tiny, seen | later, schedule=schedule.with_more(2, (GOOD, POOR)))
    assert (before.ranking.winner.name, [one.name for one in before.ranking.ties]) == (GOOD, [POOR])
    assert (after.ranking.winner.name, [one.name for one in after.ranking.ties]) == (POOR, [GOOD])


def test_telling_the_ties_apart_takes_what_was_dropped_through_all_seeds(tiny):
    found = outcome(tiny, SHORT | LONG, seconds=10)
    ties = {standing.name: standing.rung for standing in found.ranking.ties}
    assert ties == {FAIR: 1, POOR: 0}
    parted = found.answer().evidence.separation
    assert parted.seconds == (3 * parted.seeds + 2) * 4 * 10, "the dropped one has none of the two long trainings"


def test_a_failure_is_no_evidence_against_a_candidate(tiny):
    rest = {key: accuracy for key, accuracy in LONG.items() if key[0] == FAIR}
    found = outcome(tiny, SHORT | rest, failed=[(GOOD, 0, 4), (GOOD, 1, 4)])
    assert [(one.name, one.rung) for one in found.ranking.standings] == [(FAIR, 1), (GOOD, 0), (POOR, 0)]
    row = found.table().set_index("name").loc[GOOD]
    assert (row["rung"], row["accuracy"], row["failed"], row["diverged"]) == (1, 0.61, 2, 0)
    evidence = found.answer().evidence
    assert (evidence.candidates, evidence.failed, evidence.diverged, found.failed_rungs()) == (3, 1, 0, [])


def test_a_candidate_that_failed_before_it_had_any_result_is_a_tie_without_evidence(tiny):
    rest = {key: accuracy for key, accuracy in (SHORT | LONG).items() if key[0] != POOR}
    found = outcome(tiny, rest | {(POOR, 0, 1): 0.57}, failed=[(POOR, 1, 1)])
    assert [one.name for one in found.ranking.standings] == [GOOD, FAIR]
    assert found.contenders()[-1] == POOR
    evidence = found.answer().evidence
    assert (evidence.candidates, evidence.ties[-1].accuracy, evidence.ties[-1].seeds) == (3, None, None)
    table = found.table().set_index("name")
    assert (table.loc[POOR, "tied"], table["rank"].isna()[POOR]) == (True, True)


def test_a_rung_of_which_all_failed_leaves_the_answer_of_the_rungs_before(tiny):
    found = outcome(tiny, SHORT, failed=list(LONG))
    assert (found.ranking.winner.name, found.failed_rungs()) == (GOOD, [2])
    evidence = found.answer().evidence
    assert (len(evidence.rungs), evidence.seeds, evidence.failed) == (1, 2, 2)


def test_where_all_of_a_rung_diverged_there_is_no_answer_and_a_table_without_ranks(tiny):
    found = outcome(tiny, SHORT | dict.fromkeys(LONG))
    with pytest.raises(RunError, match="every candidate of rung 2 diverged"):
        found.answer()
    table = found.table().set_index("name")
    assert "rank" not in table
    assert table["diverged"].to_dict() == {GOOD: 2, FAIR: 2, POOR: 0}
    assert table["seeds"].to_dict() == {GOOD: 0, FAIR: 0, POOR: 2}


def test_the_answer_bounds_by_how_much_any_candidate_may_be_better(tiny):
    evidence = outcome(tiny, SHORT | LONG).answer().evidence
    assert 0 < evidence.bound < 0.5
    assert evidence.unjudged == 1
    assert evidence.bound == max(tie.over for tie in evidence.ties)
    assert 0 < evidence.agreement < 1


def test_the_bound_speaks_of_no_candidate_that_failed(tiny):
    rest = {key: accuracy for key, accuracy in (SHORT | LONG).items() if key[0] != POOR}
    found = outcome(tiny, rest | {(POOR, 0, 1): 0.57}, failed=[(POOR, 1, 1)])
    evidence = found.answer().evidence
    assert (evidence.unjudged, evidence.failed) == (0, 1)
    assert evidence.bound > 0
    assert evidence.ties[-1].over is None


def test_where_the_winner_was_never_trained_to_the_end_nothing_bounds(tiny):
    evidence = outcome(tiny, SHORT, failed=list(LONG)).answer().evidence
    assert (evidence.bound, evidence.ties[0].over) == (None, None)


def test_the_answer_says_what_candidates_cost(tiny):
    found = outcome(tiny, SHORT | LONG)
    costs = [facts.flops for facts in found.candidates.values()]
    evidence = found.answer().evidence
    assert evidence.cost_spread == pytest.approx(max(costs) / min(costs) - 1, abs=1e-5)
    assert evidence.cost_correlation in {-1, -0.5, 0.5, 1}


@pytest.mark.parametrize(("latency", "said"), [(None, []), (1e-3, ["latency"])])
def test_another_goal_is_the_same_search_and_another_latency_is_not(tiny, latency, said):
    own = plan(tiny)
    other = own.model_copy(update={"objective": Objective(goal="accuracy-flops", latency=latency)})
    assert other.differences(own) == said
