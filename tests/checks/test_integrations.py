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


def action_values(temporary: Path, **values: str) -> dict[str, str]:
    """Return the environment of the action's check; its outputs go to a file beside the temporary folder."""
    return {"FOLDER": ".", "NAME": "", "RUNNER_TEMP": str(temporary), **values} | {
        "GITHUB_OUTPUT": str(temporary.parent / "output")
    }


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
    temporary = pull_request.path / "temporary files"
    values = action_values(temporary, BASE="origin/main", ARGUMENTS="--fast --github", PULL_REQUEST="17")
    done = run(step, pull_request.path, "--noprofile", "--norc", "-o", "pipefail", **values)
    assert done.returncode == 1, done.stderr
    assert f"{R18}: FLOPs" in done.stdout
    assert f"::error file={R18}" in done.stderr
    report = temporary / "scalenet-check"
    assert "failed: 1 not as locked" in (report / "report.md").read_text()
    assert (report / "pull_request").read_text() == "17"
    assert {file.name for file in report.iterdir()} == {"pull_request", "report.md", "report.json", "report.xml"}
    keep = steps("action.yml")["Keep the report"]["with"]
    assert keep["name"] == "${{ steps.check.outputs.artifact }}"
    assert keep["path"] == "${{ runner.temp }}/${{ steps.check.outputs.artifact }}"
    assert (pull_request.path / "output").read_text() == "artifact=scalenet-check\n"


@pytest.mark.parametrize(
    ("values", "artifact", "marker"),
    [
        ({"FOLDER": "team/one"}, "scalenet-check-team-one", "<!-- scalenet check team/one -->"),
        ({"FOLDER": "./team/one/"}, "scalenet-check-team-one", "<!-- scalenet check team/one -->"),
        ({"FOLDER": "team/one", "NAME": "py 3.12"}, "scalenet-check-py-3.12", "<!-- scalenet check py-3.12 -->"),
    ],
)
def test_several_checks_of_a_workflow_have_artifacts_and_comments_of_their_own(
    pull_request: Folder, values: dict[str, str], artifact: str, marker: str
) -> None:
    (pull_request.path / "team" / "one").mkdir(parents=True)
    pull_request.git("mv", "nets", "pyproject.toml", "scalenet.lock.json", "team/one")
    temporary = pull_request.path / "t"
    values = action_values(temporary, BASE="origin/main", ARGUMENTS="--fast", PULL_REQUEST="17", **values)
    done = run(steps("action.yml")["Check costs"], pull_request.path, **values)
    assert (done.returncode, done.stderr) == (1, "")
    assert "accept with: scalenet lock -C team/one" in done.stdout
    assert (pull_request.path / "output").read_text() == f"artifact={artifact}\n"
    text = (temporary / artifact / "report.md").read_text()
    assert text.splitlines()[0] == marker
    assert "Accept with `scalenet lock -C team/one`" in text


def test_the_action_works_without_a_base(pull_request: Folder) -> None:
    values = action_values(pull_request.path / "t", BASE="", ARGUMENTS="--fast", PULL_REQUEST="")
    done = run(steps("action.yml")["Check costs"], pull_request.path, **values)
    assert (done.returncode, "failed: 1 not as locked" in done.stdout) == (1, True)


def test_the_action_installs_the_version_it_comes_with(tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "action", ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "runs"))
    offline = {"PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_QUIET": "1"}
    where = {"GITHUB_ACTION_PATH": str(tmp_path / "action"), "PIP_TARGET": str(tmp_path / "site")}
    done = run(steps("action.yml")["Install scalenet"], tmp_path, **offline, **where)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "scalenet" / "checks" / "checking.py").exists()


BODY = "body=@reports/scalenet-check/report.md"
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
        ("17", "", "--method POST repos/me/mine/issues/17/comments --field body=@reports/scalenet-check/report.md"),
        (
            "17",
            "5\n6\n",
            "--method PATCH repos/me/mine/issues/comments/5 --field body=@reports/scalenet-check/report.md",
        ),
        ("18", "", "repos/me/mine/pulls/18 --jq .head.sha"),
        ("17/../18; rm", "", "repos/me/mine/pulls/1718 --jq .head.sha"),
    ],
)
def test_the_comment_is_written_or_edited_on_its_own_pull_request(
    tmp_path: Path, number: str, comments: str, last: str
) -> None:
    write_report(tmp_path / "reports" / "scalenet-check", number)
    (tmp_path / "gh").write_text(FAKE_GH)
    (tmp_path / "gh").chmod(0o755)
    values = {"GH_TOKEN": "", "REPOSITORY": "me/mine", "HEAD": "abc", "CALLS": str(tmp_path / "calls")}
    step = steps("examples/github/cost-comment.yml")["Write or edit the comments"]
    done = run(step, tmp_path, PATH=str(tmp_path), COMMENTS=comments, STATUS="0", **values)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "calls").read_text().splitlines()[-1].removeprefix("api ") == last


def write_report(folder: Path, number: str, first: str = "<!-- scalenet check -->") -> None:
    folder.mkdir(parents=True)
    (folder / "pull_request").write_text(number)
    (folder / "report.md").write_text(f"{first}\ntext\n")


def test_each_check_has_a_comment_of_its_own_and_none_of_others_is_touched(tmp_path: Path) -> None:
    write_report(tmp_path / "reports" / "scalenet-check-a", "17", "<!-- scalenet check team/a -->")
    write_report(tmp_path / "reports" / "scalenet-check-b", "17", "<!-- another bot's -->")
    write_report(tmp_path / "reports" / "scalenet-check-c", "17", "<!-- scalenet check c -->")
    (tmp_path / "gh").write_text(FAKE_GH)
    (tmp_path / "gh").chmod(0o755)
    values = {"GH_TOKEN": "", "REPOSITORY": "me/mine", "HEAD": "abc", "CALLS": str(tmp_path / "calls")}
    step = steps("examples/github/cost-comment.yml")["Write or edit the comments"]
    done = run(step, tmp_path, PATH=str(tmp_path), COMMENTS="", STATUS="0", **values)
    assert done.returncode == 0, done.stderr
    posts = [line.rpartition("@")[2] for line in (tmp_path / "calls").read_text().splitlines() if "POST" in line]
    assert posts == ["reports/scalenet-check-a/report.md", "reports/scalenet-check-c/report.md"]


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
    (locked.path / "team").mkdir()
    locked.git("mv", "nets", "pyproject.toml", "scalenet.lock.json", "team")
    locked.write("pyproject.toml", "[project]\nname = 'a-monorepo'\n")
    done = subprocess.run(command, cwd=locked.path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[0] == "team/pyproject.toml"
    assert done.stdout.splitlines()[-1] == "accept with: scalenet lock -C team"
    files = re.compile(hook["files"])
    assert all(files.search(name) for name in (R18, "pyproject.toml", "scalenet.lock.json"))
    assert not files.search("README.md")
