"""Searches with a pilot: the rate is found first, every candidate is trained at it, and it is said."""

from __future__ import annotations

import csv
import json
import sys
from typing import TYPE_CHECKING, Any

import commands
import pytest
from commands import SCALENET

import scalenet
from scalenet.arch.config import as_data, as_record
from scalenet.arch.errors import RunError, ScalenetError
from scalenet.search.plan import Plan

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

RATES = (0.01, 0.03, 0.1)


class Judge:
    """A function that knows what rates are worth, and which trainings it was called for."""

    def __init__(self, worth: Mapping[float, float | None], *, stop_at: int | None = None) -> None:
        self.worth, self.stop_at = worth, stop_at
        self.calls: list[tuple[str, float, int, int]] = []

    def __call__(self, architecture: Any, *, budget: int, seed: int, learning_rate: float, **_: Any) -> float | None:
        if len(self.calls) == self.stop_at:
            self.stop_at = None
            raise KeyboardInterrupt
        self.calls.append((architecture.name, learning_rate, seed, budget))
        worth = self.worth.get(learning_rate, 0.5)
        return None if worth is None else worth + 0.01 * seed + 0.001 * len(architecture.name)

    @property
    def rates(self) -> list[float]:
        return [rate for _, rate, _, _ in self.calls]


def asked(tiny: Path, folder: Path, evaluate: Any, **options: Any) -> scalenet.Search:
    own = {"grid": tiny / "grid.yaml", "epochs": 3, "seeds": 2, "halving": 1, "say": None, "rates": RATES} | options
    return scalenet.grid_search(tiny / "net.yaml", evaluate=evaluate, folder=folder / "run", **own)


def test_the_baseline_is_trained_at_three_rates_and_every_candidate_at_the_one_that_was_found(tiny, tmp_path):
    judge, said = Judge({0.03: 0.8, 0.1: 0.4}), list[str]()
    search = asked(tiny, tmp_path, judge, say=said.append)
    assert said[-1] == "a pilot first: the baseline at learning rates of 0.01, 0.03, 0.1 (2 epochs)"
    assert (search.status().planned, str(search.status())[:24]) == (9, "pilot, 3 learning rates ")
    assert "9 trainings, 3 of them the pilot's" in search.expected()[-1]
    search.run(say=said.append)
    assert judge.calls[:3] == [("tiny", rate, 0, 2) for rate in RATES]
    assert {name for name, *_ in judge.calls[3:]} == {"tiny_a2_b1_g1", "tiny_a1_b1.5_g1", "tiny_a1_b1_g1.5"}
    (found,) = set(judge.rates[3:])
    assert 0.02 < found < 0.04
    sentence = f"learning rate: {found:g}, by a pilot of the baseline at 0.01, 0.03, 0.1 (2 epochs): "
    sentence += "50.40 %, 80.40 %, 40.40 %"
    assert sentence in said
    assert sentence in search.answer.sentences
    evidence = search.answer.evidence
    assert (evidence.learning_rate, evidence.spent, evidence.exhaustive) == (found, 18, 18)
    assert [tried.rate for tried in evidence.pilot.rates] == list(RATES)
    assert (search.status().data()["learning_rate"], search.status().about_rate()) == (found, sentence)
    assert f"{found:g}, found by a pilot" in (search.folder / "report.html").read_text()


def test_the_pilot_is_no_candidate(tiny, tmp_path):
    search = asked(tiny, tmp_path, Judge({0.03: 0.8})).run(say=None)
    jobs = search.jobs()
    assert list(jobs["rung"]) == [0] * 3 + [1] * 6
    assert set(jobs["name"][:3]) == {"rate_0.01", "rate_0.03", "rate_0.1"}
    names = set(search.results()["name"])
    assert len(names) == 3
    assert (search.answer.evidence.candidates, search.answer.evidence.diverged) == (3, 0)
    rows = list(csv.DictReader((search.folder / "curves.csv").read_text().splitlines()))
    assert {row["name"] for row in rows} <= names
    table = f"table:{search.folder / 'jobs.csv'}"
    known = scalenet.grid_search(
        tiny / "net.yaml", grid=tiny / "grid.yaml", evaluate=table, seeds=2, halving=1, folder=tmp_path / "t", say=None
    )
    assert known.run(say=None).answer.alpha == search.answer.alpha, "its trainings are nothing to a table"


@pytest.mark.parametrize("stop", [0, 2, 3, 5])
def test_a_pilot_that_was_stopped_goes_on_and_finds_the_same(tiny, tmp_path, stop):
    worth = {0.1: 0.8, 0.03: 0.7, 0.3: 0.6}
    judge = Judge(worth, stop_at=stop)
    search = asked(tiny, tmp_path, judge)
    with pytest.raises(KeyboardInterrupt):
        search.run(say=None)
    said: list[str] = []
    asked(tiny, tmp_path, judge).run(say=said.append)
    whole = Judge(worth)
    asked(tiny, tmp_path / "whole", whole).run(say=None)
    assert judge.calls == whole.calls, "no training is done again, nor in another order"
    assert set(whole.rates[:4]) == {*RATES, 0.3}, "the best was at an end"
    if stop < 3:
        assert "the pilot tries a learning rate of 0.3 too" in said


def test_more_seeds_later_find_no_other_rate(tiny, tmp_path):
    judge = Judge({0.03: 0.8, 0.1: 0.4})
    asked(tiny, tmp_path, judge, seeds=1).run(say=None)
    assert len(judge.calls) == 3 + 3
    asked(tiny, tmp_path, judge, seeds=3).run(say=None)
    assert len(judge.calls) == 3 + 9
    scalenet.open_search(tmp_path / "run")
    with pytest.raises(ScalenetError, match="holds another search: pilot differ"):
        asked(tiny, tmp_path, judge, rates=(0.01, 0.03, 0.09)).run(say=None)


def test_where_every_rate_diverges_one_line_says_what_to_do(tiny, tmp_path):
    judge = Judge(dict.fromkeys((*RATES, 0.0033, 0.0011)))
    with pytest.raises(RunError, match=r"no learning rate: at each of 0\.0011, 0\.0033, 0\.01, 0\.03, 0\.1") as error:
        asked(tiny, tmp_path, judge).run(say=None)
    assert "--learning-rate" in (error.value.hint or "")
    assert {name for name, *_ in judge.calls} == {"tiny"}, "no candidate was trained"


def test_a_rate_that_is_given_is_taken_without_a_pilot(tiny, tmp_path):
    judge = Judge({})
    search = asked(tiny, tmp_path, judge, rates=None, learning_rate=0.05).run(say=None)
    assert set(judge.rates) == {0.05}
    assert (len(judge.calls), search.answer.evidence.learning_rate) == (6, 0.05)
    with pytest.raises(ScalenetError, match="learning_rate differ"):
        asked(tiny, tmp_path, judge, rates=None, learning_rate=0.04).run(say=None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rates": [0.01]}, "3 or more different ones are wanted"),
        ({"rates": "0.01,0.01,0.03"}, "3 or more different ones are wanted"),
        ({"rates": "0.01,-0.03,0.1"}, "-0.03 is not a number above 0"),
        ({"rates": "0.01,much,0.1"}, "'much' is not a number above 0"),
        ({"rates": "0.01,0.03,inf"}, "inf is not a number above 0"),
        ({"rates": ""}, "'' is not a number above 0"),
        ({"learning_rate": 0.01}, "--rates and --learning-rate: give one of them"),
        ({"learning_rate": -1, "rates": None}, "--learning-rate: -1 is not a number above 0"),
        ({"learning_rate": float("nan"), "rates": None}, "--learning-rate: nan is not a number above 0"),
    ],
)
def test_rates_that_are_none_are_refused(tiny, tmp_path, options, said):
    with pytest.raises(ScalenetError, match=said):
        asked(tiny, tmp_path, Judge({}), **options)


def test_who_takes_no_rate_gets_none_and_who_needs_one_is_told(tiny, tmp_path):
    def takes_none(architecture, *, budget, seed, folder, report):
        return 0.5

    with pytest.raises(ScalenetError, match="takes no learning rate: every rate would get the same result"):
        asked(tiny, tmp_path, takes_none).run(say=None)
    with pytest.raises(ScalenetError, match="wants a learning rate") as error:
        asked(tiny, tmp_path, Judge({}), rates=None).run(say=None)
    assert "--rates" in (error.value.hint or "")
    (tmp_path / "known.csv").write_text("name,seed,accuracy\nx,0,0.5\n")
    with pytest.raises(ScalenetError, match=r"known\.csv takes no learning rate"):
        asked(tiny, tmp_path, f"table:{tmp_path / 'known.csv'}").run(say=None)
    assert list(tmp_path.iterdir()) == [tmp_path / "known.csv"], "nothing was begun"
    assert asked(tiny, tmp_path, takes_none, rates=None).run(say=None).answer.evidence.learning_rate is None


TRAINER = """
import json, sys
rate, seed = float(sys.argv[2]), int(sys.argv[3])
open(sys.argv[4] + "/rate", "w").write(f"{open(sys.argv[1]).read().splitlines()[1]} {rate}")
print(json.dumps({"accuracy": 0.8 - abs(rate - 0.03) + 0.001 * seed}))
"""


def command(tiny: Path, folder: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    (folder / "trainer.py").write_text(TRAINER)
    trainer = f"{sys.executable} trainer.py {{config}} {{learning_rate}} {{seed}} {{folder}}"
    fixed = ["--base", str(tiny / "net.yaml"), "--grid", str(tiny / "grid.yaml"), "--workers", "1", "--seeds", "2"]
    done = commands.run([*SCALENET, "grid-search", *fixed, "--evaluate", trainer, *words, "-o", "run"], cwd=folder)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_a_trainer_of_ones_own_gets_the_rate_in_its_command(tiny, tmp_path):
    assert "wants a learning rate" in command(tiny, tmp_path, code=2).stderr
    done = command(tiny, tmp_path, "--rates", "0.01,0.03,0.1", "--json")
    found = json.loads(done.stdout)["evidence"]["learning_rate"]
    told = {path.parent.name: path.read_text() for path in tmp_path.glob("run/jobs/*/rate")}
    assert told["rate_0.1_seed0"] == "name: tiny 0.1"
    assert told["tiny_a2_b1_g1_seed1"] == f"name: tiny_a2_b1_g1 {found}"
    assert f"learning rate: {found:g}, by a pilot of the baseline" in done.stderr
    looked = commands.run([*SCALENET, "search", "status", "run"], cwd=tmp_path)
    assert f"learning rate: {found:g}, by a pilot" in looked.stderr
    again = command(tiny, tmp_path, "--rates", "0.01,0.03,0.1", "--force")
    assert "[9/9]" in again.stderr, "all was discarded, the pilot too"


def test_where_every_training_of_the_pilot_fails_one_line_says_why(tiny, tmp_path):
    def broken(architecture, *, learning_rate, **_):
        raise ValueError("no such optimizer")

    with pytest.raises(RunError, match="no such optimizer"):
        asked(tiny, tmp_path, broken).run(say=None)


def trained(tiny: Path, folder: Path, **options: Any) -> scalenet.Search:
    own = {"grid": tiny / "grid.yaml", "epochs": 3, "seeds": 1, "batch_size": 8, "workers": 1, "say": None} | options
    return scalenet.grid_search(tiny / "net.yaml", data=tiny / "images", folder=folder, **own)


def test_scalenets_own_training_has_a_pilot_and_trains_at_what_it_finds(tiny, tmp_path):
    search = trained(tiny, tmp_path / "piloted").run(say=None)
    evidence = search.answer.evidence
    assert {0.00067, 0.002, 0.006} <= {tried.rate for tried in evidence.pilot.rates}, "around the recipe's"
    assert (evidence.pilot.by, evidence.pilot.budget, evidence.pilot.seeds) == ("loss", 3, 1)
    assert all(tried.loss is not None for tried in evidence.pilot.rates)
    fixed = trained(tiny, tmp_path / "fixed", learning_rate=evidence.learning_rate).run(say=None)
    assert fixed.answer.evidence.learning_rate == evidence.learning_rate
    assert fixed.answer.evidence.pilot is None
    same = ["name", "accuracy"]
    assert search.results()[same].values.tolist() == fixed.results()[same].values.tolist()
    opened = scalenet.open_search(tmp_path / "piloted")
    assert opened.request.pilot_rates == (0.00067, 0.002, 0.006)
    assert opened.run(say=None).answer.evidence.learning_rate == evidence.learning_rate
    assert trained(tiny, tmp_path / "set", changes=["optimizer.lr=0.01"]).status().planned == 3
    with pytest.raises(ScalenetError, match=r"--rates and --set optimizer\.lr: give one of them"):
        trained(tiny, tmp_path / "set", changes={"optimizer.lr": 0.01}, rates=RATES)


def test_a_plan_of_before_there_were_pilots_is_read(tiny, tmp_path):
    search = asked(tiny, tmp_path, Judge({}), rates=None, learning_rate=0.05).run(say=None)
    data = as_data(search.plan)
    del data["learning_rate"]
    plan = as_record(Plan, data, "plan")
    assert (plan.pilot, plan.learning_rate) == (None, None)
