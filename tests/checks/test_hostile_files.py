"""What a check reads and writes may be anything: the answer is a plain line, and no device or link is replaced."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.checks.conftest import Folder

SCALENET = [sys.executable, "-m", "scalenet_cli"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("tool = 3", "tool: expected a table, found int"),
        ("[tool]\nscalenet = 3", "expected keys and values, found int"),
        (f"[tool.scalenet]\ntime_limit = {'9' * 5000}", "not TOML"),
        (f"[tool.scalenet]\ntime_limit = {'9' * 400}", "time_limit"),
        (f"[[tool.scalenet.gates]]\nmax = {'9' * 300}", "max: expected less than"),
        (f'[[tool.scalenet.gates]]\nmax = "{"9" * 300}G"', "write a count as"),
        ("[[tool.scalenet.gates]]\nmax_increase = {percent = 1e308}", "percent: expected less than"),
        ('[tool.scalenet]\n"a\\n::error::b" = 1', r"a\n::error::b: unknown key"),
    ],
)
def test_settings_that_are_none_are_one_line(folder: Folder, settings: str, said: str) -> None:
    folder.write("pyproject.toml", settings)
    result = folder.check()
    assert result.exit_code == 2
    assert said in result.stderr.splitlines()[0]


@pytest.mark.parametrize("pattern", ["./", "configs/**.yaml", "x" * 300 + ".yaml"])
def test_a_pattern_that_is_none_is_one_line(locked: Folder, pattern: str) -> None:
    result = locked.check(pattern)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr + result.stdout


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 101])
def test_a_lock_file_with_what_is_no_number_is_refused(locked: Folder, number: str) -> None:
    locked.edit("scalenet.lock.json", '"flops": ', f'"flops": {number}, "x": ')
    result = locked.check()
    assert result.exit_code == 2
    assert "not a lock file" in result.stderr + result.stdout


def test_a_report_goes_to_standard_output_and_into_pipes(locked: Folder) -> None:
    done = subprocess.run(
        [*SCALENET, "check", "--fast", "--report", "json=/dev/stdout"], cwd=locked.path, capture_output=True, check=True
    )
    assert b'"schema": "scalenet-check/' in done.stdout
    assert done.stdout.startswith(b"2 targets unchanged\n")
    with (locked.path / "out.txt").open("wb") as out:
        subprocess.run(
            [*SCALENET, "check", "--fast", "--report", "json=/dev/stdout"], cwd=locked.path, stdout=out, check=True
        )
    assert (locked.path / "out.txt").read_bytes() == done.stdout


def test_devices_stay_devices_and_links_links(locked: Folder) -> None:
    (locked.path / "link.json").symlink_to("real.json")
    assert locked.check("--report", "json=/dev/null", "--report", "json=link.json").exit_code == 0
    assert Path("/dev/null").is_char_device()
    assert (locked.path / "link.json").is_symlink()
    assert "scalenet-check" in (locked.path / "real.json").read_text()
    result = locked.check("--report", "json=/dev/full")
    assert (result.exit_code, "/dev/full: cannot be written" in result.stderr) == (3, True)


def test_a_job_summary_that_cannot_be_written_is_one_line(locked: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(locked.path / "none" / "summary.md"))
    result = locked.check("--github")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].endswith("summary.md: cannot be written: No such file or directory")


def test_no_name_writes_a_line_of_its_own(locked: Folder) -> None:
    name = "nets/a\n::error::b\u2028c\x1b[2J.yaml"
    (locked.path / name).write_text("nonsense: 1\n")
    result = locked.check("--github")
    assert result.exit_code == 2
    assert not any(line.startswith("::error::b") for line in (result.stdout + result.stderr).splitlines())
    assert "\x1b" not in result.stdout + result.stderr


def test_a_password_in_the_place_of_a_target_is_not_shown(locked: Folder) -> None:
    result = locked.check("--json", "postgresql://127.0.0.1:1/db?password=hunter2")
    assert "hunter2" not in result.stdout + result.stderr
    assert json.loads(result.stdout)["problems"][0]["name"] == "postgresql://127.0.0.1:1/db?password=***"
