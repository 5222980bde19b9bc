"""Evaluators as a user gives them: a trainer of one's own, a function, a table of known results."""

from __future__ import annotations

import contextlib
import csv
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import commands
import numpy as np
import pytest
import torch
import yaml
from commands import SCALENET

import scalenet
from scalenet.arch.config import load_config
from scalenet.arch.errors import RunError, ScalenetError
from scalenet.costs.network import cost
from scalenet.search.evaluators import Command, Function, Given, Job, Report, Result, Table, find_evaluator
from scalenet.search.queue import board, crew

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_trainer"
PYTHON = sys.executable

TRAINER = """\
import json, sys
config, seed, budget = sys.argv[1:4]
deep = "_a2_" in config
print("reading", config)
print("warming up", file=sys.stderr)
for epoch in range(1, int(budget) + 1):
    print(json.dumps({"epoch": epoch, "accuracy": 0.1 * epoch}), flush=True)
print(json.dumps({"accuracy": 0.9 - 0.3 * deep + 0.01 * int(seed), "loss": 0.5}))
"""

FUNCTIONS = """\
import os

def judge(architecture, *, budget, seed, folder, report):
    print("training", architecture.name)
    report(1, 0.5)
    (folder / "weights").write_text("mine")
    return 0.9 - 0.1 * len(architecture.model.stages) / seed if seed else None

def fail(architecture, **_):
    raise ValueError("no such\\nimages")

def move(architecture, *, budget, seed, folder, report):
    os.chdir(folder)
    (folder / "weights").write_text("mine")
    return 0.5

def interrupt(architecture, **_):
    raise KeyboardInterrupt

def leave(architecture, **_):
    os._exit(7)

def wander(architecture, *, budget, report, **_):
    for epoch, accuracy in [(99, 0.1), (-3, 0.2), (float("nan"), 0.3), (1, 0.4), (budget, 0.5)]:
        report(epoch, accuracy)
    return 0.5

def percent(architecture, *, report, **_):
    report(1, 55)

count = 3
"""


@pytest.fixture
def job(tiny: Path, tmp_path: Path) -> Job:
    """Return a job of the tiny network."""
    return Job("tiny_a2_b1_g1", load_config(tiny / "net.yaml"), tiny / "net.yaml", 1, 2, tmp_path / "job")


def evaluate(evaluator, job: Job) -> tuple[Result, list[Report]]:
    reports: list[Report] = []
    evaluator.check([job])
    return evaluator.evaluate(job, reports.append), reports


def script(tmp_path: Path, text: str) -> str:
    (tmp_path / "trainer.py").write_text(text)
    return f"{PYTHON} {tmp_path}/trainer.py"


def test_a_command_is_given_its_job_and_gives_reports_and_a_result(job, tmp_path):
    command = Command(script(tmp_path, TRAINER) + " {config} {seed} {budget}")
    result, reports = evaluate(command, job)
    assert (result.accuracy, result.loss) == (pytest.approx(0.91), 0.5)
    assert reports == [Report(1.0, pytest.approx(0.1)), Report(2.0, pytest.approx(0.2))]
    log = (job.folder / "log.txt").read_text()
    assert f"reading {job.file}" in log
    assert "warming up" in log


def test_words_are_the_shells_and_what_looks_like_json_is_left_alone(job, tmp_path):
    job.folder.mkdir()
    text = 'import json, sys\nprint(sys.argv[1:], file=sys.stderr)\nprint(json.dumps({"accuracy": 1}))\n'
    words = """ --name={name} 'a b $HOME; {seed}' '{"lr": 0.1}' {config}"""
    assert evaluate(Command(script(tmp_path, text) + words), job)[0].accuracy == 1
    told = (job.folder / "log.txt").read_text().strip()
    assert told == str(["--name=tiny", "a b $HOME; 1", '{"lr": 0.1}', str(job.file)])


@pytest.mark.parametrize("said", ["null", "NaN"])
def test_a_training_that_diverged_has_no_accuracy(job, tmp_path, said):
    command = script(tmp_path, f"""print('{{"accuracy": {said}}}')""") + " {config} {seed}"
    assert evaluate(Command(command), job)[0].accuracy is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys; print('bad luck', file=sys.stderr); sys.exit(7)", "seed 1: exit code 7, see .*log.txt .bad luck"),
        ("print('done')", r"seed 1: no line like .* on stdout, see .*log\.txt"),
        ("""print('{"accuracy": 71.3}')""", r"accuracy 71\.3 is not a fraction between 0 and 1"),
        ("""print('{"accuracy": "high"}')""", "accuracy 'high' is not a fraction"),
        ("""print('{"epoch": 1, "accuracy": 3}')""", "accuracy 3 is not a fraction"),
    ],
)
def test_a_command_that_fails_is_one_line_with_job_and_log(job, tmp_path, text, said):
    with pytest.raises(RunError, match=said) as error:
        evaluate(Command(script(tmp_path, text) + " {config} {seed}"), job)
    assert "tiny_a2_b1_g1" in error.value.message
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("python t.py {confg} {seed}", "unknown placeholder 'confg' .did you mean 'config'"),
        ("python t.py {config} {lr}", r"unknown placeholder 'lr' \(known: \{config\}, \{budget\}, "),
        ("python t.py {seed}", r"no \{config\}: every candidate"),
        ("nowhere-to-be-found {config} {seed}", "nowhere-to-be-found: no such program"),
        ("python 't.py {config} {seed}", "no closing quotation"),
        ("trian", "'trian' is no evaluator .did you mean 'train'"),
        ("no.such.module:judge", r"cannot be imported: ModuleNotFoundError"),
        ("os:no_such_function", r"cannot be imported: AttributeError"),
        ("os:sep", "is str, not a function"),
        ("table:nowhere.csv", "No such file"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_anything_runs(job, text, said):
    with pytest.raises(ScalenetError, match=said):
        find_evaluator(text).check([job])


def test_seeds_and_budgets_must_reach_the_command(job):
    other = Job(job.candidate, job.config, job.file, 2, None, job.folder)
    with pytest.raises(ScalenetError, match=r"no \{seed\}, so that seeds would not differ"):
        Command("python {config}").check([job, other])
    with pytest.raises(ScalenetError, match="--epochs says how much"):
        Command("python {config} {seed} {budget}").check([job, other])
    Command("python {config}").check([job])


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a module of functions, forgotten afterwards."""
    (tmp_path / "judges.py").write_text(FUNCTIONS)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "judges", raising=False)
    return tmp_path


def test_a_function_is_called_with_the_architecture(job, functions):
    result, reports = evaluate(Function("judges:judge", str(functions)), job)
    assert result.accuracy == pytest.approx(0.8)
    assert reports == [Report(1.0, 0.5)]
    assert (job.folder / "weights").read_text() == "mine"


def test_a_function_that_raises_is_one_line_and_its_traceback_is_kept(job, functions):
    with pytest.raises(RunError, match=r"tiny_a2_b1_g1 seed 1: ValueError: no such images, see .*log\.txt"):
        evaluate(Function("judges:fail", str(functions)), job)
    assert "Traceback" in (job.folder / "log.txt").read_text()


def test_a_report_that_is_no_fraction_is_told_as_the_jobs(job, functions):
    with pytest.raises(RunError, match=r"^tiny_a2_b1_g1 seed 1: report\(1\): accuracy 55 is not a fraction .*log\.txt"):
        evaluate(Function("judges:percent", str(functions)), job)


@pytest.mark.parametrize(
    "none", [math.nan, np.float64("nan"), np.float32("nan"), np.array(math.nan), torch.tensor(math.nan), None]
)
def test_every_number_that_is_none_is_a_training_that_diverged(job, none):
    given = Given(lambda *_, report, **__: report(1, none) or none)
    result, (report,) = evaluate(given, job)
    assert (result.accuracy, report.accuracy) == (None, None)
    for wrong in (torch.tensor([0.5, 0.6]), math.inf, 10**400, "nan", True):
        with pytest.raises(RunError, match="is not a fraction between 0 and 1"):
            evaluate(Given(lambda *_, wrong=wrong, **__: wrong), job)


def write_table(tmp_path: Path, *rows: str) -> Table:
    (tmp_path / "known.csv").write_text("\n".join(rows) + "\n")
    return Table(tmp_path / "known.csv")


def test_a_table_has_results_by_candidate_and_seed(job, tmp_path):
    table = write_table(tmp_path, "name,seed,accuracy", "tiny_a2_b1_g1,0,0.5", "tiny_a2_b1_g1,1,0.6")
    assert evaluate(table, job)[0].accuracy == 0.6
    budgets = ("name,seed,budget,accuracy", "tiny_a2_b1_g1,1,1,0.5", "tiny_a2_b1_g1,1,2,0.7")
    assert evaluate(write_table(tmp_path, *budgets), job)[0].accuracy == 0.7
    assert evaluate(write_table(tmp_path, "name,accuracy_seed1", "tiny_a2_b1_g1,0.8"), job)[0].accuracy == 0.8
    assert evaluate(write_table(tmp_path, "name,seed,accuracy", "tiny_a2_b1_g1,1,"), job)[0].accuracy is None


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["name,seed,accuracy", "tiny_a2_b1_g1,0,0.5"], r"no tiny_a2_b1_g1 seed 1; 1 of 1 .*it has seeds 0"),
        (["name,seed,budget,accuracy", "tiny_a2_b1_g1,1,1,0.5"], r"seed 1 with budget 2; 1 of 1 .*it has budgets 1"),
        (["name,seed,accuracy", "tiny_a2_b1_g2,1,0.5"], "did you mean 'tiny_a2_b1_g2'"),
        (["nam,seed,accuracy"], "expected the columns name, seed, accuracy; found nam, seed, accuracy"),
        (["name,seed,accuracy,accuracy", "x,1,0.5,0.6"], r"known\.csv:1: several columns accuracy"),
        (["name,seed,accuracy", "x,one,0.5"], r"known\.csv:2: seed 'one' is not a whole number"),
        (["name,seed,accuracy", "x,1,high"], r"known\.csv:2: accuracy 'high' is not a fraction"),
        (["name,seed,accuracy", "x,1,5"], r"known\.csv:2: accuracy '5' is not a fraction"),
        (
            ["name,seed,accuracy", "x,1,0.5", "x,1,0.5", "x,1,"],
            r"known\.csv:4: another accuracy of x seed 1 .leave one row",
        ),
        (
            ["name,accuracy_seed1,budget", "x,0.5,2", "x,0.6,2"],
            r"known\.csv:3: another accuracy of x seed 1 with budget 2",
        ),
        (["name,seed,accuracy", "x,1,0,77"], r"known\.csv:2: more cells than columns .decimals have a point"),
        (["name,seed,accuracy", "x,0,0.5", "x,1"], r"known\.csv:3: fewer cells than columns .is it cut off"),
        (
            ["name,budget,accuracy_seed1", "tiny_a2_b1_g1,1,0.5", "x,2,0.6"],
            "no tiny_a2_b1_g1 seed 1 with budget 2; 1 of 1 .*it has budgets 1",
        ),
    ],
)
def test_a_table_that_lacks_something_says_what(job, tmp_path, rows, said):
    with pytest.raises(ScalenetError, match=said):
        write_table(tmp_path, *rows).check([job])


def test_a_table_of_one_budget_or_none_serves_jobs_without_one(job, tmp_path):
    for rows in (
        ("name,seed,budget,accuracy", "tiny_a2_b1_g1,1,9,0.5"),
        ("name,budget,accuracy_seed1", "tiny_a2_b1_g1,9,0.5"),
    ):
        assert evaluate(write_table(tmp_path, *rows), replace(job, budget=None))[0].accuracy == 0.5
    unknown = write_table(tmp_path, "name,budget,accuracy_seed1", "tiny_a2_b1_g1,,0.5")
    assert evaluate(unknown, job)[0].accuracy == 0.5
    several = write_table(tmp_path, "name,budget,accuracy_seed1", "tiny_a2_b1_g1,9,0.5", "x,1,0.5")
    with pytest.raises(ScalenetError, match="it has budgets 9; --epochs asks for one"):
        several.check([replace(job, budget=None)])


def test_a_table_of_another_network_is_told_by_its_costs(job, tmp_path):
    own = cost(job.config.architecture())
    flops, params, rows = f"{own.flops}", f"{own.params}", "name,seed,accuracy,flops,params"
    for right in (f"{flops},{params}", ",", f"{flops}.0,", ",0.2M", "0.01,1e3"):
        write_table(tmp_path, rows, f"tiny_a2_b1_g1,1,0.5,{right}", "other,1,0.5,3,4").check([job])
    for wrong, said in (
        (f"{own.flops + 1},", f"{own.flops + 1:,} flops, this one has {own.flops:,} .take a table of this network"),
        (f"{flops},7", f"7 params, this one has {own.params:,} .*without its column params it is taken"),
    ):
        table = write_table(tmp_path, rows, f"tiny_a2_b1_g1,0,0.5,{flops},", f"tiny_a2_b1_g1,1,0.5,{wrong}")
        with pytest.raises(ScalenetError, match=rf"known\.csv:3: results of another tiny_a2_b1_g1: {said}"):
            table.check([job])


def test_a_table_as_spreadsheets_write_it_is_read(job, tmp_path):
    table = write_table(tmp_path, "\ufeffname, seed ,accuracy", "tiny_a2_b1_g1,1,0.6")
    assert evaluate(table, job)[0].accuracy == 0.6


def command(tiny: Path, output: Path, *words: str) -> list[str]:
    fixed = ["--base", str(tiny / "net.yaml"), "--grid", str(tiny / "grid.yaml"), "--workers", "1", "--seeds", "2"]
    return [*SCALENET, "grid-search", *fixed, "-o", str(output), *words]


def search(tiny: Path, output: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = commands.run(command(tiny, output, *words), cwd=output.parent)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_a_search_by_command_ranks_and_can_be_replayed_from_its_table(tiny, tmp_path):
    output, trainer = tmp_path / "run", script(tmp_path, TRAINER) + " {config} {seed} {budget}"
    done = search(tiny, output, "--evaluate", trainer, "--epochs", "2", "--json")
    answer = json.loads(done.stdout)
    assert answer["evidence"]["evaluate"] == trainer
    assert "data" not in answer["evidence"]
    assert [row["accuracy"] for row in answer["candidates"]] == pytest.approx([0.905, 0.905, 0.605])
    curves = list(csv.DictReader((output / "curves.csv").read_text().splitlines()))
    assert len(curves) == 12
    assert curves[0].keys() == {"name", "seed", "budget", "epoch", "accuracy"}
    again = search(tiny, tmp_path / "replay", "--evaluate", f"table:{output}/candidates.csv", "--json")
    replayed = json.loads(again.stdout)
    assert [row["accuracy"] for row in replayed["candidates"]] == [row["accuracy"] for row in answer["candidates"]]
    refused = search(tiny, output, "--evaluate", trainer + " --more", "--epochs", "2", code=2)
    assert "holds another search: evaluate differ" in refused.stderr
    objective = search(tiny, output, "--evaluate", trainer, "--epochs", "2", "--objective", "accuracy-flops", "--json")
    assert "6 of 6 trainings done" in objective.stderr
    evidence = json.loads(objective.stdout)["evidence"]
    assert evidence["objective"] == "accuracy-flops"
    assert evidence["score"] == pytest.approx(0.905 * (evidence["flops_ratio"] / 2) ** -0.07, abs=1e-4)


def test_a_search_by_function_prints_nothing_of_it_on_stdout(tiny, functions):
    words = ["--evaluate", "judges:judge", "--epochs", "3", "--seed", "1", "--json"]
    process = commands.start(command(tiny, functions / "run", *words), cwd=functions)
    stdout, stderr = process.communicate(timeout=120)
    assert json.loads(stdout)["evidence"]["seeds"] == 2
    assert "training tiny" in stderr


def test_a_function_that_moves_elsewhere_has_its_folders_where_they_are(tiny, functions):
    search(tiny, functions / "run", "--evaluate", "judges:move", "--epochs", "1", "-o", "run")
    assert len(list((functions / "run" / "jobs").glob("*/weights"))) == 6
    assert not list(functions.rglob("jobs/*/run"))


def test_reports_from_beyond_the_budget_are_left_out(tiny, functions):
    search(tiny, functions / "run", "--evaluate", "judges:wander", "--epochs", "2")
    curves = list(csv.DictReader((functions / "run" / "curves.csv").read_text().splitlines()))
    assert {row["epoch"] for row in curves} == {"1", "2"}


def test_a_function_that_interrupts_itself_fails(tiny, functions):
    done = search(tiny, functions / "run", "--evaluate", "judges:interrupt", "--epochs", "1", code=3)
    assert "seed 0: KeyboardInterrupt, see " in done.stderr
    assert "died" not in done.stderr


def test_workers_that_end_by_themselves_do_not_lack_memory(tiny, functions):
    done = search(tiny, functions / "run", "--evaluate", "judges:leave", "--epochs", "1", code=3)
    assert "died with exit code 7" in done.stderr
    assert "others before it too" in done.stderr
    assert "memory" not in done.stderr


def test_a_candidate_that_kills_its_workers_fails_and_the_others_are_trained(tiny, functions, monkeypatch):
    """Its two seeds kill one worker after the other, more than a search bears where several candidates do."""
    (functions / "judges.py").write_text(
        "import os\ndef judge(architecture, **_):\n    return os._exit(7) if '_a2_' in architecture.name else 0.5\n"
    )
    monkeypatch.chdir(functions)
    monkeypatch.setattr(board, "DEATHS", 3)
    monkeypatch.setattr(crew, "_DEATHS", 1)
    options = {"grid": tiny / "grid.yaml", "evaluate": "judges:judge", "epochs": 1, "seeds": 2, "halving": 1}
    search = scalenet.grid_search(tiny / "net.yaml", **options, folder="run", say=None).run(workers=2, say=None)
    assert list(search.results().set_index("name")["failed"][["tiny_a2_b1_g1", "tiny_a1_b1_g1.5"]]) == [2, 0]


def test_a_search_whose_command_fails_ends_with_one_line_and_begins_nothing(tiny, tmp_path):
    trainer = script(tmp_path, "import sys; sys.exit('no images')")
    done = search(tiny, tmp_path / "run", "--evaluate", trainer + " {config} {seed}", code=3)
    assert "exit code 1, see " in done.stderr
    assert "no images" in done.stderr
    search(tiny, tmp_path / "none", "--evaluate", trainer + " {confg} {seed}", code=2)
    assert not (tmp_path / "none").exists()


def test_one_seed_of_an_evaluator_says_nothing_of_the_noise(tiny, tmp_path):
    rows = ["tiny_a2_b1_g1,0.9", "tiny_a1_b1.5_g1,0.2", "tiny_a1_b1_g1.5,0.3"]
    write_table(tmp_path, "name,accuracy_seed0", *rows)
    done = search(tiny, tmp_path / "a run", "--evaluate", "table:known.csv", "--seeds", "1")
    assert f"--base '{tmp_path}/a run/base.yaml'" in done.stderr, "as a shell takes it"
    assert "none of the other 2 candidates can be told from it" in done.stderr
    assert "nothing is known of the noise" in done.stderr
    assert "margin" not in yaml.safe_load((tmp_path / "a run" / "coefficients.yaml").read_text())["evidence"]


def test_where_all_score_alike_no_agreement_of_seeds_is_told(tiny, tmp_path):
    rows = [f"{name},0.9,0.9" for name in ("tiny_a2_b1_g1", "tiny_a1_b1.5_g1", "tiny_a1_b1_g1.5")]
    write_table(tmp_path, "name,accuracy_seed0,accuracy_seed1", *rows)
    done = search(tiny, tmp_path / "run", "--evaluate", "table:known.csv")
    assert "all candidates score alike" in done.stderr
    assert "rank correlation" not in done.stderr


LATE = """
import json, os, sys
if int(sys.argv[2]) >= 2 and not os.path.exists("room"):
    sys.exit("CUDA out of memory")
good = 0.8 + 0.01 * (len(sys.argv[1]) + int(sys.argv[2]) & 1)
print(json.dumps({"accuracy": 0.2 if "g1.5" in sys.argv[1] else good}))
"""


def resume(output: Path, *words: str, code: int = 0) -> str:
    command = [*SCALENET, "search", "resume", str(output), *words]
    done = commands.run(command, cwd=output.parent)
    assert done.returncode == code, done.stderr
    return done.stderr


def test_more_seeds_that_fail_change_no_answer_and_are_tried_again(tiny, tmp_path):
    output = tmp_path / "run"
    search(tiny, output, "--evaluate", script(tmp_path, LATE) + " {name} {seed}")
    first = yaml.safe_load((output / "coefficients.yaml").read_text())
    stderr = resume(output, "--more-seeds", "1", code=3)
    assert "rung 2: a training of every candidate failed" in stderr
    assert "CUDA out of memory" in stderr
    again = yaml.safe_load((output / "coefficients.yaml").read_text())
    assert [again[name] for name in ("alpha", "beta", "gamma")] == [first[name] for name in ("alpha", "beta", "gamma")]
    (tmp_path / "room").touch()
    resume(output)
    assert len(yaml.safe_load((output / "coefficients.yaml").read_text())["evidence"]["rungs"]) == 2


def test_more_seeds_than_a_table_has_are_refused_and_change_nothing(tiny, tmp_path):
    rows = [f"{name},0.9,0.9" for name in ("tiny_a2_b1_g1", "tiny_a1_b1.5_g1", "tiny_a1_b1_g1.5")]
    write_table(tmp_path, "name,accuracy_seed0,accuracy_seed1", *rows)
    search(tiny, tmp_path / "run", "--evaluate", "table:known.csv")
    assert "no tiny_a1_b1.5_g1 seed 2" in resume(tmp_path / "run", "--more-seeds", "1", code=2)
    assert (tmp_path / "run" / "coefficients.yaml").exists()
    assert "rung 1 of 1" in resume(tmp_path / "run")


def test_another_schedule_says_that_more_seeds_do_not_count(tiny, tmp_path):
    columns = ",".join(f"accuracy_seed{seed}" for seed in range(4))
    rows = [f"{name},0.9,0.9,0.9,0.9" for name in ("tiny_a2_b1_g1", "tiny_a1_b1.5_g1", "tiny_a1_b1_g1.5")]
    write_table(tmp_path, f"name,{columns}", *rows)
    words = ("--evaluate", "table:known.csv")
    search(tiny, tmp_path / "run", *words)
    resume(tmp_path / "run", "--more-seeds", "1")
    assert "does not count" not in search(tiny, tmp_path / "run", *words).stderr
    assert "does not count" in search(tiny, tmp_path / "run", *words, "--seeds", "4").stderr


def test_a_reader_who_has_enough_of_stderr_ends_no_search(tiny, tmp_path):
    rows = [f"{name},0.9,0.9" for name in ("tiny_a2_b1_g1", "tiny_a1_b1.5_g1", "tiny_a1_b1_g1.5")]
    write_table(tmp_path, "name,accuracy_seed0,accuracy_seed1", *rows)
    reader, writer = os.pipe()
    os.close(reader)
    words = command(tiny, tmp_path / "run", "--evaluate", "table:known.csv")
    done = subprocess.run(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=writer, check=False)
    os.close(writer)
    assert (done.returncode, (tmp_path / "run" / "coefficients.yaml").exists()) == (0, True)
    assert done.stdout


def test_a_single_candidate_is_as_sure_as_its_mean_over_seeds(tiny, tmp_path):
    (tmp_path / "one.yaml").write_text((tiny / "grid.yaml").read_text().replace(", [1, 1.5, 1], [1, 1, 1.5]", ""))
    write_table(tmp_path, "name,accuracy_seed0,accuracy_seed1", "tiny_a2_b1_g1,0.90,0.91")
    done = search(tiny, tmp_path / "run", "--grid", "one.yaml", "--evaluate", "table:known.csv", "--seeds", "2")
    assert "90.50 ± 6.35 %" in done.stderr  # 12.7 standard errors of 0.5 points
    assert "there was no other candidate" in done.stderr
    assert "told from it" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "images"], "--data is for scalenet's own training"),
        (["--recipe", "serch"], "--recipe is for scalenet's own training"),
        (["--learning-rate", "0.1"], "without {learning_rate} takes no learning rate"),
        (["--evaluate", "train", "--classes", "5"], "--classes is for other evaluators"),
        (["--max-params", "1M,2M"], "one amount is wanted"),
        (["--max-latency", "1us,2us"], "one time is wanted"),
        (["--max-latency", "1us"], "every candidate is slower than"),
        (["--max-params", "10"], "none of them keeps 10 params"),
    ],
)
def test_options_that_would_do_nothing_are_refused(tiny, tmp_path, words, said):
    words = ["--evaluate", "true {config} {seed}", *words]
    assert said in search(tiny, tmp_path / "run", *words, code=2).stderr


def test_a_recipe_of_the_environment_is_for_other_trainings(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("SCALENET_RECIPE", "small_images")
    rows = [f"{name},0.9,0.8" for name in ("tiny_a2_b1_g1", "tiny_a1_b1.5_g1", "tiny_a1_b1_g1.5")]
    write_table(tmp_path, "name,accuracy_seed0,accuracy_seed1", *rows)
    search(tiny, tmp_path / "run", "--evaluate", "table:known.csv")


def test_ctrl_c_ends_the_trainers_too(tiny, tmp_path):
    trainer = script(
        tmp_path, "import os, sys, time\nopen(sys.argv[1] + '/pid', 'w').write(str(os.getpid()))\ntime.sleep(60)"
    )
    words = command(tiny, tmp_path / "run", "--workers", "2", "--evaluate", trainer + " {folder} {config} {seed}")
    process = commands.start(words, cwd=tmp_path)
    deadline = time.monotonic() + 60
    while len(files := [file for file in tmp_path.glob("run/jobs/*/pid") if file.read_text()]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    for file in files:
        with pytest.raises(ProcessLookupError):
            os.kill(int(file.read_text()), 0)


FAMILY = """
import os, subprocess, sys, time
kind = sys.argv[1]
with open(sys.argv[2], "a") as file:
    print(os.getpid(), file=file)
if kind == "trainer":
    subprocess.Popen([sys.executable, __file__, "child", sys.argv[2]], start_new_session=True)
elif kind == "child":
    subprocess.Popen([sys.executable, __file__, "grandchild", sys.argv[2]])
if kind != "child":  # its own child has lost its parent then
    time.sleep(300)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a trainer ends when it writes to stdout next")
def test_all_that_a_trainer_has_started_ends_at_once_with_a_worker_that_is_killed(tiny, tmp_path):
    trainer, pids = f"{script(tmp_path, FAMILY)} trainer {tmp_path}/pids", tmp_path / "pids"
    code = f"""
from pathlib import Path
from scalenet.arch.config import load_config
from scalenet.search.evaluators import Command, Job
net = Path({str(tiny / "net.yaml")!r})
Command({trainer!r}).evaluate(Job("tiny", load_config(net), net, 0, None, Path({str(tmp_path / "job")!r})), print)
"""
    worker, deadline = commands.start([PYTHON, "-c", code]), time.monotonic() + 60
    while not (pids.exists() and len(pids.read_text().split()) == 3):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    worker.kill()
    worker.wait(timeout=60)
    while any(alive(pid) for pid in pids.read_text().split()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: str) -> bool:
    """Return whether a process is there, and not only a zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def test_what_a_trainer_leaves_running_ends_with_it_and_its_exit_code_is_its_own(job, tmp_path):
    left = "import subprocess, sys\nholds = subprocess.Popen(['sleep', '300'], start_new_session=True)\n"  # our pipe
    left += "apart = subprocess.Popen(['sleep', '900'], start_new_session=True, stdout=subprocess.DEVNULL)\n"
    left += f"open({str(tmp_path / 'left')!r}, 'w').write(f'{{holds.pid}} {{apart.pid}}')\n"
    done = script(tmp_path, left + """print('{"accuracy": 0.5}')""")
    assert evaluate(Command(done + " {config} {seed}"), job)[0].accuracy == 0.5
    assert not any(alive(pid) for pid in (tmp_path / "left").read_text().split())
    killed = script(tmp_path, "import os\nos.kill(os.getpid(), 9)")
    with pytest.raises(RunError, match="exit code -9"):
        evaluate(Command(killed + " {config} {seed}"), job)


@pytest.mark.parametrize("kind", ["table", "function", "command"])
def test_results_of_what_has_changed_since_are_not_taken(tiny, tmp_path, kind):
    rows = [f"{name},0.9,0.8" for name in ("tiny_a2_b1_g1", "tiny_a1_b1.5_g1", "tiny_a1_b1_g1.5")]
    write_table(tmp_path, "name,accuracy_seed0,accuracy_seed1", *rows)
    trainer = script(tmp_path, TRAINER) + " {config} {seed} {budget}"
    (tmp_path / "judges.py").write_text(FUNCTIONS)
    how, file = {
        "table": ("table:known.csv", tmp_path / "known.csv"),
        "function": ("judges:judge", tmp_path / "judges.py"),
        "command": (trainer, tmp_path / "trainer.py"),
    }[kind]
    words = ("--evaluate", how, *(() if kind == "table" else ("--epochs", "1", "--seed", "1")))
    search(tiny, tmp_path / "run", *words)
    kept = (tmp_path / "run" / "coefficients.yaml").read_text()
    file.write_text(file.read_text().replace("0.9", "0.7"))
    refused = search(tiny, tmp_path / "run", *words, code=2)
    assert f"the contents of {file.name if kind != 'command' else file} differ" in refused.stderr
    assert (tmp_path / "run" / "coefficients.yaml").read_text() == kept


PROJECT = {
    "pkg/__init__.py": "",
    "pkg/__main__.py": "from pkg import nets\n",
    "pkg/nets.py": "import helper\n",
    "pkg/sub/__init__.py": "",
    "pkg/sub/go.py": "from .. import nets\n",
    "helper.py": "",
    "app/__main__.py": "import helper\n",
    "train.py": "import helper\n",
    "train": "#!/usr/bin/env python\nimport helper\n",
    "plain": "python train.py > out.json\n",
    "bin/run": '#!/bin/sh\ncd "$(dirname "$0")/.."\nexec python -m pkg "$@"\n',
    "bin/binary": "\x7fELF 1",
    "settings.yaml": "",
    "labels": "0 1",
    "out.json": "{}",
}
"""A project with trainers of all kinds."""

PKG = {"pkg/__init__.py", "pkg/__main__.py", "pkg/nets.py", "helper.py"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("command", "files"),
    [
        ("python -m pkg", PKG),
        ("python -um pkg", PKG),
        ("python -mpkg", PKG),
        ("torchrun --nproc-per-node 2 -m pkg", PKG),
        ("accelerate launch --config_file=settings.yaml --module pkg", PKG | {"settings.yaml"}),
        ("python -u -m pkg.sub.go", PKG - {"pkg/__main__.py"} | {"pkg/sub/__init__.py", "pkg/sub/go.py"}),
        ("python -c 'import pkg.nets; print(1)'", PKG - {"pkg/__main__.py"}),
        ("python app", {"app/__main__.py", "helper.py"}),
        ("torchrun --nproc-per-node 2 train.py", {"train.py", "helper.py"}),
        ("uv run train.py --labels labels", {"train.py", "helper.py"}),
        ("env X=1 ./train labels", {"train", "helper.py"}),
        ("bash -e plain", {"plain", "train.py", "helper.py"}),
        ("timeout 60 sh -c 'cd bin && ./run > labels'", PKG | {"bin/run"}),
        ("bin/binary", {"bin/binary"}),
        (f"/usr/bin/env {PYTHON} {{folder}}/own.py --labels labels", set()),
    ],
)
def test_the_files_that_a_command_runs_are_known_however_it_is_started(project, command, files):
    before = Command(f"{command} {{config}} {{seed}}").sources()
    assert set(before) == files
    for name in files:
        (project / name).write_text(PROJECT[name] + "\n")
    after = Command(f"{command} {{config}} {{seed}}").sources()
    assert {name for name in before if after[name] != before[name]} == files


def test_a_changed_package_is_refused_by_its_file_also_where_an_earlier_version_knew_less_of_it(
    tiny, project, monkeypatch
):
    answer = "import json\nimport helper\nprint(json.dumps({'accuracy': 0.7}))\n"
    (project / "pkg" / "__main__.py").write_text(answer)

    def run(folder: str) -> None:
        options = {"grid": tiny / "grid.yaml", "epochs": 1, "seeds": 1, "halving": 1, "workers": 1, "say": None}
        evaluate = f"{PYTHON} -m pkg {{name}} {{seed}}"
        scalenet.grid_search(tiny / "net.yaml", evaluate=evaluate, folder=folder, **options).run(say=None)

    with monkeypatch.context() as earlier:
        earlier.setattr(Command, "sources", lambda _: {})
        run("run")
    run("run")
    (project / "helper.py").write_text("x = 1\n")
    with pytest.raises(ScalenetError, match=r"the contents of helper\.py differ"):
        run("run")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a trainer ends when it writes to stdout next")
def test_a_trainer_ends_with_a_worker_that_is_killed(tiny, tmp_path):
    trainer = script(tmp_path, "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)")
    code = f"""
from pathlib import Path
from scalenet.arch.config import load_config
from scalenet.search.evaluators import Command, Job
net = Path({str(tiny / "net.yaml")!r})
Command({trainer!r}).evaluate(Job("tiny", load_config(net), net, 0, None, Path({str(tmp_path / "job")!r})), print)
"""
    worker, log, deadline = commands.start([PYTHON, "-c", code]), tmp_path / "job" / "log.txt", time.monotonic() + 60
    while not (log.exists() and log.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    worker.kill()
    worker.wait(timeout=60)
    trainer_words = Path("/proc") / log.read_text().strip() / "cmdline"
    while trainer_words.exists() and trainer_words.read_bytes():  # empty where nobody has taken note of its end
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_example_of_ones_own_trainer(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "own")
    (tmp_path / "own" / "grid.yaml").write_text(
        "schema: scalenet-grid/1\nname: one\npoints: {kind: list, values: [[2, 1, 1]]}\ninclude: []\n"
    )
    (line,) = [line for line in (EXAMPLE / "README.md").read_text().splitlines() if "--evaluate" in line]
    trainer = line.split("'")[1].replace("python ", f"{PYTHON} ")
    words = ["--base", "net.yaml", "--grid", "grid.yaml", "--epochs", "5", "--seeds", "1"]
    words += ["--evaluate", trainer, "-o", "run"]
    done = commands.run([*SCALENET, "grid-search", *words], cwd=tmp_path / "own")
    assert done.returncode == 0, done.stderr
    (row,) = csv.DictReader(done.stdout.splitlines())
    assert float(row["accuracy"]) > 0.5, "four quarters are easy"


def test_what_the_last_line_says_gives_the_winner_of_a_measured_grid(tiny, tmp_path):
    grid = (
        "schema: scalenet-grid/1\nname: m\npoints: {kind: shares, divisions: 2}\nconstraint: measured\nachieved: 0.03\n"
    )
    (tmp_path / "grid.yaml").write_text(grid)
    words = ["--base", "small_resnet", "--grid", "grid.yaml", "--seeds", "1"]
    listed = json.loads(search(tiny, tmp_path / "none", *words, "--dry-run", "--json").stdout)
    rows = [f"{row['name']},{0.5 + 0.01 * number}" for number, row in enumerate(listed)]
    write_table(tmp_path, "name,accuracy_seed0", *rows)
    done = search(tiny, tmp_path / "run", *words, "--evaluate", "table:known.csv")
    told = done.stderr.splitlines()[-1].removeprefix("next: scalenet ")
    assert "--flops 2x,4x,8x --tolerance 0.03" in told
    scaled = [*SCALENET, *told.split(), "-o", "family"]
    commands.run(scaled, cwd=tmp_path, check=True)
    winner = load_config(tmp_path / "run" / "candidates" / f"{listed[-1]['name']}.yaml")
    family = sorted(map(load_config, (tmp_path / "family").iterdir()), key=lambda config: config.cost.flops)
    assert family[0].model == winner.model


def test_force_removes_the_folders_of_jobs_and_no_others(tiny, tmp_path):
    trainer = script(tmp_path, TRAINER) + " {config} {seed} {budget}"
    words = ["--evaluate", trainer, "--epochs", "1"]
    search(tiny, tmp_path / "run", *words)
    mine = tmp_path / "run" / "jobs" / "mine"
    mine.mkdir()
    search(tiny, tmp_path / "run", *words[:2], "--epochs", "2", "--seeds", "1", "--force")
    assert mine.exists()
    assert not list((tmp_path / "run" / "jobs").glob("*_seed1"))


def test_a_functions_digest_has_the_files_of_its_folder_that_it_imports(tmp_path):
    (tmp_path / "pack").mkdir()
    texts = {
        "digested.py": "import json\nfrom pack.nets import width\ndef judge(architecture, **_):\n    import helper_d\n",
        "pack/__init__.py": "",
        "pack/nets.py": "from . import blocks\nwidth = 1\n",
        "pack/blocks.py": "depth = 1\n",
        "helper_d.py": "import digested\n",
        "other.py": "",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    function = Function("digested:judge", str(tmp_path))
    before = function.sources()
    assert set(before) == set(texts) - {"other.py"}
    (tmp_path / "pack" / "blocks.py").write_text("depth = 1  # the same\n")
    assert function.sources() == before
    (tmp_path / "pack" / "blocks.py").write_text("depth = 2\n")
    assert {name for name, digest in function.sources().items() if before[name] != digest} == {"pack/blocks.py"}


def test_the_digest_of_a_modules_partial_or_object_is_that_of_its_module(functions):
    (functions / "judges.py").write_text("import functools\njudge = functools.partial(max, 0.5)\n")
    function = Function("judges:judge", str(functions))
    before = function.sources()
    assert set(before) == {"judges.py of judges:judge"}
    (functions / "judges.py").write_text("import functools\njudge = functools.partial(max, 0.6)\n")
    assert function.sources() != before
