"""Searches for a baseline, judged by a function: what is trained, what is answered, and that nothing is lost."""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from scalenet_cli.main import app
from typer.testing import CliRunner

import scalenet
from scalenet.arch.errors import ScalenetError
from scalenet.search.baseline import asked as asking
from scalenet.search.baseline.calls import baseline_search

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from scalenet.arch.spec import Architecture
    from scalenet.search.baseline.hunting import BaselineSearch

FLOPS = "5M±5%"
TRIALS, FIRST, SEEDS = 12, 4, 3
SHORT_RACE = 7


def judge(architecture: Architecture, *, budget: int, seed: int, folder: Path, report: Callable[..., Any]) -> float:
    """Return an accuracy that says which choices are good, and a little noise."""
    good = sum(0.02 * (stage.block == "mnas_mbconv") + 0.01 * stage.depth for stage in architecture.model.stages)
    report(budget, good)
    return 0.3 + good * budget / (budget + 2) + random.Random(f"{architecture.name} {seed} {budget}").gauss(0, 0.003)


def asked(folder: Path, evaluate: Any = judge, **changes: Any) -> BaselineSearch:
    options: dict[str, Any] = {
        "flops": FLOPS,
        "classes": 10,
        "epochs": 10,
        "trials": TRIALS,
        "seeds": SEEDS,
        "workers": 1,
    }
    return baseline_search(evaluate=evaluate, folder=folder, say=None, **{**options, **changes})


@pytest.fixture(scope="module", autouse=True)
def _short_races() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asking, "FINALS", SHORT_RACE)
        yield


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> BaselineSearch:
    return asked(tmp_path_factory.mktemp("baseline") / "search").run(say=None)


def members(search: BaselineSearch) -> pd.DataFrame:
    return pd.read_csv(search.folder / "members.csv")


def test_the_answer_is_a_baseline_like_any_other(searched):
    config = scalenet.load_config(searched.folder / "baseline.yaml")
    assert scalenet.verify(config) == []
    assert 4.75e6 <= config.cost.flops <= 5.25e6
    assert scalenet.scale_by(searched.folder / "baseline.yaml", phi=1, say=None).cost.flops > config.cost.flops
    assert config.name == members(searched).iloc[0]["name"]


def test_random_members_come_first_and_are_a_control(searched):
    rows = members(searched).sort_values("training")
    assert set(rows["by"][:FIRST]) == {"random"}
    assert set(rows["by"][FIRST:]) == {"evolution", "predictor"}
    assert len(rows) == TRIALS
    assert (rows[:FIRST]["seeds"] >= 2).any()
    assert any("random members" in sentence for sentence in searched.outcome().sentences())


def test_the_best_few_have_all_seeds(searched):
    rows = members(searched)
    assert (rows["seeds"] >= SEEDS).sum() >= 3
    assert rows.iloc[0]["seeds"] >= SEEDS
    jobs = pd.read_csv(searched.folder / "jobs.csv")
    assert set(jobs["budget"]) == {2, 10}
    assert (jobs[jobs["budget"] == 2]["seed"] == 1).sum() == FIRST


def test_the_answer_names_ties_the_bound_and_the_noise(searched):
    said = "\n".join(searched.outcome().sentences())
    assert "3 seeds" in said
    assert "trained is better" in said
    assert "of members that were never trained nothing is promised" in said
    assert "one short training varies by" in said


def test_a_training_that_broke_down_is_left_out(searched, tmp_path):
    best = members(searched).iloc[0]["name"]

    def broken(architecture: Architecture, *, budget: int, seed: int, **others: Any) -> float:
        gone = (architecture.name, budget, seed) == (best, 10, 1)
        return 0.01 if gone else judge(architecture, budget=budget, seed=seed, **others)

    search = asked(tmp_path / "broken", broken).run(say=None)
    jobs = pd.read_csv(search.folder / "jobs.csv")
    own = jobs[(jobs["name"] == best) & (jobs["budget"] == 10)]["accuracy"]
    assert own.min() == 0.01
    assert members(search).set_index("name").loc[best, "accuracy"] == pytest.approx(own[own > 0.01].mean(), abs=1e-5)
    assert "left out, because they broke down: 1 training" in search.outcome().sentences()


def test_the_report_has_the_plot_beside_chance_and_all_members(searched):
    page = (searched.folder / "report.html").read_text()
    assert ">chance<" in page
    assert all(name in page for name in members(searched)["name"])
    assert "<script" not in page


def test_the_paper_s_reward_is_a_column_and_an_objective(searched, tmp_path):
    row = members(searched).iloc[0]
    assert row["reward"] == pytest.approx(row["accuracy"] * (row["flops"] / 5e6) ** -0.07, abs=1e-6)
    other = asked(tmp_path, objective="paper", flops="2M..9M", trials=6, seeds=2).run(say=None).outcome()
    rows = other.rows()
    best = max((row for row in rows if row["seeds"]), key=lambda row: row["reward"])
    assert other.winner == best["name"]


def test_an_interrupted_search_goes_on_and_ends_as_the_other(searched, tmp_path):
    calls: list[str] = []

    def interrupted(architecture: Architecture, **job: Any) -> float:
        calls.append(architecture.name)
        if len(calls) in (3, 14):
            raise KeyboardInterrupt
        return judge(architecture, **job)

    said: list[str] = []
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            asked(tmp_path, interrupted).run(say=said.append)
        assert "stopped; what is finished is kept in" in said[-1]
    asked(tmp_path, interrupted).run(say=None)
    assert members(asked(tmp_path, interrupted)).equals(members(searched))
    again = len(calls)
    asked(tmp_path, interrupted).run(say=None)
    assert len(calls) == again  # all is there


def test_more_members_are_asked_for_later(searched, tmp_path):
    asked(tmp_path, trials=8).run(say=None)
    before = members(asked(tmp_path)).sort_values("training")["name"][:8].tolist()
    asked(tmp_path).run(say=None)
    after = members(asked(tmp_path)).sort_values("training")["name"].tolist()
    assert len(after) == TRIALS
    assert set(before) <= set(after)


def test_more_trials_are_trained_to_the_end_as_if_they_had_been_asked_for_at_once(tmp_path):
    asked(tmp_path, judge, trials=8).run(say=None)
    before = pd.read_csv(tmp_path / "jobs.csv")
    asked(tmp_path, judge, trials=40).run(say=None)
    after = pd.read_csv(tmp_path / "jobs.csv")
    new = after[~after["name"].isin(before["name"]) & (after["budget"] == 10)]
    assert len(new) > 2
    again = asked(tmp_path, judge, trials=40).run(say=None)
    assert len(pd.read_csv(again.folder / "jobs.csv")) == len(after)


def test_no_more_trainings_are_made_than_are_foreseen(tmp_path):
    said: list[str] = []
    asked(tmp_path).run(say=said.append)
    foreseen = next(int(found[1]) for line in said if (found := re.search(r"0 of at most (\d+) trainings", line)))
    assert foreseen - 6 <= len(pd.read_csv(tmp_path / "jobs.csv")) <= foreseen


def test_noise_that_hides_members_is_said_and_spends_on_the_best_again(tmp_path):
    def noise(architecture: Architecture, *, seed: int, budget: int, **_: Any) -> float:
        return random.Random(f"{architecture.name} {seed} {budget}").uniform(0.3, 0.5)

    outcome = asked(tmp_path, noise, trials=30).run(say=None).outcome()
    assert len(outcome.rows()) < 30
    assert "noise hides the members" in "\n".join(outcome.sentences())
    assert sum(row["seeds"] for row in outcome.rows()) > SHORT_RACE


def test_members_that_fail_are_said_and_do_not_win(tmp_path):
    def failing(architecture: Architecture, **job: Any) -> float | None:
        return None if architecture.model.stages[0].block == "mnas_mbconv" else judge(architecture, **job)

    outcome = asked(tmp_path, failing, trials=10).run(say=None).outcome()
    failed = [row for row in outcome.rows() if row["failed"]]
    assert failed
    assert outcome.winner not in {row["name"] for row in failed}
    assert "failed or diverged" in "\n".join(outcome.sentences())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"flops": None}, "--flops 400M±2% says how much"),
        ({"flops": "10k"}, "the nearest has"),
        ({"space": "mnasnt"}, "unknown space"),
        ({"method": "evolutoin"}, "did you mean 'evolution'"),
        ({"method": "optuna"}, "known: mixture, evolution, predictor, random, optuna:TPESampler"),
        ({"objective": "speed"}, "--objective: 'speed' is not known"),
        ({"trials": 2}, "trials: 2 is not a whole number from 5 on"),
        ({"epochs": 1}, "epochs: 1 is not a whole number from 2 on"),
        ({"epochs": None}, "--epochs says how many"),
        ({"evaluate": "table:known.csv"}, "no table knows all members"),
        ({"seeds": 0}, "--seeds: 0 is not a whole number"),
        ({"time_limit": "soon"}, "--time-limit: 'soon' is not a time"),
        ({"data": "images"}, "--data is for scalenet's own training"),
    ],
)
def test_what_is_asked_wrongly_gets_one_line(changes, said, tmp_path):
    with pytest.raises(ScalenetError) as found:
        asked(tmp_path / "none", **changes)
    assert said in f"{found.value.message} {found.value.hint}"
    assert not (tmp_path / "none").exists()


def test_a_folder_of_another_search_is_kept(searched):
    with pytest.raises(ScalenetError, match="holds another search: limits differ"):
        asked(searched.folder, flops="6M").run(say=None)
    with pytest.raises(ScalenetError, match="method"):
        asked(searched.folder, method="random").run(say=None)


def test_the_command_lists_members_and_trains_nothing():
    found = CliRunner().invoke(app, ["baseline-search", "--flops", "5M", "--dry-run", "--json"])
    assert found.exit_code == 0
    rows = json.loads(found.stdout)
    assert all(4.9e6 <= row["flops"] <= 5.1e6 for row in rows)


JUDGE = """
def judge(architecture, *, budget, seed, folder, report):
    if seed == 0 and budget == 10 and STOP.exists():
        raise KeyboardInterrupt
    return 0.3 + 0.001 * len(architecture.name) + 0.0001 * seed
"""


def command(*words: Any, code: int = 0) -> Any:
    found = CliRunner().invoke(app, ["search", *map(str, words)])
    assert found.exit_code == code, found.output
    return found


def test_a_search_for_a_baseline_is_looked_at_from_anywhere(searched, tmp_path):
    folder = searched.folder
    (row,) = json.loads(command("list", folder.parent, "--json").stdout)
    assert (row["folder"], row["base"], row["state"]) == (str(folder), "small_images", "finished")
    assert row["best"] == members(searched).iloc[0]["accuracy"]

    found = json.loads(command("status", folder, "--json").stdout)
    assert found["finished"]
    assert found["planned"] == found["done"] == len(pd.read_csv(folder / "jobs.csv"))
    assert f"{TRIALS} members" in command("status", folder).stderr

    known = json.loads(command("results", folder, "--json").stdout)
    assert known == json.loads(json.dumps(searched.outcome().data()))
    assert len(json.loads(command("results", folder, "--jobs", "--json").stdout)) == found["done"]
    assert "the search is finished" in command("stop", folder).stderr
    assert scalenet.open_baseline_search(folder).results().equals(searched.results())


def test_what_searches_of_multipliers_take_is_refused(searched):
    said = command("resume", searched.folder, "--more-seeds", 2, code=2).stderr
    assert "--more-seeds is for searches of α, β, γ" in said
    with pytest.raises(ScalenetError, match="a search for a baseline"):
        scalenet.open_search(searched.folder)
    with pytest.raises(ScalenetError, match="holds no search for a baseline"):
        scalenet.open_baseline_search(searched.folder.parent)


def test_a_storage_of_many_searches_lists_and_resumes_those_for_baselines(tmp_path, monkeypatch):
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    stop = tmp_path / "stop"
    stop.touch()
    (tmp_path / "my_judge.py").write_text(f"from pathlib import Path\nSTOP = Path({str(stop)!r})\n{JUDGE}")
    monkeypatch.syspath_prepend(tmp_path)
    begun = asked(tmp_path / "mine", "my_judge:judge", trials=5, seeds=1, storage=storage)
    with pytest.raises(KeyboardInterrupt):
        begun.run(say=None)

    with pytest.raises(ScalenetError, match="unknown search 'other'"):
        scalenet.open_baseline_search(tmp_path / "mine", storage=storage, name="other")

    (row,) = json.loads(command("list", "--storage", storage, "--json").stdout)
    assert (row["name"], row["state"]) == ("mine", "idle")
    assert not json.loads(command("results", tmp_path / "mine", "--storage", storage, "--json").stdout)["finished"]
    assert "asked 0 workers to stop" in command("stop", tmp_path / "mine", "--storage", storage).stderr

    stop.unlink()
    again = scalenet.open_baseline_search(tmp_path / "mine", storage=storage).run(workers=1, say=None)
    assert again.status().finished
    assert (tmp_path / "mine" / "baseline.yaml").is_file()
    assert again.command("resume") == f"scalenet search resume {tmp_path / 'mine'} --storage {storage}"

    others = tmp_path / "other" / "mine"
    with pytest.raises(
        ScalenetError, match=r"'mine', is the baseline search in .*, of which .*other/mine has no files"
    ):
        asked(others, "my_judge:judge", trials=5, seeds=1, storage=storage).run(say=None)
    assert not others.exists()
    said: list[str] = []
    scalenet.open_baseline_search(others, storage=storage).run(say=said.append)
    assert any("other/mine has no files: its results count" in line for line in said)


@pytest.mark.parametrize("finished", [False, True])
def test_the_time_of_earlier_runs_counts_as_long_as_they_took(tmp_path, monkeypatch, finished):
    whole, parted, said = Timed(), Timed(), list[str]()
    monkeypatch.setattr("time.monotonic", lambda: whole.now + parted.now)
    monkeypatch.setattr("time.perf_counter", lambda: 3 * (whole.now + parted.now))  # as of three workers at once
    search = asked(tmp_path / "whole", whole, time_limit=150).run(say=said.append)
    assert any(line.endswith("are trained to the end") or "hold another round" in line for line in said)
    if finished:
        before = len(whole.calls)
        search.run(say=None)
        assert len(whole.calls) == before
        return
    parted.stop_at = TRIALS
    search = asked(tmp_path / "parted", parted, time_limit=150)
    with pytest.raises(KeyboardInterrupt):
        search.run(say=None)
    parted.now += 1000
    search.run(say=None)
    assert parted.calls == whole.calls


class Timed:
    """A judge whose trainings take their time by a clock of its own."""

    def __init__(self) -> None:
        self.now, self.calls, self.stop_at = 0.0, list[tuple[str, int, int]](), -1

    def __call__(self, architecture: Architecture, *, budget: int, seed: int, **others: Any) -> float:
        if len(self.calls) == self.stop_at:
            self.stop_at = -1
            raise KeyboardInterrupt
        self.calls.append((architecture.name, seed, budget))
        self.now += budget
        return judge(architecture, budget=budget, seed=seed, **others)


def test_other_trials_are_refused_also_between_two_trainings_of_who_takes_part(tmp_path):
    refused = list[str]()

    def ask(line: str) -> None:
        if line.startswith("[3/"):
            for other in ({"trials": TRIALS + 1}, {"time_limit": 60}, {"force": True}):
                with pytest.raises(ScalenetError, match="others take part just now") as error:
                    asked(tmp_path / "search", **other).run(say=None)
                refused.append(error.value.message)

    search = asked(tmp_path / "search").run(say=ask)
    assert refused[0] == f"{search.folder}: others take part just now with other trials, seeds or time"
    assert search.plan.hunt.trials == TRIALS
