"""What the GitHub action, the recipe for forks and the pre-commit hook run, run here as they would run it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from conftest import Folder

ROOT = Path(__file__).parents[2]
R18 = "nets/resnet18.yaml"


def steps(file: str) -> dict[str, dict[str, Any]]:
    """Return the steps of an action or of a workflow's only job by name."""
    data = yaml.safe_load((ROOT / file).read_text())
    (job,) = [data["runs"]] if "runs" in data else data["jobs"].values()
    return {step.get("name", step.get("uses")): step for step in job["steps"]}


def run(step: dict[str, Any], folder: Path, *flags: str, **values: str) -> subprocess.CompletedProcess[str]:
    """Run a step's script with bash; `values` stand for what GitHub puts into its environment."""
    assert "${{" not in step["run"], "an expression inside a script lets others write the script"
    assert set(step.get("env", ())) <= set(values)
    path = f"{values.pop('PATH', '')}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, **values}
    command = ["bash", *flags, "-e", "-c", step["run"]]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def pull_request(locked: Folder) -> Folder:
    """Return a clone, as CI makes it, of a branch that changes a target without a new lock file."""
    locked.git("checkout", "-q", "-b", "change")
    locked.edit(R18, "classes: 1000", "classes: 10")
    locked.commit()
    subprocess.run(["git", "clone", "-q", locked.path, locked.path / "clone"], check=True)
    return type(locked)(locked.path / "clone")


def test_the_action_checks_against_the_base_and_keeps_its_report(pull_request: Folder) -> None:
    step = steps("action.yml")["Check costs"]
    values = {"BASE": "origin/main", "ARGUMENTS": "--fast --github", "PULL_REQUEST": "17"}
    temporary = pull_request.path / "temporary files"
    done = run(step, pull_request.path, "--noprofile", "--norc", "-o", "pipefail", RUNNER_TEMP=str(temporary), **values)
    assert done.returncode == 1, done.stderr
    assert f"{R18}: FLOPs" in done.stdout
    assert f"::error file={R18}" in done.stderr
    report = temporary / "scalenet-check"
    assert "failed: 1 not as locked" in (report / "report.md").read_text()
    assert (report / "pull_request").read_text() == "17"
    assert {file.name for file in report.iterdir()} == {"pull_request", "report.md", "report.json", "report.xml"}
    assert steps("action.yml")["Keep the report"]["with"]["path"] == "${{ runner.temp }}/scalenet-check"


def test_the_action_works_without_a_base(pull_request: Folder) -> None:
    values = {"BASE": "", "ARGUMENTS": "--fast", "PULL_REQUEST": "", "RUNNER_TEMP": str(pull_request.path / "t")}
    done = run(steps("action.yml")["Check costs"], pull_request.path, **values)
    assert (done.returncode, "failed: 1 not as locked" in done.stdout) == (1, True)


def test_the_action_installs_the_version_it_comes_with(tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "action", ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "runs"))
    offline = {"PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_QUIET": "1"}
    where = {"GITHUB_ACTION_PATH": str(tmp_path / "action"), "PIP_TARGET": str(tmp_path / "site")}
    done = run(steps("action.yml")["Install scalenet"], tmp_path, **offline, **where)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "scalenet" / "checks" / "checking.py").exists()


FAKE_GH = """#!/bin/bash
echo "$@" >> "$CALLS"
case "$*" in
  *"pulls/17 "*) echo abc ;;
  *--paginate*) printf '%s' "$COMMENTS" ;;
esac
exit "$STATUS"
"""


@pytest.mark.parametrize(
    ("number", "comments", "last"),
    [
        ("17", "", "--method POST repos/me/mine/issues/17/comments --field body=@report/report.md"),
        ("17", "5\n6\n", "--method PATCH repos/me/mine/issues/comments/5 --field body=@report/report.md"),
        ("18", "", "repos/me/mine/pulls/18 --jq .head.sha"),
        ("17/../18; rm", "", "repos/me/mine/pulls/1718 --jq .head.sha"),
    ],
)
def test_the_comment_is_written_or_edited_on_its_own_pull_request(
    tmp_path: Path, number: str, comments: str, last: str
) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "pull_request").write_text(number)
    (tmp_path / "report" / "report.md").write_text("text")
    (tmp_path / "gh").write_text(FAKE_GH)
    (tmp_path / "gh").chmod(0o755)
    values = {"GH_TOKEN": "", "REPOSITORY": "me/mine", "HEAD": "abc", "CALLS": str(tmp_path / "calls")}
    step = steps("examples/github/cost-comment.yml")["Write or edit the comment"]
    done = run(step, tmp_path, PATH=str(tmp_path), COMMENTS=comments, STATUS="0", **values)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "calls").read_text().splitlines()[-1].removeprefix("api ") == last


def test_the_recipe_writes_nothing_where_others_code_runs() -> None:
    first, second = (
        yaml.safe_load((ROOT / f"examples/github/{name}.yml").read_text()) for name in ("cost", "cost-comment")
    )
    assert first["permissions"] == {"contents": "read"}
    assert second["permissions"] == {"actions": "read", "pull-requests": "write"}
    assert second[True]["workflow_run"]["workflows"] == [first["name"]]  # YAML 1.1 reads the key `on` as true
    assert second["jobs"]["comment"]["continue-on-error"] is True
    assert not any("checkout" in name for name in steps("examples/github/cost-comment.yml"))
    assert steps("examples/github/cost.yml")["actions/checkout@v4"]["with"]["fetch-depth"] == 0


def test_the_hook_checks_configs(locked: Folder) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    command = [str(Path(sys.executable).parent / shlex.split(hook["entry"])[0]), *shlex.split(hook["entry"])[1:]]
    assert subprocess.run(command, cwd=locked.path, capture_output=True, check=False).returncode == 0
    locked.edit(R18, "classes: 1000", "classes: 10")
    assert subprocess.run(command, cwd=locked.path, capture_output=True, check=False).returncode == 1
    files = re.compile(hook["files"])
    assert all(files.search(name) for name in (R18, "pyproject.toml", "scalenet.lock.json"))
    assert not files.search("README.md")
