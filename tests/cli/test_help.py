"""Help: under headings, as wide as the terminal, every option once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from scalenet_cli.main import app
from typer.main import get_command
from typer.testing import CliRunner

COMMANDS = sorted(name for name in get_command(app).commands if name not in ("search", "weights"))


def help_of(command: str, width: int) -> str:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": str(width)})
    assert result.exit_code == 0, result.output
    return result.stdout


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^(\w.*):\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_stands_once_under_a_heading(command):
    found = "".join(sections(help_of(command, 120)).values())
    options = {name for one in get_command(app).commands[command].params for name in one.opts if name.startswith("--")}
    for option in options:
        assert len(re.findall(rf"^  (?:-\w, )?{option}\b(?!-)", found, flags=re.MULTILINE)) == 1, option


@pytest.mark.parametrize(
    ("command", "headings"),
    [
        ("train", "Images, This machine"),
        ("scale", "How far, Output"),
        ("grid-search", "What is searched, How a candidate is judged, How much is trained, What wins"),
    ],
)
def test_long_helps_have_headings_and_examples(command, headings):
    text = help_of(command, 120)
    assert set(headings.split(", ")) <= set(sections(text))
    assert re.search(rf"^  scalenet {command} .*-o ", text, flags=re.MULTILINE)


@pytest.mark.parametrize(("width", "least"), [(80, 70), (140, 120)])
def test_help_is_as_wide_as_the_terminal(width, least):
    command = [sys.executable, "-m", "scalenet_cli", "train", "--help"]
    environment = {**os.environ, "COLUMNS": str(width)}
    text = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    assert least < max(map(len, text.splitlines())) <= width


def commands(group, prefix=""):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} ")
        else:
            yield f"{prefix}{name}", command


def test_variables_stand_for_the_options_that_the_page_says():
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(SCALENET_\w+)` \| `(--\w+)`.*? \| (.*) \|$", page, flags=re.MULTILINE)
    said = {(variable, option, one) for variable, option, of in rows for one in re.findall(r"`([\w -]+)`", of)}
    found = {
        (variable, parameter.opts[0], name if (variable, parameter.opts[0], name) in said else name.split()[0])
        for name, command in commands(get_command(app))
        for parameter in command.params
        for variable in [parameter.envvar or ("SCALENET_SET" if "--set" in parameter.opts else None)]
        if variable
    }
    assert said == found


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SCALENET_DATA", "nowhere", "nowhere: no such directory"),
        ("SCALENET_DEVICE", "gpu", "device 'gpu' cannot be used"),
        ("SCALENET_WORKERS", "many", "env var: 'SCALENET_WORKERS'"),
        ("SCALENET_RECIPE", "small", "unknown recipe 'small'"),
        ("SCALENET_SET", "optimizer.rate=1", "optimizer.rate: unknown key"),
    ],
)
def test_variables_are_read(variable, value, said, tmp_path):
    words = ["train", "small_resnet", "-o", str(tmp_path / "run")]
    done = CliRunner().invoke(app, words, env={variable: value})
    assert done.exit_code == 2
    assert said in f"{done.stderr}{done.exception or ''}"
    assert not (tmp_path / "run").exists()
