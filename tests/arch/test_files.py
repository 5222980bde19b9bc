"""Files are written whole or not at all; links stay, devices are written into, and no folder is left through a link."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from scalenet.arch.errors import RunError, ScalenetError
from scalenet.arch.files import append_text, read_text, write_bytes, write_text


def test_a_file_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_text(file, "one")
    file.chmod(0o640)
    write_text(file, "two")
    assert file.read_text() == "two"
    assert file.stat().st_mode & 0o777 == 0o640
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_a_new_file_has_the_mode_that_the_process_gives_however_many_write(tmp_path: Path) -> None:
    def write(thread: int) -> None:
        for number in range(25):
            write_text(tmp_path / f"{thread}-{number}.txt", "one")

    before = os.umask(0o027)
    try:
        threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o640}
    finally:
        mask = os.umask(before)
    assert mask == 0o027


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path, exists: bool) -> None:
    target, link = tmp_path / "deep" / "target.txt", tmp_path / "link.txt"
    if exists:
        write_text(target, "old")
    link.symlink_to("deep/target.txt")
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_links_in_a_circle_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(ScalenetError, match="cannot be written: "):
        write_text(tmp_path / "a", "x")


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_bytes(pipe, b"x" * 200_000)
    reader.join()
    assert read == [b"x" * 200_000]
    assert pipe.is_fifo()


def test_a_full_device_is_a_failed_run_and_stays_a_device() -> None:
    with pytest.raises(RunError, match="/dev/full: cannot be written: No space left"):
        write_text(Path("/dev/full"), "x")
    write_text(Path("/dev/null"), "x")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("linked", ["plots", "plots/a.svg"])
def test_a_link_that_leads_out_of_a_folder_is_not_followed(tmp_path: Path, linked: str) -> None:
    folder, outside = tmp_path / "runs", tmp_path / "outside"
    (folder / linked).parent.mkdir(parents=True, exist_ok=True)
    outside.mkdir()
    (folder / linked).symlink_to(outside if linked == "plots" else outside / "a.svg")
    with pytest.raises(ScalenetError, match="a link leads out of"):
        write_text(folder / "plots" / "a.svg", "x", within=folder)
    assert [file.name for file in outside.iterdir()] == []


def test_a_folder_that_is_a_link_itself_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "scratch")
    write_text(tmp_path / "runs" / "plots" / "a.svg", "x", within=tmp_path / "runs")
    assert (tmp_path / "scratch" / "plots" / "a.svg").read_text() == "x"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_what_is_interrupted_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fails(_: int) -> None:
        raise error

    write_text(tmp_path / "a.txt", "old")
    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises((KeyboardInterrupt, RunError)):
        write_text(tmp_path / "a.txt", "new")
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


@pytest.mark.parametrize(
    ("name", "said"), [("", "Is a directory"), ("x" * 300, "File name too long"), ("a\0b", "null")]
)
def test_a_place_that_cannot_be_written_to_is_one_line(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(ScalenetError, match=f"cannot be written: .*{said}"):
        write_text(tmp_path / name, "x")


def test_what_is_not_utf_8_is_written_escaped(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "b\udcff")
    assert (tmp_path / "a.txt").read_bytes() == rb"b\udcff"


def test_text_is_added_at_the_end(tmp_path: Path) -> None:
    for text in ("one\n", "two\n"):
        append_text(tmp_path / "a.txt", text)
    assert (tmp_path / "a.txt").read_text() == "one\ntwo\n"
    with pytest.raises(ScalenetError, match="cannot be written: No such file or directory"):
        append_text(tmp_path / "none" / "a.txt", "x")


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\xff\xfea\0", "not UTF-8 text"), (b"a" * (16 * 2**20 + 1), "larger than 16 MiB")],
)
def test_what_is_no_text_of_ours_is_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ScalenetError, match=f"^here: {said}$"):
        read_text(tmp_path / "a", "here")


def test_a_file_without_an_end_is_refused() -> None:
    with pytest.raises(ScalenetError, match="larger than 16 MiB"):
        read_text(Path("/dev/zero"), "zero")


@pytest.mark.parametrize("name", ["", "none", "x" * 300, "a\0b"])
def test_what_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(ScalenetError, match=r"^here: "):
        read_text(tmp_path / name, "here")


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert read_text(tmp_path / "a", "here") == "a: 1\nb: 2\n"


def test_a_pipe_without_anyone_at_its_other_end_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scalenet.arch.files._PATIENCE", 0.0)
    os.mkfifo(tmp_path / "pipe")
    assert read_text(tmp_path / "pipe", "pipe") == ""
    with pytest.raises(ScalenetError, match="nobody reads"):
        write_text(tmp_path / "pipe", "x")
