"""Which folders are splits, which are classes, and what is left out: as people lay their images out, and at random."""

from __future__ import annotations

import os
import socket
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalenet.training.data import chance, stakes, stream
from scalenet.training.decoding import DataError
from scalenet.training.layout import Role, role
from scalenet.training.selection import select
from scalenet.training.sources import find_source
from scalenet.training.tree import Why


def lay(root: Path, *places: str) -> Path:
    """Put three images into each folder; one whose name ends with a slash stays empty."""
    for place in places:
        (root / place).mkdir(parents=True, exist_ok=True)
        for number in range(0 if place.endswith("/") else 3):
            (root / place / f"{number}.jpg").write_bytes(b"an image")
    return root


@pytest.mark.parametrize(
    ("train", "held_out"),
    [
        ("train", "val"),
        ("Training", "Testing"),
        ("TRAIN", "Valid"),
        ("train_images", "val_images"),
        ("training_set/training_set", "test_set/test_set"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("imagenet-train", "imagenet-val"),
        ("TrainImages", "EvalImages"),
        ("train2017", "val2017"),
        ("chest_xray/chest_xray/train", "chest_xray/chest_xray/dev"),
        ("ILSVRC/Data/CLS-LOC/train", "ILSVRC/Data/CLS-LOC/validation"),
        ("trainset", "evaluation"),
    ],
)
def test_splits_are_known_by_the_names_that_people_give_them(tmp_path: Path, train: str, held_out: str) -> None:
    lay(tmp_path, *(f"{part}/{name}" for part in (train, held_out) for name in ("cat", "dog")))
    source = find_source(tmp_path)
    assert source.classes == ("cat", "dog")
    assert source.places == (train, held_out)
    assert source.held_out is not None
    assert not source.left_out
    assert [line.partition(": ")[2] for line in source.lines()] == [
        f"class folders: {what} in {place}: 6 images of 2 classes: cat 3, dog 3"
        for what, place in (("to train on", train), ("held out", held_out))
    ]


@pytest.mark.parametrize(
    ("places", "said"),
    [
        (("train", "test"), "test, train: named as splits, but no split to train on holds class folders"),
        (("Training", "Testing"), "Testing, Training: named as splits"),
        (("cats_train", "cats_test"), "cats_test, cats_train: named as splits"),
        (("train", "car", "bus"), "train: named as a split, .*--layout classes"),
        (("test", "cat", "dog"), "test: named as a split"),
        (("test/cat", "test/dog", "cat", "dog"), "test: named as a split"),
        (("one/cat", "one/dog", "two/cat", "two/dog"), r"its folders \(one, two\) all hold folders of the same names"),
        (("cat/train", "cat/test", "dog/train", "dog/test"), r"cat: splits in a class folder \(test, train\)"),
        (("train/a", "train/b", "val"), "val: images to hold out in no class folders"),
        (("train/a", "train/b", "val/"), "val: named as a split, and holds no images"),
        (("train/a", "train/b", "val/a", "val/b", "dev/a", "dev/b"), "dev and val: both are named as splits to hold"),
        (("train/a", "train/b", "extra/c"), "extra: beside a split to train on, and named neither"),
        (("train/a", "train/b", "val/a"), "the held-out images lack the classes b|only one class"),
        (("a", "b", "c/"), "c: no images"),
        (("train/a",), r"only one class \(a\)"),
        ((".",), "no class folders but 3 images in none"),
    ],
)
def test_what_may_be_meant_otherwise_is_refused(tmp_path: Path, places: tuple[str, ...], said: str) -> None:
    lay(tmp_path, *places)
    with pytest.raises(DataError, match=said):
        find_source(tmp_path)


@pytest.mark.parametrize(
    "places", [("train", "test"), ("train", "car"), ("one/cat", "one/dog", "two/cat", "two/dog"), ("a/train", "b/test")]
)
def test_every_folder_is_a_class_where_that_is_said(tmp_path: Path, places: tuple[str, ...]) -> None:
    source = find_source(lay(tmp_path, *places), "classes")
    assert source.classes == tuple(sorted({place.split("/")[0] for place in places}))
    assert source.held_out is None


def test_layouts_that_are_clear_are_taken_as_they_are(tmp_path: Path) -> None:
    assert find_source(lay(tmp_path / "a", "bullet_train", "car", "test_tube")).classes == (
        "bullet_train",
        "car",
        "test_tube",
    )
    assert find_source(lay(tmp_path / "tiny-imagenet", "train/n1/images", "train/n2/images")).classes == ("n1", "n2")
    assert find_source(lay(tmp_path / "nested", "person/s1", "person/s2", "car/s3")).classes == ("car", "person")


def test_splits_that_are_not_used_are_named(tmp_path: Path) -> None:
    parts = ("train", "val", "test", "extra")
    source = find_source(lay(tmp_path, *(f"{part}/{name}" for part in parts for name in "ab"), "test_flat"))
    counts = Counter(one.why for one in source.left_out)
    assert counts == {Why.unused_split: 6, Why.no_split: 6, Why.unlabelled: 3}
    source.check_whole()  # nothing of it was meant to be used


def test_images_beyond_a_limit_are_counted(tmp_path: Path) -> None:
    selection = select(find_source(lay(tmp_path, "train/a", "train/b", "val/a", "val/b")), seed=0, limit=4)
    assert selection.spare == 2
    assert stakes(selection).startswith(f"{tmp_path.name}: 4 images to train on (2 more are left out), 6 held out; one")


def test_chance_is_the_share_of_the_largest_class(tmp_path: Path) -> None:
    source = find_source(lay(tmp_path, "train/a", "train/b", "val/a", "val/a/more", "val/b"))
    assert chance(select(source, seed=0)) == 6 / 9


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Train", Role.train),
        ("trainval", Role.train),
        ("train_val", Role.train),
        ("my-dev-set", Role.validation),
        ("Eval", Role.validation),
        ("testing", Role.test),
        ("train_test_split", None),
        ("contest", None),
        ("strain", None),
        ("valley", None),
        ("devil", None),
        ("retraining", None),
    ],
)
def test_names_of_splits(name: str, meant: Role | None) -> None:
    assert role(name) is meant


def test_what_is_left_out_is_counted_and_named(tmp_path: Path) -> None:
    lay(tmp_path, "a", "b", ".Trash-1000", "a/.thumbnails", "a/@eaDir", "b/.ipynb_checkpoints", "__MACOSX/a")
    (tmp_path / "a" / "gone.jpg").symlink_to(tmp_path / ".git" / "annex" / "objects" / "gone.jpg")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    (tmp_path / "b" / "self.jpg").symlink_to("self.jpg")
    os.mkfifo(tmp_path / "b" / "pipe.jpg")
    for place in ("a/x.heic", "a/._0.jpg", "a/notes.txt", "loose.png", "b/taken.jpe", "b/taken.jfif", "b/taken.AVIF"):
        (tmp_path / place).write_bytes(b"a file")
    source = find_source(tmp_path)
    left_out = {(one.why, one.place) for one in source.left_out}
    assert left_out == {
        (Why.dangling, "a/gone.jpg"),
        (Why.dangling, "b/self.jpg"),
        (Why.looping, "b/loop/"),
        (Why.special, "b/pipe.jpg"),
        (Why.unread, "a/x.heic"),
        (Why.loose, "loose.png"),
        (Why.other, "a/notes.txt"),
        *((Why.hidden, place) for place in ("a/._0.jpg", "a/.thumbnails/", "a/@eaDir/", "b/.ipynb_checkpoints/")),
        *((Why.hidden, place) for place in (".Trash-1000/", "__MACOSX/")),
    }
    assert {name: len(files) for name, files in source.train.items()} == {"a": 3, "b": 6}
    lines = [line for line in source.lines() if "left out" in line]
    assert any("git-annex that were not fetched (2): a/gone.jpg, b/self.jpg" in one for one in lines)
    with pytest.raises(DataError, match=r"links to nothing.* \(2\): .*formats that are not read \(1\): a/x.heic"):
        stream(select(source, seed=0), strict=True)


@pytest.mark.parametrize(
    ("there", "place"),
    [(("a", "c"), "b"), (("train/a", "train/b"), "val"), (("train/a", "train/b"), "train/c"), (("a/b", "a/c"), "a/d")],
)
def test_a_class_or_split_that_leads_to_nothing_is_refused(tmp_path: Path, there: tuple[str, ...], place: str) -> None:
    lay(tmp_path, *there)
    (tmp_path / place).symlink_to(tmp_path / "not-mounted")
    with pytest.raises(DataError, match=f"{place}: links to nothing where folders of images lie .*mount or fetch"):
        find_source(tmp_path)


def test_a_link_to_nothing_that_was_no_folder_stands_in_no_ones_way(tmp_path: Path) -> None:
    lay(tmp_path, "archive/cat", "archive/dog")
    (tmp_path / "README.md").symlink_to("nowhere")
    source = find_source(tmp_path)
    assert source.classes == ("cat", "dog")
    assert [one.place for one in source.left_out] == ["README.md"]


def test_a_file_that_is_called_like_one_of_cifars_makes_no_cifar(tmp_path: Path) -> None:
    lay(tmp_path, "cat", "dog")
    (tmp_path / "test.bin").write_bytes(b"weights")
    assert find_source(tmp_path).classes == ("cat", "dog")
    (tmp_path / "test_batch.bin").write_bytes(b"records")
    with pytest.raises(
        DataError, match=r"holds images as CIFAR's files and as class folders .*--layout cifar or --layout"
    ):
        find_source(tmp_path)


def test_a_class_whose_images_were_not_fetched_is_refused_by_name(tmp_path: Path) -> None:
    lay(tmp_path, "a", "b/")
    for number in range(3):
        (tmp_path / "b" / f"{number}.jpg").symlink_to(tmp_path / "cache" / str(number))
    with pytest.raises(DataError, match=r"b: no images: links to nothing, such as data of DVC or git-annex"):
        find_source(tmp_path)


def test_a_socket_or_a_folder_called_like_a_shard_is_not_opened(tmp_path: Path) -> None:
    lay(tmp_path, "a", "b", "x.tar/")
    os.mkfifo(tmp_path / "train-1.tar")
    with socket.socket(socket.AF_UNIX) as own:
        there = Path.cwd()
        os.chdir(tmp_path)  # the path of a socket is short
        try:
            own.bind("train-2.tar")
        finally:
            os.chdir(there)
    (tmp_path / "train-3.tar").symlink_to("nowhere")
    (tmp_path / "x.tar").rmdir()
    source = find_source(tmp_path)
    assert [one.place for one in source.left_out] == ["train-1.tar", "train-2.tar", "train-3.tar"]


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    lay(tmp_path, "a", "b")
    odd = os.fsdecode(b"caf\xe9.jpg")
    (tmp_path / "a" / odd).write_bytes(b"an image")
    splits = stream(select(find_source(tmp_path), seed=0))
    assert len(splits.train) + len(splits.validation) == 7
    lay(tmp_path, os.fsdecode(b"caf\xe9"))
    with pytest.raises(DataError, match=r"caf\\udce9: the name of a class that is not UTF-8"):
        find_source(tmp_path)


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(tmp_path, "a", "b")
    listed = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("b"):
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"b: cannot be read: Permission denied"):
        find_source(tmp_path)


LAID = st.sampled_from(
    [
        ("a", "b"),
        ("train/a", "train/b"),
        ("data/Training/a", "data/Training/b", "data/Testing/a", "data/Testing/b"),
        ("train/a", "train/b", "val/a", "val/b", "test/a", "test/b"),
    ]
)
BELOW = st.lists(st.sampled_from(["", "deep", "x.tar", ".git", "@eaDir", "train", "Test", "c"]), max_size=2)
FILES = st.sampled_from(["0.jpg", "1.PNG", "2.heic", "notes.txt", "._0.jpg", "noend", "link.jpg", "link", "y.TAR"])
STRAY = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), BELOW, FILES), max_size=12)


def strew(root: Path, laid: tuple[str, ...], stray: list[tuple[int, int, list[str], str]]) -> None:
    """Put files below the folders of a layout and below those that these lie in, at random."""
    lay(root, *laid)
    for number, above, below, name in stray:
        parts = Path(laid[number % len(laid)]).parts
        folder = root.joinpath(*parts[: len(parts) - above % (len(parts) + 1)], *below)
        folder.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(folder / name):
            (folder / name).symlink_to("nowhere") if "link" in name else (folder / name).write_bytes(b"x")


@given(LAID, STRAY, st.sampled_from(["auto", "folders", "classes"]))
def test_every_file_is_trained_on_held_out_or_named(
    laid: tuple[str, ...], stray: list[tuple[int, int, list[str], str]], layout: str
) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        strew(root, laid, stray)
        try:
            source = find_source(root, layout)  # type: ignore[arg-type]
        except DataError:
            return
        used = [
            Path(file.path).relative_to(root).as_posix()
            for files in (source.train, source.held_out or {})
            for found in files.values()
            for file in found
        ]
        named = [one.place for one in source.left_out]
        assert len({*used, *named}) == len(used) + len(named), "twice"
        folders = tuple(one for one in named if one.endswith("/"))
        for path in root.rglob("*"):
            lies = path.relative_to(root).as_posix()
            if path.is_symlink() or path.is_file():
                assert (lies in used) + (lies in named) + lies.startswith(folders) == 1, lies
