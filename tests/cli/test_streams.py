"""The exit code is the command's own, whatever becomes of its output."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import commands
import pytest
from scalenet_cli.output import note

from scalenet.arch.plain import LONGEST

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = f"{sys.executable} -m scalenet_cli"


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", "-c", script.replace("scalenet", COMMAND, 1)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ("scalenet --help | true; exit ${PIPESTATUS[0]}", 0, ""),
        ("scalenet grids --json | head -1 >/dev/null; exit ${PIPESTATUS[0]}", 0, ""),
        ("scalenet --help >/dev/full", 3, "scalenet: stdout cannot be written: No space left on device\n"),
        ("scalenet scale --base resnet18 --phi 1 -o /dev/null 2>/dev/null >&2", 0, ""),
        ("scalenet grids >&-", 3, "scalenet: stdout cannot be written: Bad file descriptor\n"),
        ("scalenet grids >/dev/null 2>&-", 0, ""),
        ("scalenet grids nowhere 2>&-", 2, ""),
        ("scalenet grids nowhere 2>/dev/full", 2, ""),
        ("scalenet grids nowhere >&- 2>&-", 2, ""),
    ],
)
def test_the_code_is_the_commands_own_and_lost_data_a_failed_run(
    script: str, code: int, said: str, tmp_path: Path
) -> None:
    done = run(script, tmp_path)
    assert (done.returncode, done.stderr) == (code, said)


def test_a_reader_that_has_enough_does_not_keep_a_command_from_its_files(tmp_path: Path) -> None:
    done = run("scalenet scale --base resnet18 --phi 1..4 -o out | true; exit ${PIPESTATUS[0]}", tmp_path)
    assert done.returncode == 0
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_a_working_directory_that_is_gone_is_one_line(tmp_path: Path) -> None:
    done = run("mkdir gone; cd gone; rmdir ../gone; scalenet check", tmp_path)
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "scalenet: the working directory is gone")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cost", "x\n::error::y\u202e"], r"unknown baseline 'x\n::error::y\u202e'"),
        (["show", "resnet18", "x\n::error::y"], r"Got unexpected extra argument(s) (x\x0a::error::y)"),
        (["show", "resnet18", "postgresql://u:hunter2@h/d"], "Got unexpected extra argument(s) (postgresql://***@h/d)"),
        (["cost", "resnet18", "--no\x1b[2Jne"], r"No such option: --no\x1b[2Jne"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_a_next_step(words: list[str], said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scalenet_cli", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    first, second = done.stderr.splitlines()
    assert first == f"scalenet: {said}"
    assert second.startswith("  ")


def test_a_line_stays_as_short_where_it_must_not_command_a_ci(capfd: pytest.CaptureFixture[str]) -> None:
    note("##[" * 1000)
    line = capfd.readouterr().err.rstrip("\n")
    assert len(line) <= LONGEST
    assert "##[" not in line


FIRST = """
import os, signal
import scalenet_cli.main
from scalenet_cli.entry import main

number, os.getpid = os.getpid(), lambda: 1
scalenet_cli.main.main = lambda: (os.kill(number, signal.SIGTERM), signal.pause())
main()
"""


def test_sigterm_is_ctrl_c_to_the_first_process_of_a_container() -> None:
    process = commands.start([sys.executable, "-c", FIRST])
    assert process.communicate(timeout=60) == ("", "scalenet: interrupted\n")
    assert process.returncode == 130
