"""Processes that are started do not run what lies in the working directory."""

from __future__ import annotations

import multiprocessing
import os
from typing import TYPE_CHECKING

import pytest

from scalenet.arch.interpreters import as_others_start, off_the_path

if TYPE_CHECKING:
    from pathlib import Path

TRAPS = ("multiprocessing", "pickle", "struct", "selectors", "yaml")


@pytest.mark.parametrize("already", [None, "1"])
def test_what_lies_in_the_working_directory_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, already: str | None
) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    if already:
        monkeypatch.setenv("PYTHONSAFEPATH", already)
    for name in TRAPS:
        (tmp_path / f"{name}.py").write_text(f"open('ran_{name}', 'w')\n")
    monkeypatch.chdir(tmp_path)
    process = multiprocessing.get_context("spawn").Process(target=as_others_start)
    with off_the_path():
        process.start()
    process.join()
    assert process.exitcode == 0
    assert os.environ.get("PYTHONSAFEPATH") == already
    assert list(tmp_path.glob("ran_*")) == []


def test_what_a_started_process_starts_is_as_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    with off_the_path():
        assert "PYTHONSAFEPATH" in os.environ
        as_others_start()
        assert "PYTHONSAFEPATH" not in os.environ
