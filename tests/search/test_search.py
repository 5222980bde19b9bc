"""A search as a program has it: asked for, run in its own process, looked at, stopped, gone on with, and its answer."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import commands
import pytest
from commands import SCALENET

import scalenet
from scalenet.arch.errors import RunError, ScalenetError
from scalenet.search.answer.ranking import rank
from scalenet.search.asked import ask
from scalenet.search.evaluators import Given
from scalenet.search.plan import Images
from scalenet.search.queue.board import Board
from scalenet.search.request import Request
from scalenet.search.rungs.race import Race
from scalenet.search.rungs.schedule import halving
from scalenet.studies.asked import ask as ask_study

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WORTH = {"a2_b1_g1": 0.7, "a1_b1.5_g1": 0.9, "a1_b1_g1.5": 0.5}


class Judge:
    """A function of a notebook: it knows what candidates are worth, and which jobs it was called for."""

    def __init__(self, *, stop_at: int | None = None) -> None:
        self.calls: list[tuple[str, int, int]] = []
        self.stop_at = stop_at

    def __call__(self, architecture: Any, *, budget: int, seed: int, report: Callable[..., None], **_: Any) -> float:
        if len(self.calls) == self.stop_at:
            self.stop_at = None
            raise KeyboardInterrupt
        self.calls.append((architecture.name, seed, budget))
        report(budget, 0.1)
        return WORTH[architecture.name.partition("_")[2]] + 0.01 * seed + 0.001 * (seed * len(self.calls) % 3)


def asked(tiny: Path, folder: Path, evaluate: Any, **options: Any) -> scalenet.Search:
    own = {"grid": tiny / "grid.yaml", "epochs": 2, "seeds": 2, "halving": 1, "say": None} | options
    return scalenet.grid_search(tiny / "net.yaml", evaluate=evaluate, folder=folder / "run", **own)


def test_nothing_is_trained_or_written_before_it_is_run(tiny, tmp_path):
    said: list[str] = []
    judge = Judge()
    search = asked(tiny, tmp_path, judge, say=said.append)
    assert any("3 candidates" in line for line in said)
    assert list(search.candidates()["name"]) == [f"tiny_{point}" for point in WORTH]
    status = search.status()
    assert (status.begun, status.done, status.planned, status.finished) == (False, 0, 6, False)
    assert "0 of 6 trainings done" in str(status)
    assert "unknown before the first training" in search.expected()[-1]
    assert search.results()["accuracy"].isna().all()
    with pytest.raises(ScalenetError, match="the search is not finished: rung 1 of 1, 3 candidates"):
        _ = search.answer
    with pytest.raises(ScalenetError, match=r"no search was begun here .*run"):
        search.stop()
    assert (judge.calls, list(tmp_path.iterdir())) == ([], [])


def test_a_function_of_this_program_is_called_for_each_training_and_the_answer_has_what_it_said(tiny, tmp_path):
    judge, said, seen = Judge(), list[str](), list[int]()
    search = asked(tiny, tmp_path, judge)
    assert search.run(say=said.append, progress=lambda status: seen.append(status.done)) is search
    assert len(judge.calls) == 6
    assert (search.answer.alpha, search.answer.beta, search.answer.gamma) == (1.0, 1.5, 1.0)
    assert search.answer.accuracy == pytest.approx(0.905, abs=0.002)
    assert search.answer.sentences[0].startswith("best: α = 1, β = 1.5, γ = 1: 90.")
    assert search.answer.multipliers() == {"alpha": 1.0, "beta": 1.5, "gamma": 1.0}
    assert search.results()["name"].iloc[0] == "tiny_a1_b1.5_g1"
    assert len(search.jobs()) == len(search.curves()) == 6
    assert (seen[0], seen[-1]) == (0, 6)
    assert any(line.startswith("[6/6] tiny_") for line in said)
    files = {file.name for file in search.folder.iterdir()}
    assert files >= {"search.db", "search.yaml", "candidates.csv", "coefficients.yaml", "report.html"}
    asked(tiny, tmp_path, judge).run(say=None)
    assert len(judge.calls) == 6, "what is known is not evaluated again"


def test_a_search_that_was_interrupted_gives_back_what_runs_and_goes_on(tiny, tmp_path):
    said: list[str] = []
    judge = Judge(stop_at=3)
    search = asked(tiny, tmp_path, judge)
    with pytest.raises(KeyboardInterrupt):
        search.run(say=said.append)
    assert "stopped; what is finished is kept in" in said[-1]
    status = search.status()
    assert (status.done, status.running, status.failed) == (3, 0, 0)
    search.run(say=None)
    assert len(judge.calls) == len(set(judge.calls)) == 6
    whole = asked(tiny, tmp_path / "whole", Judge()).run(say=None)
    assert search.answer.sentences[:3] == whole.answer.sentences[:3]


def test_ctrl_c_twice_leaves_no_job_to_a_process_that_lives_on(tiny, tmp_path, monkeypatch):
    search = asked(tiny, tmp_path, Judge(stop_at=1))

    def interrupted(*_: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(Board, "give_back", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search.run(say=None)
    assert search.status().running == 0
    assert search.run(say=None).status().finished


def test_a_search_that_was_begun_is_opened_by_its_folder_and_listed(tiny, tmp_path):
    asked(tiny, tmp_path, f"table:{_table(tmp_path)}").run(say=None)
    found = scalenet.open_search(tmp_path / "run")
    assert found.answer.beta == 1.5
    assert found.request.seeds == 2
    assert [search.folder for search in scalenet.searches(tmp_path)] == [tmp_path / "run"]
    with pytest.raises(ScalenetError, match="holds no search"):
        scalenet.open_search(tmp_path)
    with pytest.raises(ScalenetError, match="no such directory"):
        scalenet.searches(tmp_path / "nowhere")


def test_the_winner_and_its_ties_get_more_seeds(tiny, tmp_path):
    table = _table(tmp_path, seeds=4)
    search = asked(tiny, tmp_path, f"table:{table}", seeds=2).run(say=None)
    contenders = 1 + len(search.answer.ties)
    again = scalenet.open_search(tmp_path / "run").run(more_seeds=2, say=None)
    assert len(again.jobs()) == 6 + 2 * contenders
    assert len(again.answer.evidence.rungs) == 2


def test_what_a_finished_search_found_is_worked_out_once_until_another_process_goes_on_with_it(
    tiny, tmp_path, monkeypatch
):
    search = asked(tiny, tmp_path, f"table:{_table(tmp_path, seeds=4)}").run(say=None)
    ranked = Mock(wraps=rank)
    monkeypatch.setattr("scalenet.search.answer.outcome.rank", ranked)
    found = scalenet.open_search(tmp_path / "run")
    for _ in range(2):
        assert found.answer.ties == search.answer.ties
        assert len(found.results()) == len(found.status().rows()) == 3
    assert ranked.call_count == 1
    scalenet.open_search(tmp_path / "run").run(more_seeds=2, say=None)
    assert len(found.answer.evidence.rungs) == 2
    assert len(found.jobs()) == len(search.jobs()) > 6


def test_scalenets_own_training_runs_here_and_leaves_threads_and_random_state_as_they_are(tiny, tmp_path):
    import torch

    before = torch.get_num_threads(), torch.random.get_rng_state()
    options = {"batch_size": 8, "epochs": 4, "workers": 1, "seeds": 1, "learning_rate": 0.002}
    search = asked(tiny, tmp_path, "train", data=tiny / "images", **options)
    sentences = search.expected()
    assert "images to train on" in sentences[0]
    assert "3 trainings, about " in sentences[1]
    said: list[str] = []
    search.run(say=said.append)
    assert "0 of 3 trainings done, 0 running · about " in "\n".join(said)
    assert search.answer.accuracy > 0.8, "light and dark squares are easy"
    assert search.plan.images is not None
    assert search.plan.images.classes == 2
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])


def test_a_search_of_as_many_images_as_the_time_held_goes_on_with_them(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("scalenet.search.speed.seconds_an_image", lambda *_, **__: 1.0)
    options = {"batch_size": 8, "epochs": None, "halving": None, "workers": 1, "seeds": 1, "learning_rate": 0.002}
    place = {"storage": f"sqlite:///{tmp_path}/new.db", "name": "timed"}
    search = asked(tiny, tmp_path, "train", data=tiny / "images", time_limit=400, **options, **place).run(say=None)
    images = search.plan.images
    assert images.train == images.fitted < 60
    monkeypatch.setattr("scalenet.search.speed.seconds_an_image", lambda *_, **__: 0.001)
    said: list[str] = []
    again = scalenet.open_search(tmp_path / "other", **place).run(spend=2, say=said.append)
    assert any("'timed', is the search in" in line and "other has no files: its results" in line for line in said)
    assert again.plan.images == images
    assert again.status().finished


@pytest.mark.drawn
def test_a_finished_search_is_shown_in_a_notebook(tiny, tmp_path):
    search = asked(tiny, tmp_path, Judge(), objective="accuracy-flops")
    assert "0 of 6 trainings done" in search._repr_html_()
    search.run(say=None)
    page = search._repr_html_()
    assert "<b>best: α = 1, β = 1.5, γ = 1:" in page
    assert page.count("<tr>") == 4
    assert search.plot("ties")._repr_png_().startswith(b"\x89PNG")
    assert search.plot().figure.axes
    with pytest.raises(ScalenetError, match="unknown plot 'tie'"):
        search.plot("tie")
    assert "6 of 6 trainings done" in repr(search)


def test_a_folder_holds_one_search_unless_the_other_is_discarded(tiny, tmp_path):
    asked(tiny, tmp_path, Judge()).run(say=None)
    other = asked(tiny, tmp_path, f"table:{_table(tmp_path)}")
    for look in (other.status, other.results, other.run):
        with pytest.raises(ScalenetError, match="holds another search"):
            look()
    forced = asked(tiny, tmp_path, f"table:{_table(tmp_path)}", force=True)
    assert forced.status().begun is False
    assert forced.run(say=None).plan.evaluate.startswith("table:")


@pytest.mark.parametrize("begun", [False, True])
def test_a_refused_search_leaves_no_database(tiny, tmp_path, begun):
    """One whose folder belongs to a search in another storage, and one whose folder is empty."""
    if begun:
        asked(tiny, tmp_path, Judge(), storage=f"sqlite:///{tmp_path}/shared.db", name="mine").run(say=None)
    table = _table(tmp_path, seeds=1)
    with pytest.raises(ScalenetError, match=r"results are missing|holds another search"):
        asked(tiny, tmp_path, Judge() if begun else f"table:{table}").run(say=None)
    assert not list(tmp_path.glob("run/search.db*"))
    assert (tmp_path / "run").exists() is begun


def test_folders_that_are_called_alike_are_not_one_search_of_a_storage(tiny, tmp_path):
    storage = f"sqlite:///{tmp_path}/shared.db"
    mine, others = tmp_path / "mine" / "run", tmp_path / "others" / "run"

    def search(folder: Path, judge: Any, **options: Any) -> scalenet.Search:
        return asked(tiny, folder.parent, judge, storage=storage, **options)

    search(mine, Judge()).run(say=None)
    refused = rf"'run', is the search in {mine}, of which .*others/run has no files \(give this one another --name, or"
    for look in (
        search(others, Judge()).run,
        search(others, Judge()).results,
        search(others, Judge(), force=True).run,
    ):
        with pytest.raises(ScalenetError, match=refused):
            look()
    assert not others.exists()
    assert scalenet.open_search(others, storage=storage).status().finished, "only to be read"
    judge, said = Judge(), []
    search(others, judge, name="theirs").run(say=None)
    assert len(judge.calls) == 6

    mine.parent.rename(tmp_path / "moved")
    (tmp_path / "linked").symlink_to(tmp_path / "moved")
    search(tmp_path / "linked" / "run", judge).run(say=said.append)
    assert not any("has no files" in line for line in said), "wherever its folder is"
    shutil.rmtree(tmp_path / "moved")
    search(mine, judge).run(say=said.append)
    assert any("'run', is the search in" in line and "has no files: its results count" in line for line in said)
    assert len(judge.calls) == 6


def test_what_cannot_be_done_is_said_before_anything_is(tiny, tmp_path):
    for options, said in (
        ({"workers": 2}, "only this process knows this function"),
        ({"epochs": 0}, "--epochs: 0 is not a whole number from 1 on"),
        ({"seeds": True}, "--seeds: True is not a whole number"),
        ({"images": 10}, "--images is for scalenet's own training"),
        ({"recipe": "search"}, "--recipe is for scalenet's own training"),
        ({"objective": "best"}, "goal: "),
        ({"max_params": "5 apples"}, "'5 apples' is not an amount"),
        ({"max_latency": "fast"}, "'fast' is not a time"),
        ({"max_params": 1}, "none of them keeps 1 params"),
        ({"grid": "papr"}, "did you mean 'paper'"),
        ({"name": "second"}, "--name is the search's name in a --storage"),
    ):
        with pytest.raises(ScalenetError, match=said):
            asked(tiny, tmp_path, Judge(), **options).run(say=None)
    with pytest.raises(ScalenetError, match="no evaluator: int"):
        asked(tiny, tmp_path, 3)
    with pytest.raises(ScalenetError, match="no such directory"):
        asked(tiny, tmp_path, "train", data=tmp_path / "nowhere")
    with pytest.raises(ScalenetError, match="is a function of a script or a notebook"):
        asked(tiny, tmp_path, "__main__:judge")
    assert not (tmp_path / "run").exists()


def test_a_function_that_fails_at_once_is_told_with_its_place(tiny, tmp_path):
    def judge(architecture: Any, **_: Any) -> float:
        raise ValueError("no such images")

    with pytest.raises(RunError, match=r"seed 0: ValueError: no such images, see .*log\.txt"):
        asked(tiny, tmp_path, judge).run(say=None)


def test_a_changed_function_is_told_before_its_results_are_mixed(tiny, tmp_path):
    def judge(architecture: Any, **_: Any) -> float:
        return 0.5

    asked(tiny, tmp_path, judge).run(say=None)

    def other(architecture: Any, **_: Any) -> float:
        return 0.6

    other.__qualname__ = judge.__qualname__
    with pytest.raises(ScalenetError, match=r"the contents of .*judge differ"):
        asked(tiny, tmp_path, other).run(say=None)


SCALE = 1.0
BEGAN = time.time()


def scaled(architecture: Any, *, scale: float = 0.5, **_: Any) -> float:
    return 0.5 * scale


def other(architecture: Any, **_: Any) -> float:
    return 0.6


def halved(value: float) -> float:
    return 0.5 * value


def closed(scale: Any) -> Callable[..., float]:
    def judge(architecture: Any, **_: Any) -> float:
        return 0.5 * scale["of all"][0](1)

    return judge


class Scaled:
    """An object that knows how often it was called."""

    def __init__(self, scale: float) -> None:
        self.scale, self.calls = scale, 0

    def __call__(self, *_: Any, **__: Any) -> float:
        self.calls += 1
        return 0.5 * self.scale

    def method(self, *_: Any, **__: Any) -> float:
        return halved(SCALE * self.scale)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda scale: partial(scaled, scale=scale), "scale of functools:partial"),
        (lambda scale: partial(scaled if scale == 1 else other), "other of functools:partial"),
        (lambda scale: closed({"of all": [partial(pow, scale)]}), "scale of .*closed.<locals>.judge"),
        (Scaled, "scale of .*:Scaled"),
        (lambda scale: Scaled(scale).method, "scale of .*:Scaled.method"),
        (lambda scale: lambda *_, own=scale, **__: 0.5 * own, "own of .*<lambda>"),
        (lambda scale: (lambda *_, **__: 0.5, lambda *_, **__: 0.6)[scale == 1], "the code of .*<lambda>"),
    ],
)
def test_a_function_with_other_values_is_told_before_its_results_are_mixed(tiny, tmp_path, make, said):
    judge = make(1)
    asked(tiny, tmp_path, judge).run(say=None)
    assert Given(judge).sources() == Given(make(1)).sources()
    with pytest.raises(ScalenetError, match=rf"the contents of .*{said}.* differ"):
        asked(tiny, tmp_path, make(2)).run(say=None)


def test_global_values_and_functions_of_its_module_are_a_functions_too(tiny, tmp_path, monkeypatch):
    judge = Scaled(1).method
    asked(tiny, tmp_path, judge).run(say=None)
    for name, value in (("SCALE", 0.9), ("halved", lambda value: 0.4 * value)):
        with monkeypatch.context() as changed:
            changed.setitem(globals(), name, value)
            with pytest.raises(ScalenetError, match=rf"the contents of {name} of .*:Scaled.method differ"):
                asked(tiny, tmp_path, judge).run(say=None)
    assert asked(tiny, tmp_path, judge).run(say=None).status().finished


def test_what_its_module_computes_does_not_keep_a_search_from_going_on():
    def judge(*_: Any, **__: Any) -> float:
        return SCALE + BEGAN

    given = Given(judge)
    assert [name for name in given.sources() if "SCALE" in name or "BEGAN" in name] == [f"SCALE of {given}"]
    assert given.unnoticed() == f"{given}: a change of BEGAN goes unnoticed: take another folder after one"


def test_what_a_function_is_made_of_has_the_same_digests_in_every_process(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(ANYTHING)
    sources = runpy.run_path(str(script), run_name="__main__")["sources"]
    assert set(sources) == {
        "__main__:judge",
        *(f"{name} of __main__:judge" for name in ("where", "options", "helper", "sqrt", "names")),
    }
    apart = subprocess.check_output([sys.executable, script], env={**os.environ, "PYTHONHASHSEED": "1"})
    assert json.loads(apart) == sources


def test_a_lambda_is_known_by_its_own_text_and_not_by_what_stands_beside_it():
    one = {"evaluate": lambda *_, **__: 0.5, "seeds": 2}
    same = {"evaluate": lambda *_, **__: 0.5, "seeds": [lambda: lambda: 0.5, 3]}
    assert Given(one["evaluate"]).sources() == Given(same["evaluate"]).sources()


ANYTHING = """
import json
from functools import partial
from math import sqrt
from pathlib import Path
from scalenet.search.evaluators import Given
names = ["a", None, 2.5, True]
def helper(value):
    return judge, value
def judge(architecture, *, where=Path("there"), options={"one": (1, partial(helper, sqrt)), "two": b"2"}, **_):
    return helper(sqrt(len(names)))
sources = Given(judge).sources()
print(json.dumps(sources))
"""


def test_what_of_a_function_may_change_unnoticed_is_said_once(tiny, tmp_path):
    said: list[str] = []
    images, calls = object(), []

    def judge(architecture: Any, **_: Any) -> float:
        calls.append(architecture.name)
        return 0.5 if images else 0.6

    asked(tiny, tmp_path, judge).run(say=said.append)
    (line,) = [line for line in said if "unnoticed" in line]
    assert "judge: a change of calls, images goes unnoticed" in line
    assert len(calls) == 6
    assert asked(tiny, tmp_path, judge).run(say=None).status().finished
    assert Given(closed({})).unnoticed() is None


@pytest.mark.parametrize("judge", [partial(scaled, scale=1), Scaled(1), lambda *_, **__: 0.5, closed({})])
def test_searches_that_earlier_versions_began_go_on(tiny, tmp_path, monkeypatch, judge):
    """They recorded nothing but the text of a function, and the whole statement that a lambda stands in."""
    text = {name: digest for name, digest in Given(judge).sources().items() if " of " not in name}
    before = text or ({"tests:<lambda>": "sha256:0"} if hasattr(judge, "__name__") else {})
    with monkeypatch.context() as earlier:
        earlier.setattr(Given, "sources", lambda _: before)
        asked(tiny, tmp_path, judge).begin(say=None)
    asked(tiny, tmp_path, judge).begin(say=None)
    assert scalenet.open_search(tmp_path / "run").plan.sources == Given(judge).sources()


JUDGES = """
import time

def judge(architecture, *, budget, seed, folder, report):
    time.sleep(0.3)
    return 0.5 + 0.01 * (len(architecture.name) + seed)
"""

SCRIPT = """
import scalenet, judges
options = {{"grid": "{grid}", "evaluate": judges.judge, "epochs": 1, "seeds": 10}}
scalenet.grid_search("{net}", **options, folder="run", workers=2).run()
"""


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    """Yield a list whose processes are ended afterwards."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def test_what_a_script_began_the_command_goes_on_with_and_another_script_reads(tiny, tmp_path, processes):
    (tmp_path / "judges.py").write_text(JUDGES)
    (tmp_path / "begin.py").write_text(SCRIPT.format(net=tiny / "net.yaml", grid=tiny / "grid.yaml"))
    begun = [sys.executable, "begin.py"]
    processes.append(subprocess.Popen(begun, cwd=tmp_path, stderr=subprocess.PIPE, text=True))
    _wait_for(lambda: _done(tmp_path / "run") >= 3)
    processes[0].kill()
    words = ["--base", str(tiny / "net.yaml"), "--grid", str(tiny / "grid.yaml"), "--evaluate", "judges:judge"]
    words += ["--epochs", "1", "--seeds", "10", "--workers", "2", "-o", "run", "--json"]
    known = scalenet.open_search(tmp_path / "run").jobs()
    went_on = commands.start([*SCALENET, "grid-search", *words], cwd=tmp_path)
    _wait_for(lambda: _done(tmp_path / "run") > len(known) and scalenet.open_search(tmp_path / "run").status().running)
    status = scalenet.open_search(tmp_path / "run").status()
    assert 3 <= status.done < status.planned == 30, "read while it runs"
    stdout, stderr = went_on.communicate(timeout=120)
    assert went_on.returncode == 0, stderr
    answer = json.loads(stdout)
    found = scalenet.open_search(tmp_path / "run")
    assert found.answer.beta == answer["beta"]
    after = found.jobs().merge(known, on=list(known.columns))
    assert len(after) == len(known), "what the script had finished was not evaluated again"
    assert len(found.jobs()) == 30


def _done(folder: Path) -> int:
    try:
        return scalenet.open_search(folder).status().done
    except (ScalenetError, RunError):
        return 0


def _wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _table(folder: Path, seeds: int = 2) -> Path:
    rows = [f"tiny_{point},{seed},{worth + 0.01 * seed}" for point, worth in WORTH.items() for seed in range(seeds)]
    file = folder / "known.csv"
    file.write_text("\n".join(["name,seed,accuracy", *rows]) + "\n")
    return file


def test_trainings_are_on_all_gpus_where_there_are_some_and_other_evaluators_find_theirs(tiny, monkeypatch):
    request = Request(base=tiny / "net.yaml", grid=tiny / "grid.yaml", seeds=4)
    assert set(ask(request).workers()) == {"cpu"}
    monkeypatch.setattr("scalenet.training.devices.usable_device", lambda name: name or "cuda")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert ask(request).workers() == ["cuda:0", "cuda:1"]
    own = replace(request, evaluate="true {config} {seed}", workers=3)
    assert ask(own).workers() == ["cpu"] * 3


def test_candidates_race_where_that_saves_anything_and_are_halved_where_they_are_asked_to_be():
    few, many = (ask(Request(base="small_resnet", grid=grid)) for grid in ("small", "shares"))
    for asked in (few, many):
        raced = asked.schedule()
        assert isinstance(raced, Race)
        assert raced.cap < raced.exhaustive == 4 * len(asked.candidates)
    assert len(few.candidates) == 7
    assert many.schedule().exhaustive > 56
    nothing_to_save = ask(Request(base="small_resnet", grid="small", seeds=2))
    assert nothing_to_save.schedule() == halving(7, seeds=range(2), budget=5, factor=1)
    asked = ask(Request(base="small_resnet", grid="small", halving=5))
    assert asked.schedule() == halving(7, seeds=range(4), budget=5, factor=5)


@pytest.mark.parametrize("images", [None, 6000])
def test_what_is_gone_on_with_renders_as_many_images_as_it_began_with(monkeypatch, images):
    monkeypatch.setattr("scalenet.search.setting.EMBEDDED_IMAGES", 7000)
    search = ask(Request(base="small_resnet", images=images))
    baseline = scalenet.baseline_search(flops="5M", images=images, say=None).asked
    study = ask_study("methods", search.request, say=Mock())
    begun = Images(name="embedded", digest="", train=8000, validation=4000, classes=16, chance=1 / 16)
    for asked in (search, baseline, study):
        assert asked.train_images() == (images or 7000)
        again = asked.in_time(Mock(images=begun), say=Mock())
        assert again.train_images() == (images or 8000), "who asks for another number gets that"


def test_a_race_may_be_asked_for_where_it_is_not_usual():
    raced = ask(Request(base="small_resnet", grid="small", within=0.5, seeds=2)).schedule()
    assert isinstance(raced, Race)
    assert (raced.within, raced.cap, raced.exhaustive) == (0.005, 14, 14)
    timed = ask(Request(base="small_resnet", grid="small", time_limit="15min")).schedule()
    assert isinstance(timed, Race)
    assert timed.time_limit == 900


@pytest.mark.parametrize("images", [None, 8000])
def test_a_time_limit_that_holds_no_answer_takes_fewer_images_unless_their_number_was_asked_for(monkeypatch, images):
    monkeypatch.setattr("scalenet.search.setting.EMBEDDED_IMAGES", 8000)
    monkeypatch.setattr("scalenet.search.speed.seconds_an_image", lambda *_, **__: 0.01)
    search = ask(Request(base="small_resnet", images=images, time_limit="20min", workers=1))
    baseline = scalenet.baseline_search(flops="5M", images=images, time_limit="40min", workers=1, say=None)
    for asked in (search, baseline.asked):
        said: list[str] = []
        if images is None:
            found = asked.in_time(None, say=said.append)
            assert re.match(r"\d,\d00 of 8,000 images to train on, which is what the time holds: --images ", said[0])
            assert (found.budget, found.train_images()) == (5, found.fitted)
        else:
            with pytest.raises(ScalenetError, match="the trainings that an answer needs take about"):
                asked.in_time(None, say=said.append)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"halving": 2, "spend": 0.5}, "--halving and --spend are two ways to search"),
        ({"within": 0}, "--within: 0 is not a number above 0"),
        ({"spend": float("inf")}, "--spend: inf is not a number above 0"),
        ({"spend": [1]}, "--spend: [1] is not a number above 0"),
        ({"within": "0.5"}, "--within: '0.5' is not a number above 0"),
        ({"time_limit": "soon"}, "'soon' is not a time"),
        ({"time_limit": "1s,2s"}, "--time-limit 1s,2s: one time is wanted"),
        ({"spend": 0.5, "epochs": 1}, "--spend is for a race, and there is none of trainings of one length"),
    ],
)
def test_what_no_race_can_be_is_refused_in_one_line(options, said):
    with pytest.raises(ScalenetError, match=re.escape(said)):
        ask(Request(base="small_resnet", grid="small", **options)).schedule()


def test_a_share_that_holds_no_answer_is_said():
    said = "--spend 0.05 is too little for an answer: the race takes 0.26"
    assert said in [*ask(Request(base="small_resnet", grid="small", spend=0.05)).lines()]
    assert not [
        line for line in ask(Request(base="small_resnet", grid="small", spend=0.35)).lines() if "--spend" in line
    ]
