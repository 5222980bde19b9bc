"""Folders of results: a run neither writes over nor removes what is another's, and leaves nothing half-written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from scalenet.arch.errors import ScalenetError
from scalenet.arch.files import sweep, write_text
from scalenet.arch.results import Results

if TYPE_CHECKING:
    from pathlib import Path

WALKS = Results("walk", "walk.yaml", ("walk.yaml", "map.csv", "steps/*.txt"))


def lay(folder: Path, *names: str) -> Path:
    for name in names:
        write_text(folder / name, name)
    return folder


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("other", ["map.csv", "steps/1.txt"])
def test_a_folder_is_free_a_runs_or_anothers(tmp_path: Path, other: str) -> None:
    assert WALKS.recorded(tmp_path / "nowhere") is None
    assert WALKS.recorded(lay(tmp_path / "mine", "notes.txt", "steps/1.csv")) is None
    assert WALKS.recorded(lay(tmp_path / "walk", "walk.yaml", other)) == tmp_path / "walk" / "walk.yaml"
    with pytest.raises(ScalenetError, match=rf"{other}: is no walk's"):
        WALKS.recorded(lay(tmp_path / "other", other))


def test_what_is_discarded_is_the_runs_alone(tmp_path: Path) -> None:
    lay(tmp_path, "walk.yaml", "map.csv", "steps/1.txt", "steps/1.csv", "steps.txt", "notes/map.csv")
    (tmp_path / "steps" / "2.txt").mkdir()
    WALKS.discard(tmp_path)
    assert names(tmp_path) == {"steps/1.csv", "steps.txt", "notes/map.csv"}
    assert (tmp_path / "steps" / "2.txt").is_dir()


def test_what_killed_processes_left_is_swept(tmp_path: Path) -> None:
    kept = {".map.csv", ".notes.txt.abcd1234", "steps/.1.csv.abcd1234", "map.csv"}
    lay(tmp_path, *kept, ".map.csv.abcd1234", ".walk.yaml._2345678", "steps/.1.txt.abcd1234")
    for file in tmp_path.rglob("*"):
        os.utime(file, (0, 0))
    WALKS.sweep(tmp_path)
    assert names(tmp_path) == kept


def test_a_file_that_is_being_written_is_not_swept(tmp_path: Path) -> None:
    lay(tmp_path, ".1.txt.abcd1234", ".2.txt.abcd1234")
    os.utime(tmp_path / ".1.txt.abcd1234", (0, 0))
    sweep(tmp_path, "*.txt")
    assert names(tmp_path) == {".2.txt.abcd1234"}
