"""A search that races: whom it trains, how it ends, goes on and is stopped, and what it says."""

from __future__ import annotations

import contextlib
import math
import random
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

import scalenet
from scalenet.arch.config import as_record
from scalenet.arch.errors import RunError, ScalenetError
from scalenet.arch.words import count
from scalenet.scaling.rules import doublings
from scalenet.search.queue.pace import Pace
from scalenet.search.rungs.race import Race
from scalenet.search.space.grids import Grid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scalenet.search.status import Status

THIRDS = as_record(
    Grid,
    {
        "schema": "scalenet-grid/1",
        "name": "thirds",
        "description": "thirds",
        "points": {"kind": "shares", "divisions": 3},
        "include": [],
        "constraint": "nominal",
        "rounding": "fine",
    },
    "thirds",
)
TARGET = (0.25, 0.25, 0.5)


class Judge:
    """A smooth truth with noise of one point at the full budget; each training takes its time by a clock of its own."""

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        stop_at: int | None = None,
        fails: str | None = None,
        collapses: tuple[str, int] | None = None,
    ) -> None:
        self.clock, self.stop_at, self.fails, self.collapses = clock, stop_at, fails, collapses
        self.calls: list[tuple[str, int, int]] = []

    def __call__(self, architecture: Any, *, budget: int, seed: int, **_: Any) -> float | None:
        if len(self.calls) == self.stop_at:
            self.stop_at = None
            raise KeyboardInterrupt
        self.calls.append((architecture.name, seed, budget))
        if self.clock is not None:
            self.clock.now += budget
        if architecture.name == self.fails and budget > 2:
            return None
        if (architecture.name, seed) == self.collapses and budget > 2:
            return 0.1
        coefficients = [float(part[1:]) for part in architecture.name.split("_")[-3:]]
        off = sum((own - best) ** 2 for own, best in zip(doublings(*coefficients), TARGET, strict=True))
        noise = random.Random(f"{architecture.name} {seed} {budget}").gauss(0, 0.01)
        return 0.6 - 0.1 * off + noise * math.sqrt(10 / budget)

    @property
    def full(self) -> list[tuple[str, int, int]]:
        return [call for call in self.calls if call[2] == 10]


class Clock:
    """Time that passes only while something is trained."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def searched(tmp_path: Path) -> Callable[..., scalenet.Search]:
    def search(judge: Judge, folder: str = "run", **options: Any) -> scalenet.Search:
        own = {"grid": THIRDS, "resolution": 32, "classes": 10, "epochs": 10, "say": None} | options
        return scalenet.grid_search("small_resnet", evaluate=judge, folder=tmp_path / folder, **own)

    return search


@pytest.mark.drawn
def test_everybody_is_trained_shortly_and_few_to_the_end(searched):
    judge = Judge()
    search = searched(judge).run(say=None)
    candidates = list(search.candidates()["name"])
    assert judge.calls[: len(candidates)] == [(name, 0, 2) for name in candidates]
    assert len(judge.full) == len(judge.calls) - len(candidates)
    evidence = search.answer.evidence
    assert evidence.spent == 2 * len(candidates) + 10 * len(judge.full)
    assert evidence.spent / evidence.exhaustive == pytest.approx(0.5, abs=0.02)
    assert evidence.unjudged == len(candidates) - len({name for name, _, _ in judge.full})
    assert [one.trainings for one in evidence.rungs] == [len(candidates), len(judge.full)]
    assert f"then {len(judge.full)} trainings of" in str(search.answer)
    assert 0 < evidence.bound < 0.06
    table = search.results()
    assert table["rank"].tolist() == list(range(1, len(candidates) + 1))
    assert table["name"][0] in {name for name, _, _ in judge.full}
    assert bool(table["tied"][0])
    assert table.loc[table["rung"] == 1, "interval"].isna().all()
    assert (search.folder / "report.html").is_file()


@pytest.mark.parametrize("how", [{}, {"seeds": 3, "halving": 1}, {"seeds": 3, "halving": 5}])
def test_a_training_that_broke_down_is_no_part_of_the_mean(searched, how):
    best = searched(Judge(), **how).run(say=None).results()["name"][0]
    search = searched(Judge(collapses=(best, 1)), "broken", **how).run(say=None)
    found = search.results().set_index("name").loc[best]
    seeds = [found[f"accuracy_seed{seed}"] for seed in range(int(found["seeds"])) if seed != 1]
    assert found["accuracy_seed1"] == 0.1
    assert (found["collapsed"], found["accuracy"]) == (1, pytest.approx(sum(seeds) / len(seeds), abs=1e-5))
    assert search.answer.evidence.collapsed == 1
    assert search.results()["accuracy"][0] == search.answer.accuracy
    if how:
        assert search.results()["name"][0] == best, "ranked by the trainings that did not break down"


def test_a_score_is_the_accuracy_times_what_the_cost_is_worth(searched):
    table = searched(Judge(), objective="accuracy-flops").run(say=None).results()
    expected = table["accuracy"] * (table["flops_ratio"] / 2) ** -0.07
    assert table["score"].to_numpy() == pytest.approx(expected.to_numpy(), abs=2e-5)


def test_a_race_that_was_interrupted_ends_as_one_that_was_not(searched):
    whole, parted = Judge(), Judge(stop_at=18)
    expected = searched(whole).run(say=None)
    search = searched(parted, "parted")
    with pytest.raises(KeyboardInterrupt):
        search.run(say=None)
    assert not search.status().finished
    scalenet.open_search(search.folder)  # anybody may look meanwhile
    search.run(say=None)
    assert parted.calls == whole.calls
    assert str(search.answer.evidence) == str(expected.answer.evidence)


def test_a_finished_race_goes_on_further_and_keeps_what_it_has(searched):
    judge = Judge()
    search = searched(judge).run(say=None)
    before, bound = list(judge.calls), search.answer.bound
    assert searched(judge).run(say=None).answer.bound == bound
    assert judge.calls == before
    search = searched(judge).run(spend=0.7, say=None)
    assert judge.calls[: len(before)] == before
    assert len(judge.full) == pytest.approx(0.7 * 40 - 2, abs=1)
    assert search.answer.bound < bound
    spent = search.answer.evidence.spent
    assert searched(judge).run(more_seeds=1, say=None).answer.evidence.spent > spent


def test_a_race_stops_once_no_candidate_can_be_better_by_more(searched):
    judge, wider = Judge(), Judge()
    search = searched(judge, within=1.5).run(say=None)
    assert search.answer.bound <= 0.015
    searched(wider, "wider", within=4).run(say=None)
    assert len(wider.full) < len(judge.full) < 38


def test_a_race_begins_no_round_that_its_time_does_not_hold(searched, monkeypatch):
    clock = Clock()
    judge, said = Judge(clock), []
    monkeypatch.setattr("time.monotonic", clock)
    monkeypatch.setattr("time.perf_counter", clock)
    search = searched(judge, time_limit=150).run(say=said.append)
    assert 150 - 10 < clock.now <= 150
    assert search.status().finished
    assert any("do not hold another round" in line for line in said)
    assert f"resume {search.folder} --time-limit 5min" in str(search.answer)
    before = list(judge.calls)
    assert searched(judge, time_limit=150).run(say=None).status().finished
    assert judge.calls == before
    search.run(time_limit="4min", say=None)
    assert 240 - 10 < clock.now <= 240


@pytest.mark.parametrize("older", [False, True])
def test_the_time_of_earlier_runs_counts_as_long_as_they_took(searched, monkeypatch, older):
    clock, pause = Clock(), 1000.0
    monkeypatch.setattr("time.monotonic", clock)
    monkeypatch.setattr("time.perf_counter", clock if older else lambda: 3 * clock.now)  # as of three workers at once
    whole, parted = Judge(clock), Judge(clock, stop_at=18)
    searched(whole, time_limit=150).run(say=None)
    search = searched(parted, "parted", time_limit=150)
    with pytest.raises(KeyboardInterrupt):
        search.run(say=None)
    assert search.status().limit == pytest.approx(150 - sum(budget for *_, budget in parted.calls))
    if older:  # than the table of who took part
        with contextlib.closing(sqlite3.connect(search.folder / "search.db")) as connection:
            connection.execute("DROP TABLE scalenet_runs")
        assert search.status().limit == pytest.approx(150 - sum(budget for *_, budget in parted.calls))
    clock.now += pause
    search.run(say=None)
    assert parted.calls == whole.calls


def test_all_who_take_part_say_that_the_time_is_over(searched, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    monkeypatch.setattr("time.perf_counter", clock)
    judge, mine, other = Judge(clock), list[str](), list[str]()

    def join(status: Status) -> None:
        if not other and status.done > 12:
            searched(judge, time_limit=100).run(say=other.append)

    searched(judge, time_limit=100).run(say=mine.append, progress=join)
    for said in (mine, other):
        assert said.count("100 s do not hold another round") == 1


def test_another_schedule_is_refused_also_between_two_trainings_of_who_takes_part(searched, monkeypatch):
    monkeypatch.setattr(Pace, "is_due", True)  # it is looked after each training
    whole, judge, refused = Judge(), Judge(), list[str]()
    searched(whole, "whole").run(say=None)

    def ask(status: Status) -> None:
        if not refused and status.done == 3:
            assert status.running == 0
            for other in ({"seeds": 5}, {"halving": 1}, {"spend": 0.9}, {"time_limit": 1}, {"force": True}):
                with pytest.raises(ScalenetError, match="others take part just now") as error:
                    searched(judge, **other).run(say=None)
                refused.append(error.value.message)

    search = searched(judge).run(say=None, progress=ask)
    assert refused[0] == f"{search.folder}: others take part just now with another schedule or objective"
    assert judge.calls == whole.calls


def test_a_race_that_trained_all_it_may_within_its_time_goes_on_as_it_says(searched, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    monkeypatch.setattr("time.perf_counter", clock)
    judge = Judge(clock)
    search = searched(judge, seeds=1, time_limit=600).run(say=None)
    before = len(judge.calls)
    assert f"resume {search.folder} --spend 2 --time-limit 20min" in str(search.answer)
    search.run(spend=1.3, time_limit="20min", say=None)
    assert len(judge.calls) > before


def test_what_is_asked_of_a_finished_race_replaces_what_it_was_to_end_by(searched, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    monkeypatch.setattr("time.perf_counter", clock)
    judge = Judge(clock)
    search = searched(judge, time_limit=150).run(say=None)
    before = len(judge.calls)
    search.run(spend=0.9, say=None)  # its time is over
    assert before < len(judge.calls)
    before, bound = len(judge.calls), search.answer.bound
    search.run(within=0.9 * 100 * bound, say=None)  # its share is trained
    assert before < len(judge.calls)
    before = len(judge.calls)
    search.run(time_limit=2 * clock.now, say=None)  # no candidate is better by more
    assert before < len(judge.calls)


def test_an_answer_is_found_however_little_time_there_is(searched, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    monkeypatch.setattr("time.perf_counter", clock)
    judge = Judge(clock)
    search = searched(judge, time_limit=1).run(say=None)
    assert len(judge.full) == 6
    assert search.answer.bound is not None


def test_a_candidate_that_diverged_is_not_ranked_and_ends_no_race(searched):
    first = searched(Judge()).run(say=None)
    best = first.results()["name"][0]
    search = searched(Judge(fails=best), "other").run(say=None)
    assert search.answer.evidence.diverged == 1
    assert search.results().set_index("name")["rank"].isna()[best]


def test_where_everybody_diverges_the_race_says_so(searched):
    def lost(architecture: Any, *, budget: int, seed: int, **_: Any) -> None: ...

    search = searched(lost)
    with pytest.raises(RunError, match="every candidate diverged"):
        search.run(say=None)


def test_a_search_that_was_halved_may_race_on(searched):
    judge = Judge()
    searched(judge, halving=5, seeds=2).run(say=None)
    before = list(judge.calls)
    search = searched(judge, seeds=2, spend=0.9).run(say=None)
    assert isinstance(search.plan.schedule, Race)
    assert judge.calls[: len(before)] == before
    assert len(set(judge.calls)) == len(judge.calls)


def test_no_race_of_a_table_asks_for_what_it_does_not_have(searched, tmp_path):
    judge = Judge()
    known = searched(judge, halving=1).run(say=None).jobs()
    (tmp_path / "known.csv").write_text(known.to_csv(index=False))
    search = scalenet.grid_search(
        "small_resnet", resolution=32, classes=10, grid=THIRDS, evaluate=f"table:{tmp_path / 'known.csv'}",
        epochs=10, folder=tmp_path / "table", say=None,
    )  # fmt: skip
    with pytest.raises(ScalenetError, match="with budget 2"):
        search.run(say=None)


def test_of_those_that_tie_the_lightest_are_named(searched):
    search = searched(lambda *_, **__: 0.7).run(say=None)
    facts = search.candidates().set_index("name")
    told = next(line for line in search.answer.sentences if "that may be the best" in line)
    for what, column in (("parameters", "params"), ("activations", "activations")):
        least = facts.loc[facts[column].idxmin()]
        point = f"α = {least.alpha:.4g}, β = {least.beta:.4g}, γ = {least.gamma:.4g}"
        assert f"{point} has the fewest {what} ({count(least[column])}; up to {count(facts[column].max())})" in told


def test_a_race_of_a_table_that_has_no_more_says_what_goes_on(searched, tmp_path):
    known = tmp_path / "known.csv"
    judge = Judge()
    rows = ["name,seed,budget,accuracy"]
    for name in searched(judge, seeds=2).candidates()["name"]:
        rows += [f"{name},{seed},{budget},{0.7 + 0.01 * seed}" for seed in (0, 1) for budget in (2, 10)]
    known.write_text("\n".join(rows))
    search = scalenet.grid_search(
        "small_resnet", resolution=32, classes=10, grid=THIRDS, evaluate=f"table:{known}", epochs=10, seeds=2,
        spend=2, folder=tmp_path / "table",
    )  # fmt: skip
    said = " ".join(search.run(say=None).answer.sentences)
    assert "all 2 seeds of those that tie are trained: scalenet search resume" in said
    assert "--spend" not in said
