"""A project of two config files in a git repository, and commands that run in it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import commands
import pytest
from scalenet_cli.main import app
from typer.testing import CliRunner

from scalenet.arch.config import dumps
from scalenet.checks import lock as lock_file
from scalenet.checks.lock import Lock
from scalenet.checks.measuring import measure_targets
from scalenet.checks.project import find_project
from scalenet.checks.selection import select
from scalenet.scaling.scaler import load

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

SETTINGS = '[tool.scalenet]\ntargets = ["nets/*.yaml"]\n'


@dataclass
class Folder:
    """A project's folder."""

    path: Path

    def run(self, *words: object) -> Result:
        """Run a command of scalenet in it."""
        return CliRunner().invoke(app, [str(word) for word in words])

    def check(self, *words: object) -> Result:
        """Run `scalenet check --fast`."""
        return self.run("check", "--fast", *words)

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text, encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.path / name).read_text(encoding="utf-8")
        assert old in text, text
        self.write(name, text.replace(old, new, 1))

    def lock(self) -> str:
        """Write the lock file by formula, and return its text."""
        project = find_project(self.path)
        found = measure_targets(select(project, (), ()).targets, folder=self.path, time_limit=60, fast=True)
        text = lock_file.dumps(Lock(targets={target.name: cost for target, cost in found}))  # type: ignore[misc]
        self.write("scalenet.lock.json", text)
        return text

    def git(self, *words: str) -> str:
        """Run git as somebody, on a branch called main at first."""
        who = ("-c", "user.name=Somebody", "-c", "user.email=some@body.example", "-c", "init.defaultBranch=main")
        done = subprocess.run(["git", *who, *words], cwd=self.path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", "Change")


@pytest.fixture(autouse=True)
def _forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes that measure be forks."""
    monkeypatch.setattr("scalenet.checks.children.subprocess", commands.CHILDREN)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Return a project without a lock file, and work in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for name in ("GITHUB_WORKSPACE", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "nets").mkdir()
    for name in ("efficientnet_b0", "resnet18"):
        (tmp_path / "nets" / f"{name}.yaml").write_text(dumps(load(name)), encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(SETTINGS, encoding="utf-8")
    return Folder(tmp_path)


@pytest.fixture
def locked(folder: Folder) -> Folder:
    """Return a project with a lock file, committed."""
    folder.lock()
    folder.git("init", "-q")
    folder.commit()
    return folder
