"""`scalenet search` in this process: what its commands say of a search, and the jobs that they start elsewhere."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest
from scalenet_cli.main import app
from typer.testing import CliRunner, Result

from scalenet.search.queue.board import Board
from scalenet.search.queue.database import open_database
from scalenet.search.queue.launch import Part
from scalenet.search.queue.tables import SEARCHES

POINTS = [[depth, 1 + width / 4, 1] for depth in range(1, 7) for width in range(1, 5)]
GRID = "schema: scalenet-grid/1\nname: many\npoints: {{kind: list, values: {}}}\ninclude: []\nrounding: fine\n"
JUDGES = "def judge(architecture, **_):\n    return 0.5\n"


def scalenet(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def begin(tiny: Path, *words: object) -> Result:
    """Begin a search in the working directory."""
    asked = ["--base", tiny / "net.yaml", "--grid", "grid.yaml", "--evaluate", "judges:judge", "--epochs", 1]
    done = scalenet("grid-search", *asked, "--seeds", 1, "--begin", *words)
    sys.modules.pop("judges", None)  # another test's is another file
    return done


@pytest.fixture
def begun(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a search that was begun, and nothing more; it lies in the working directory."""
    monkeypatch.delenv("SCALENET_STORAGE", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "judges.py").write_text(JUDGES)
    (tmp_path / "grid.yaml").write_text(GRID.format(json.dumps(POINTS)))
    done = begin(tiny, "-o", "run")
    assert done.exit_code == 0, done.stderr
    assert "begun; scalenet search workers run" in done.stderr
    return tmp_path / "run"


def test_of_many_candidates_status_lists_the_best_and_says_where_the_others_are(begun):
    looked = scalenet("search", "status", "run")
    candidates = len(json.loads(scalenet("search", "status", "run", "--json").stdout)["candidates"])
    assert candidates > 20
    assert len(looked.stdout.splitlines()) == 1 + 20
    assert f"and {candidates - 20} candidate" in looked.stderr
    assert "scalenet search results run lists all" in looked.stderr
    assert len(scalenet("search", "results", "run").stdout.splitlines()) == 1 + candidates


@pytest.mark.filterwarnings("ignore:subprocess .* is still running")  # they are to outlive who starts them
def test_jobs_are_started_elsewhere_and_do_the_search(begun):
    pytest.importorskip("submitit")
    done = scalenet("search", "workers", "run", "--launch", "local", "--count", 2, "--launch-option", "timeout_min=3")
    assert done.exit_code == 0, done.stderr
    assert len({int(line) for line in done.stdout.split()}) == 2
    assert "2 jobs started, logs in run/workers" in done.stderr
    board, deadline = Board(f"sqlite:///{begun}/search.db", "search", grace=60), time.monotonic() + 120
    while not (begun / "report.html").exists():
        assert time.monotonic() < deadline, [file.read_text() for file in (begun / "workers").glob("*_log.*")]
        time.sleep(0.1)
    assert board.view().finished
    again = scalenet("search", "workers", "run", "--launch", "local")
    assert (again.exit_code, again.stdout, again.stderr) == (0, "", "the search is finished\n")


def test_the_environment_says_how_many_workers_and_which_device_this_machine_has(begun, tiny, monkeypatch):
    asked = []
    monkeypatch.setattr("scalenet.search.search.Search.run", lambda _, **options: asked.append(options))
    monkeypatch.setenv("SCALENET_WORKERS", "3")
    monkeypatch.setenv("SCALENET_DEVICE", "cuda:1")
    scalenet("search", "resume", "run")
    scalenet("search", "resume", "run", "--workers", 2, "--device", "cpu")
    assert [(options["workers"], options["device"]) for options in asked] == [(3, "cuda:1"), (2, "cpu")]
    monkeypatch.setenv("SCALENET_DEVICE", "cpu")
    words = ["grid-search", "--base", tiny / "net.yaml", "--grid", "grid.yaml", "--images", 100, "--dry-run"]
    assert "with 3 workers here" in scalenet(*words).stderr
    monkeypatch.setenv("SCALENET_DEVICE", "gpu 1")
    refused = scalenet(*words)
    assert (refused.exit_code, "'gpu 1' is no device" in refused.stderr) == (2, True), refused.stderr


SBATCH = "#!/bin/sh\ncp $1 {folder}/script\necho $SCALENET_STORAGE > {folder}/storage\necho Submitted batch job 41\n"


def test_a_cluster_gets_one_array_of_jobs_that_find_the_storage(begun, tiny, postgresql, monkeypatch, tmp_path):
    pytest.importorskip("submitit")
    for name, text in {"sbatch": SBATCH.format(folder=tmp_path), "srun": "#!/bin/sh\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    url, launched = postgresql.database(), ("--launch", "slurm", "--launch-option", "slurm_partition=gpu")
    assert begin(tiny, "--storage", url, "-o", "other").exit_code == 0
    done = scalenet("search", "workers", "other", "--storage", url, "--count", 3, *launched)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.split() == ["41_0", "41_1", "41_2"]
    script = (tmp_path / "script").read_text()
    assert "#SBATCH --array=0-2" in script
    assert "#SBATCH --partition=gpu" in script
    assert (tmp_path / "storage").read_text().strip() == url
    assert not any(url.encode() in file.read_bytes() for file in Path("other/workers").glob("*.pkl"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--launch", "slurm"], "jobs on several machines must not share\n  begin it with --storage postgresql://"),
        (
            ["--launch", "local", "--launch-option", "partition=gpu"],
            "Setting 'partition' is deprecated. Use 'slurm_partition'",
        ),
        (["--launch", "local", "--launch-option", "foo"], "--launch-option foo: no KEY=VALUE"),
        (["--launch", "local", "--launch-option", "timeout_min=soon"], 'Parameter "timeout_min" expected type'),
        (["--launch", "pbs"], "'pbs' is not one of 'slurm', 'local'"),
    ],
)
def test_jobs_that_nobody_can_start_are_one_line(begun, words, said):
    pytest.importorskip("submitit")
    done = scalenet("search", "workers", "run", *words)
    assert done.exit_code == 2 or "pbs" in words, done.stderr
    assert said in done.stderr + str(done.exception)


def test_without_submitit_that_is_said(begun, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    done = scalenet("search", "workers", "run", "--launch", "local")
    assert (done.exit_code, "pip install 'scalenet-torch[slurm]'" in done.stderr) == (2, True), done.stderr


def test_a_job_that_fails_is_told_from_one_that_was_stopped():
    Part((sys.executable, "-c", "raise SystemExit(130)"))()
    with pytest.raises(RuntimeError, match="exit code 3"):
        Part((sys.executable, "-c", "raise SystemExit(3)"))()


def test_a_plan_of_another_version_is_one_line_that_names_it(begun):
    board = Board(f"sqlite:///{begun}/search.db", "search", grace=60)
    plan = board.plan() | {"speed": 9, "versions": {"scalenet": "9.9"}}
    board.database.change(SEARCHES.update().values(plan=plan))
    for verb in ("status", "results", "stop", "resume"):
        done = scalenet("search", verb, "run")
        assert done.exit_code == 2, done.stderr
        assert "begun by scalenet 9.9, whose plan this one cannot read" in done.stderr


def test_a_search_that_is_only_begun_says_so_in_json(begun, tiny):
    done = begin(tiny, "-o", "other", "--json")
    said = json.loads(done.stdout)
    assert (said["done"], said["finished"], said["running"]) == (0, False, [])


def test_no_list_of_a_storage_tells_its_password(tmp_path):
    done = scalenet("search", "list", "--storage=//u:hunter2@")
    assert (done.exit_code, "--storage: not the URL of a database" in done.stderr) == (2, True), done.stderr
    url = f"sqlite:///{tmp_path}/none.db?password=hunter2"
    open_database(f"sqlite:///{tmp_path}/none.db")
    empty = scalenet("search", "list", f"--storage={url}")
    assert "hunter2" not in done.stderr + empty.stderr + empty.stdout


@pytest.mark.parametrize(
    "text", ["", "name,zen\n", "name,synflow,naswot,zen\nx,1,2\n", "name,synflow,naswot,zen\nx,1,2,many\n"]
)
def test_scores_that_are_broken_are_one_line(begun, text):
    (begun / "proxies.csv").write_text(text)
    done = scalenet("search", "status", "run")
    assert done.exit_code == 2, done.stderr
    assert "proxies.csv: no table of training-free scores\n  remove it: they are computed anew" in done.stderr


def test_two_searches_do_not_share_a_folder(begun, tiny, tmp_path):
    url = f"sqlite:///{tmp_path}/shared.db"
    assert begin(tiny, "--storage", url, "--name", "one", "-o", "shared").exit_code == 0
    again = begin(tiny, "--storage", url, "--name", "two", "-o", "shared")
    assert (again.exit_code, "shared holds another search than 'two' of" in again.stderr) == (2, True), again.stderr
    assert [row["name"] for row in json.loads(scalenet("search", "list", "--storage", url, "--json").stdout)] == ["one"]


def test_what_a_killed_process_left_half_written_is_swept_up(begun, tiny):
    (begun / "candidates").mkdir(exist_ok=True)
    half = [begun / "candidates" / ".tiny_a2_b1_g1.yaml.k2j3h4g5", begun / ".jobs.csv.a1b2c3d4"]
    for file in half:
        file.write_text("sch")
        os.utime(file, (0, 0))
    writing = begun / ".curves.csv.a1b2c3d4"  # by another process, just now
    writing.touch()
    assert begin(tiny, "-o", "run").exit_code == 0
    assert not any(file.exists() for file in half)
    assert writing.exists()


def test_a_database_that_is_away_at_the_start_is_waited_for(begun, tiny, postgresql, monkeypatch):
    monkeypatch.setattr("scalenet.search.queue.database._OPENING", 0.0)
    url = postgresql.database()
    postgresql.stop()
    timer = threading.Timer(1, postgresql.start)
    timer.start()
    done = begin(tiny, "--storage", url, "-o", "other")
    timer.join()
    assert done.exit_code == 0, done.stderr
    assert "; waiting for it" in done.stderr
