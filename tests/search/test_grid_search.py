"""STEP 1 as a user runs it: it finishes, it repeats itself, and it goes on where it was stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import commands
import pandas as pd
import pytest
import yaml
from commands import SCALENET
from interruption import servers, workers

import scalenet
from scalenet.arch.config import load_config
from scalenet.arch.errors import RunError, ScalenetError
from scalenet.checks.verification import verify

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable


DIVERGENT = ["--learning-rate", "1e9", "--set", "optimizer.kind=sgd", "--set", "optimizer.weight_decay=1e9"]
"""Options with which every training diverges."""

ENDLESS = ["--seeds", "200", "--halving", "1"]
"""Seeds of a search that does not end before it is stopped."""


def command(tiny: Path, output: Path, *words: str) -> list[str]:
    fixed = [
        "--base",
        "net.yaml",
        "--data",
        "images",
        "--grid",
        "grid.yaml",
        "--epochs",
        "4",
        "--batch-size",
        "15",
        "--seeds",
        "2",
        "--learning-rate",
        "0.004",
    ]
    return [*SCALENET, "grid-search", *fixed, "--workers", "1", "-o", str(output), *words]


def search(tiny: Path, output: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return commands.run(command(tiny, output, *words), cwd=tiny)


def jobs(output: Path) -> dict[tuple[str, int, int], tuple[float, float]]:
    """Return the finished trainings of a search, read from its storage: accuracies and losses by job."""
    words = [*SCALENET, "search", "results", str(output), "--jobs", "--json"]
    rows = json.loads(commands.run(words, check=True).stdout)
    keys = [(row["name"], row["seed"], row["budget"]) for row in rows]
    assert len(set(keys)) == len(keys), "a training was recorded twice"
    return {key: (row["accuracy"], row["loss"]) for key, row in zip(keys, rows, strict=True)}


def answer(output: Path) -> Any:
    """Return what a search found, without times."""
    found = yaml.safe_load((output / "coefficients.yaml").read_text())
    found["evidence"].get("separation", {}).pop("seconds", None)
    return found, pd.read_csv(output / "candidates.csv").drop(columns="seconds").to_csv()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="session")
def finished(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    output = tmp_path_factory.mktemp("finished") / "run"
    return output, search(tiny, output)


def test_a_search_ranks_every_candidate_and_picks_one(finished):
    output, result = finished
    assert result.returncode == 0, result.stderr
    table = pd.read_csv(output / "candidates.csv")
    assert table["rank"].tolist() == [1, 2, 3]
    assert table["seeds"].tolist() == [2, 2, 2]
    assert table["accuracy"].is_monotonic_decreasing
    assert len(pd.read_csv(output / "jobs.csv")) == 6
    assert table["accuracy"].iloc[0] > 0.8, "light and dark squares are easy"
    answer = yaml.safe_load((output / "coefficients.yaml").read_text())
    best = table.iloc[0]
    assert [answer["alpha"], answer["beta"], answer["gamma"]] == [best["alpha"], best["beta"], best["gamma"]]
    assert "be told from it" in result.stderr
    assert "speak for tiny on images" in result.stderr


def test_every_candidate_has_a_config_that_verifies(finished):
    output, _ = finished
    files = list((output / "candidates").iterdir())
    assert len(files) == 3
    for file in files:
        assert verify(load_config(file)) == []


def test_the_answer_is_what_scale_takes(finished, tiny, tmp_path):
    output, _ = finished
    words = ["--base", str(output / "base.yaml"), "--coefficients", str(output / "coefficients.yaml")]
    words = ["scale", *words, "--phi", "1..2", "-o", str(tmp_path / "family")]
    commands.run([*SCALENET, *words], cwd=tiny, check=True)
    first, _ = sorted((tmp_path / "family").iterdir())
    winner = pd.read_csv(output / "candidates.csv")["name"].iloc[0]
    assert load_config(first).model == load_config(output / "candidates" / f"{winner}.yaml").model


@pytest.mark.drawn
def test_a_finished_search_is_not_trained_again_and_says_the_same(finished, tiny):
    output, first = finished
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    again = search(tiny, output)
    assert again.stdout == first.stdout
    assert "6 of 6 trainings done" in again.stderr
    after = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    changed = [path.name for path, content in after.items() if before.get(path) != content]
    assert set(changed) <= {"search.db", "search.db-wal", "search.db-shm"}


def test_a_search_that_was_stopped_goes_on_and_says_the_same(finished, tiny, tmp_path):
    output = tmp_path / "stopped"
    process = commands.start(command(tiny, output, *ENDLESS), cwd=tiny)
    wait_for((output / "jobs.csv").exists)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "the same command goes on from there" in stderr
    kept = {key: result for key, result in jobs(output).items() if key[1] < 2}  # the seeds of the search that goes on
    assert kept
    words = [*SCALENET, "search", "results", str(output)]
    so_far = commands.run(words, check=True).stdout
    assert so_far.startswith("name,alpha,beta,gamma,flops_ratio,rung,seeds,accuracy,"), "as `status` has them"
    assert search(tiny, output).returncode == 0
    assert answer(output) == answer(finished[0])
    assert kept.items() <= jobs(output).items()
    assert jobs(finished[0]).items() <= jobs(output).items()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="workers are found through Linux's /proc")
def test_a_worker_that_dies_is_followed_by_another(finished, tiny, tmp_path):
    output = tmp_path / "killed"
    process = commands.start(command(tiny, output, *ENDLESS), cwd=tiny)
    wait_for((output / "jobs.csv").exists)
    (worker,) = workers(process.pid)
    os.kill(worker, signal.SIGKILL)
    assert process.says("died with exit code -9")
    rows = len(pd.read_csv(output / "jobs.csv"))
    wait_for(lambda: len(pd.read_csv(output / "jobs.csv")) > rows)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert search(tiny, output).returncode == 0
    assert answer(output) == answer(finished[0])
    assert jobs(finished[0]).items() <= jobs(output).items()


def test_a_folder_holds_one_search(finished, tiny):
    output, _ = finished
    refused = search(tiny, output, "--seed", "5")
    assert refused.returncode == 2
    assert "holds another search: images differ" in refused.stderr
    assert (output / "coefficients.yaml").exists()


def test_force_removes_the_search_and_nothing_else(finished, tiny, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(finished[0], output)
    names = ("family/mine.yaml", "plots/mine.png", "jobs/tiny_a2_b1_g1_seedling", "candidates/mine.yaml")
    for file in (mine := [output / name for name in names]):
        file.parent.mkdir(exist_ok=True)
        file.write_text("kept")
    result = search(tiny, output, "--seed", "5", "--force", *DIVERGENT)
    assert "every candidate diverged" in result.stderr
    assert [file.read_text() for file in mine] == ["kept"] * len(mine)
    assert yaml.safe_load((output / "search.yaml").read_text())["schedule"]["rungs"][0]["seeds"] == [5, 6]
    assert not (output / "report.html").exists()
    assert [file.name for file in (output / "plots").iterdir()] == ["mine.png"]


def test_force_removes_nothing_where_there_is_no_search(tiny, tmp_path):
    names = ("plots/ties.png", "jobs/tiny_a2_b1_g1_seed7/log.txt")
    for file in (mine := [tmp_path / "run" / name for name in names]):
        file.parent.mkdir(parents=True)
        file.write_text("kept")
    assert "every candidate diverged" in search(tiny, tmp_path / "run", "--force", *DIVERGENT).stderr
    assert [file.read_text() for file in mine] == ["kept"] * len(mine)


@pytest.mark.parametrize("name", ["report.html", "jobs.csv", "proxies.csv", "plots/ties.png"])
def test_files_that_are_no_searchs_are_kept_unless_forced(tiny, tmp_path, name):
    file = tmp_path / "run" / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    refused = search(tiny, tmp_path / "run")
    assert (refused.returncode, f"{name}: is no search's" in refused.stderr) == (2, True), refused.stderr
    assert "-o, or write over it with --force" in refused.stderr
    assert [path for path in (tmp_path / "run").rglob("*") if path.is_file()] == [file], "nothing was begun"
    assert file.read_text() == "mine"


def test_force_writes_over_what_is_no_searchs(tiny, tmp_path):
    (tmp_path / "run").mkdir()
    for name in ("proxies.csv", "base.yaml", "report.html"):
        (tmp_path / "run" / name).write_text("mine")
    assert search(tiny, tmp_path / "run", "--force").returncode == 0
    assert load_config(tmp_path / "run" / "base.yaml").name == "tiny"
    assert "<html" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("old", "new"), [("scalenet-search/1", "scalenet-search/0"), ("base:", "base: [tiny"), ("schema:", "\udcff")]
)
def test_force_discards_a_search_whose_plan_cannot_be_read(finished, tiny, tmp_path, old, new):
    output = tmp_path / "run"
    shutil.copytree(finished[0], output)
    kept = output / "jobs" / "tiny_a2_b1_g1_seed7"
    kept.mkdir(parents=True)
    plan = (output / "search.yaml").read_text().replace(old, new, 1)
    (output / "search.yaml").write_text(plan, errors="surrogateescape")
    refused = search(tiny, output)
    assert (refused.returncode, "search.yaml" in refused.stderr) == (2, True), refused.stderr
    assert "every candidate diverged" in search(tiny, output, "--force", *DIVERGENT).stderr
    assert not kept.exists()
    assert not (output / "plots").exists()


def test_a_plan_that_is_a_folder_is_one_plain_line(tiny, tmp_path):
    (tmp_path / "run" / "search.yaml").mkdir(parents=True)
    refused = search(tiny, tmp_path / "run")
    assert (refused.returncode, "search.yaml: is no search's" in refused.stderr) == (2, True), refused.stderr
    forced = search(tiny, tmp_path / "run", "--force")
    assert (forced.returncode, "search.yaml: cannot be written" in forced.stderr) == (2, True), forced.stderr


def test_results_make_no_folder_of_a_storage_and_the_search_goes_on_there(finished, tiny, tmp_path):
    storage, folder = f"sqlite:///{tmp_path}/shared.db", tmp_path / "run"
    shutil.copy(finished[0] / "search.db", tmp_path / "shared.db")
    refused = search(tiny, folder, "--storage", storage, "--name", "search")
    assert refused.returncode == 2
    assert f"'search', is the search in {finished[0]}, of which {folder} has no files" in refused.stderr
    with sqlite3.connect(tmp_path / "shared.db") as database:  # as on a machine that does not see its folder
        database.execute("UPDATE scalenet_searches SET request = json_set(request, '$.folder', '/elsewhere')")
    words = [*SCALENET, "search", "results", "run", "--storage", storage, "--name", "search"]
    shown = commands.run(words, cwd=tmp_path, check=True)
    assert "no files are written" in shown.stderr
    assert not folder.exists()
    again = search(tiny, folder, "--storage", storage, "--name", "search")
    assert (again.returncode, "6 of 6 trainings done" in again.stderr) == (0, True), again.stderr
    assert f"'search', is the search in /elsewhere, of which {folder} has no files: its results count" in again.stderr
    assert {file.name for file in folder.iterdir()} >= {"search.yaml", "base.yaml", "report.html"}


def test_a_search_that_was_killed_before_it_wrote_its_plan_goes_on(finished, tiny, tmp_path):
    (tmp_path / "run").mkdir()
    shutil.copy(finished[0] / "search.db", tmp_path / "run")
    result = search(tiny, tmp_path / "run")
    assert (result.returncode, "6 of 6 trainings done" in result.stderr) == (0, True), result.stderr


def test_more_seeds_go_on_from_fewer(finished, tiny, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(finished[0], output)
    result = search(tiny, output, "--seeds", "3")
    assert result.returncode == 0
    assert "6 of 9 trainings done" in result.stderr
    assert jobs(finished[0]).items() <= jobs(output).items()
    shorter = search(tiny, output, "--epochs", "2", "--seeds", "1")
    assert "[3/3] " in shorter.stderr, "other trainings of the storage do not count"
    assert "100 % of the training" in shorter.stderr


def test_an_old_answer_does_not_stay_while_more_is_asked(finished, tiny, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(finished[0], output)
    assert (output / "report.html").exists()
    process = commands.start(command(tiny, output, "--seeds", "3", "--epochs", "20000"), cwd=tiny)
    wait_for(lambda: not (output / "coefficients.yaml").exists())
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, (output / "report.html").exists()) == (130, False), stderr


def test_ctrl_c_while_the_first_worker_starts_ends_it_too(tiny, tmp_path):
    process = commands.start(command(tiny, tmp_path / "run", "--epochs", "20000"), cwd=tiny)
    wait_for(lambda: servers(process.pid))
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr.splitlines()[-1]) == (130, "scalenet: interrupted"), stderr


def test_the_ties_get_more_seeds(finished, tiny, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(finished[0], output)
    tied = pd.read_csv(output / "candidates.csv")["tied"].sum()
    words = [*SCALENET, "search", "resume", str(output), "--more-seeds", "2"]
    result = commands.run(words)
    assert result.returncode == 0, result.stderr
    assert len(jobs(output)) == 6 + 2 * tied
    assert len(yaml.safe_load((output / "coefficients.yaml").read_text())["evidence"]["rungs"]) == 2
    assert search(tiny, output).returncode == 0
    assert len(jobs(output)) == 6 + 2 * tied, "the same command keeps the rung that was added"


def test_who_diverges_in_a_later_rung_is_not_ranked_by_the_first(tiny, tmp_path):
    grid = ["--grid", str(tiny / "shares.yaml")]
    words = [*SCALENET, "grid-search", "--base", str(tiny / "net.yaml"), *grid, "--json"]
    listed = commands.run([*words, "--dry-run"], check=True).stdout
    names = [row["name"] for row in json.loads(listed)]
    rows = [
        f"{name},{seed},{budget},{0.9 - 0.01 * place}"
        for place, name in enumerate(names)
        for seed in (0, 1)
        for budget in (1, 2, 4)
    ]
    best = f"{names[0]},1,4,"
    rows = ["name,seed,budget,accuracy", *(best if row.startswith(best) else row for row in rows)]
    (tmp_path / "known.csv").write_text("\n".join(rows))
    words += ["--evaluate", "table:known.csv", "--epochs", "4", "--seeds", "2", "--halving", "2", "--workers", "1"]
    result = commands.run([*words, "-o", "run"], cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    candidates = json.loads(result.stdout)["candidates"]
    assert [row["name"] for row in candidates if row["rank"] is None] == names[:1]
    assert candidates[0]["name"] == names[1]


def test_halving_trains_few_to_the_end(tiny, tmp_path):
    output = tmp_path / "halved"
    options = ["--seeds", "4", "--epochs", "4", "--halving", "4", "--grid", "shares.yaml", "--keep-models"]
    result = search(tiny, output, *options)
    assert result.returncode == 0, result.stderr
    table, answer = pd.read_csv(output / "candidates.csv"), yaml.safe_load((output / "coefficients.yaml").read_text())
    rungs = answer["evidence"]["rungs"]
    assert len(rungs) > 1
    assert (rungs[-1]["seeds"], rungs[-1]["budget"]) == (4, 4)
    assert table["rung"].value_counts().max() > rungs[-1]["candidates"]
    assert answer["evidence"]["spent"] < answer["evidence"]["exhaustive"] / 2
    assert answer["evidence"]["spent"] == pd.read_csv(output / "jobs.csv")["budget"].sum()
    assert "of the training of all candidates to the end" in result.stderr
    full = pd.read_csv(output / "jobs.csv").query("budget == 4")
    names = sorted(f"{name}_seed{seed}" for name, seed in zip(full["name"], full["seed"], strict=True))
    assert sorted(place.name for place in (output / "models").iterdir()) == names
    assert f"the winner's is {output}/models/" in result.stderr.splitlines()[-2]


def test_a_search_is_looked_at_and_stopped_from_elsewhere(tiny, tmp_path):
    output = tmp_path / "watched"
    process = commands.start(command(tiny, output, "--epochs", "20000", "--workers", "2"), cwd=tiny)
    wait_for(lambda: len(status(output)["running"]) == 2)
    assert status(output)["planned"] == 6
    refused = search(tiny, output, "--force")
    assert (refused.returncode, "2 jobs are running just now" in refused.stderr) == (2, True), refused.stderr
    refused = search(tiny, output, "--epochs", "20000", "--objective", "accuracy-flops")
    assert (refused.returncode, "with another schedule or objective" in refused.stderr) == (2, True), refused.stderr
    commands.run([*SCALENET, "search", "stop", str(output)], check=True)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "the search was asked to stop; scalenet search resume" in stderr
    assert (status(output)["running"], status(output)["stopped"]) == ([], True)


def status(output: Path) -> dict[str, Any]:
    """Return what `scalenet search status --json` says, of a search that may still be none."""
    try:
        return scalenet.open_search(output).status().data()
    except (ScalenetError, RunError):
        return {"running": []}


def test_a_search_that_a_storage_does_not_have_is_not_made_by_looking_for_it(finished):
    output, _ = finished
    for _ in range(2):
        words = [*SCALENET, "search", "status", str(output), "--name", "serch"]
        result = commands.run(words)
        assert (result.returncode, "did you mean 'search'" in result.stderr) == (2, True), result.stderr


@pytest.mark.parametrize("words", [["status"], ["stop"], ["resume"], ["results"]])
def test_where_there_is_no_search_that_is_said(tmp_path, words):
    words = [*SCALENET, "search", *words, str(tmp_path / "none")]
    result = commands.run(words)
    assert (result.returncode, "none: holds no search" in result.stderr) == (2, True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("torch: ", "torch: 0.", "versions differ"),
        ("tiny_a2_b1_g1: 'sha256:", "tiny_a2_b1_g1: 'sha256:0", "candidates differ"),
        ("batch_size: 15", "batch_size: 16", "recipe differ"),
        ("schema:", "schma:", "did you mean 'schema'"),
    ],
)
def test_results_of_another_plan_are_not_taken(finished, tiny, tmp_path, old, new, said):
    output = tmp_path / "run"
    shutil.copytree(finished[0], output)
    text = (output / "search.yaml").read_text()
    assert old in text
    (output / "search.yaml").write_text(text.replace(old, new, 1))
    refused = search(tiny, output)
    assert (refused.returncode, said in refused.stderr) == (2, True), refused.stderr


def test_a_search_that_only_diverged_gives_no_answer(tiny, tmp_path):
    output = tmp_path / "diverged"
    result = search(tiny, output, *DIVERGENT, "--seeds", "1")
    assert result.returncode == 3
    assert "every candidate diverged; try a --learning-rate below 1e+09" in result.stderr
    assert not (output / "coefficients.yaml").exists()


def test_a_search_whose_storage_is_not_there_leaves_nothing(tiny, tmp_path):
    result = search(tiny, tmp_path / "none", "--storage", "sqlite:///nowhere/search.db")
    assert (result.returncode, "unable to open database file" in result.stderr) == (3, True), result.stderr
    assert not (tmp_path / "none").exists()


def test_a_dry_run_trains_nothing(tiny, tmp_path):
    result = search(tiny, tmp_path / "none", "--dry-run", "--json")
    assert [row["alpha"] for row in json.loads(result.stdout)] == [2.0, 1.0, 1.0]
    assert not (tmp_path / "none").exists()
    assert "1 of 3 candidates see up to 12 px, and the images have 8" in result.stderr


def test_a_search_says_what_an_image_is_worth_and_goes_on_with_the_share_it_held_out(tiny, tmp_path):
    looked = search(tiny, tmp_path, "--held-out", "0.25", "--dry-run")
    said = "90 images to train on, 30 held out; one held-out image is 3.33 points, and chance is 50.0 % (2 classes)"
    assert said in looked.stderr
    begun = search(tiny, tmp_path, "--held-out", "0.25", "--seeds", "1", "--epochs", "1")
    assert begun.returncode == 0, begun.stderr
    assert said in begun.stderr
    plan = yaml.safe_load((tmp_path / "search.yaml").read_text())["images"]
    assert (plan["train"], plan["validation"], plan["drawn"], plan["chance"]) == (90, 30, 0.25, 0.5)
    again = commands.run([*SCALENET, "search", "resume", str(tmp_path), "--json"])
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["images"] == plan
    other = search(tiny, tmp_path, "--seeds", "1", "--epochs", "1")
    assert other.returncode == 2
    assert "images" in other.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "nowhere"], "nowhere: no such directory"),
        (["--grid", "papr"], "did you mean 'paper'"),
        (["--base", "resnt18"], "did you mean 'resnet18'"),
        (["--epochs", "0"], "--epochs"),
        (["--learning-rate", "-1"], "--learning-rate: -1.0 is not a number above 0"),
        (["--images", "2", "--data", "grid.yaml"], "grid.yaml: is a file"),
        (["--grid", "paper", "--resolution", "x"], "is not a size"),
        (["--device", "tpu"], "tpu"),
        (["--storage", "sqlite:///shared.db", "-o", "runs/grid-search"], "name the search with --name"),
        (["--name", "second"], "--name is the search's name in a --storage"),
        (["-o", "net.yaml/below"], "net.yaml/below: cannot be made"),
    ],
)
def test_what_is_asked_wrongly_is_one_plain_line_and_code_2(tiny, tmp_path, words, said):
    result = search(tiny, tmp_path / "none", *words)
    assert result.returncode == 2, result.stderr
    assert said in result.stderr
    assert "Traceback" not in result.stderr
