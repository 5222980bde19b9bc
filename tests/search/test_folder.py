"""What a search's folder holds is removed whatever it is, and nothing beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalenet.search.folder import discard

if TYPE_CHECKING:
    from pathlib import Path


def test_what_stands_in_the_place_of_a_jobs_folder_is_removed_and_no_link_followed(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    for below in (folder / "jobs" / "c_seed2", elsewhere):
        below.mkdir(parents=True)
        (below / "log.txt").write_text("kept?")
    (folder / "search.yaml").write_text("broken: [")
    (folder / "jobs" / "c_seed0").write_text("a file")
    (folder / "jobs" / "c_seed1").symlink_to(elsewhere)
    (folder / "jobs" / "other_seed0").write_text("another's")
    discard(folder, ["c"])
    assert [path.name for path in (folder / "jobs").iterdir()] == ["other_seed0"]
    assert (elsewhere / "log.txt").read_text() == "kept?"
