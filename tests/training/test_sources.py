"""Where images lie: ImageNet's tree, tar shards and CIFAR's own files, whole, damaged and wrong."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import pickle
import tarfile
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scalenet.training.data import read, stream
from scalenet.training.decoding import DataError, File
from scalenet.training.feed import feed
from scalenet.training.recipe import Augmentation
from scalenet.training.selection import select
from scalenet.training.sources import find_source, native_size
from scalenet.training.tree import Why

if TYPE_CHECKING:
    from scalenet.training.sources import Source


def encoded(level: int, size: tuple[int, int] = (20, 16)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (level, level, level)).save(file, "JPEG", quality=95)
    return file.getvalue()


def write_shard(path: Path, samples: list[tuple[str, bytes, str]]) -> None:
    """Write samples of name, image and label as webdataset does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for key, image, label in samples:
            for kind, content in (("jpg", image), ("cls", label.encode())):
                member = tarfile.TarInfo(f"{key}.{kind}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def write_cifar(folder: Path, classes: int = 10) -> Path:
    """Write CIFAR's binary files with six images a file; the class times 20 is the colour of the first plane."""
    folder.mkdir(parents=True)
    fine = classes == 100
    (folder / ("fine_label_names.txt" if fine else "batches.meta.txt")).write_text(
        "\n".join(f"class{number:02}" for number in range(2)) + "\n"
    )
    for name in ("train.bin", "test.bin") if fine else ("data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"):
        records = b""
        for number in range(6):
            planes = bytes([20 * (number % 2) + 100] * 1024) + bytes([number] * 1024) + bytes([7] * 1024)
            records += (b"\x05" if fine else b"") + bytes([number % 2]) + planes
        (folder / name).write_bytes(records)
    return folder


def test_imagenets_tree_is_read_as_it_is_unpacked(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("val", 1)):
        for name in ("n01440764", "n01443537"):
            for number in range(count):
                file = tmp_path / part / name / f"{name}_{number}.JPEG"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(encoded(100))
    source = find_source(tmp_path)
    assert source.classes == ("n01440764", "n01443537")
    assert source.held_out is not None
    assert [len(found) for found in source.held_out.values()] == [1, 1]
    assert native_size(source) == 16


@pytest.mark.parametrize("folders", [False, True])
def test_shards_are_read_by_label(tmp_path: Path, folders: bool) -> None:
    shards = {"train-000": [0, 10, 1, 10], "train-001": [2, 20], "val-000": [0, 10, 1, 10, 2, 20]}
    for name, numbers in shards.items():
        part, _, number = name.partition("-")
        path = tmp_path / (f"{part}/{number}.tar" if folders else f"{name}.tar")
        pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
        write_shard(
            path, [(f"{name}/{i:03}", encoded(level * 10), str(label)) for i, (label, level) in enumerate(pairs)]
        )
    splits = read(select(find_source(tmp_path), seed=0), size=8)
    assert splits.classes == ("0", "1", "2")
    assert splits.train.labels.tolist() == [0, 1, 2]
    assert splits.validation.labels.tolist() == [0, 1, 2]
    assert splits.train.images.float().mean((1, 2, 3)).round().tolist() == [100, 100, 200]


def test_classes_txt_names_the_labels_of_shards(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    write_shard(tmp_path / "a.tar", [(f"{n}", encoded(9), ("0", "1", "dog")[n % 3]) for n in range(6)])
    source = find_source(tmp_path)
    assert {name: len(found) for name, found in source.train.items()} == {"cat": 2, "dog": 4}
    (tmp_path / "classes.txt").write_text("cat\nbird\n")
    with pytest.raises(DataError, match=r"a.tar: class 'dog' is not one of the 2 in classes.txt"):
        find_source(tmp_path)


def test_a_shard_that_is_cut_short_is_named(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", [(str(n), encoded(9), str(n % 2)) for n in range(6)])
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[:3000])
    with pytest.raises(DataError, match=r"a.tar: .*cut short or damaged"):
        find_source(tmp_path)


def test_an_image_without_its_label_is_named(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        member = tarfile.TarInfo("x/007.png")
        tar.addfile(member, io.BytesIO())
    with pytest.raises(DataError, match=r"no .cls beside x/007.png"):
        find_source(tmp_path)


def write_members(path: Path, members: list[tuple[str, bytes]]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_members_that_are_not_used_are_counted_and_named(tmp_path: Path) -> None:
    members = [(f"{number}.{kind}", kind.encode()) for number in range(6) for kind in ("jpg",)]
    members += [(f"{number}.cls", b"%d" % (number % 2)) for number in range(6)]
    members += [("7.jpg", b"no class"), ("8.cls", b"1"), ("0.json", b"{}"), ("1.mask.png", b"a mask")]
    members += [("2.jpg", b"the same once more"), ("._3.jpg", b"x"), ("__MACOSX/4.jpg", b"x"), ("9.heic", b"x")]
    members += [("sample.input.jpg", b"x"), ("sample.cls", b"00")]
    write_members(tmp_path / "a.tar", members)
    source = find_source(tmp_path)
    assert {one.place.removeprefix("a.tar: "): one.why for one in source.left_out} == {
        "7.jpg": Why.unpaired,
        "8.cls": Why.unpaired,
        "1.mask.png": Why.unpaired,
        "2.jpg": Why.repeated,
        "0.json": Why.other,
        "9.heic": Why.unread,
        "._3.jpg": Why.hidden,
        "__MACOSX/4.jpg": Why.hidden,
    }
    assert [len(found) for found in source.train.values()] == [4, 3]
    assert File(str(tmp_path / "a.tar"), *_place(source, "2.jpg")).content() == b"the same once more"
    with pytest.raises(DataError, match=r"shard members that pair with nothing \(3\)"):
        source.check_whole()


def _place(source: Source, member: str) -> tuple[int, int | None]:
    return next((one.offset, one.length) for found in source.train.values() for one in found if one.member == member)


MEMBERS = st.lists(
    st.tuples(
        st.sampled_from(["0", "1", "x/2", ".3", "4.input"]), st.sampled_from(["jpg", "png", "cls", "json", "seg.png"])
    ),
    max_size=20,
)


@given(MEMBERS)
def test_every_member_is_trained_on_or_named(members: list[tuple[str, str]]) -> None:
    known = [("k.jpg", b"x"), ("k.cls", b"0"), ("l.jpg", b"x"), ("l.cls", b"1")]
    names = [f"{key}.{kind}" for key, kind in members]
    with tempfile.TemporaryDirectory() as place:
        write_members(Path(place) / "a.tar", [*known, *((name, b"1") for name in names)])
        source = find_source(place)
    used = Counter(file.member for found in source.train.values() for file in found)
    left_out = Counter(one.place.removeprefix("a.tar: ") for one in source.left_out)
    for name, count in Counter(names).items():
        if name.endswith(".cls"):
            assert used[name] + left_out[name] in (count, count - 1), "one may be an image's"
        else:
            assert used[name] + left_out[name] == count, name


@pytest.mark.parametrize(
    ("names", "used", "left_out"),
    [
        (["train-0.tar", "val-0.tar", "test-0.tar"], (6, 6), ["test-0.tar"]),
        (["imagenet-train-00.tar", "imagenet-validation-00.tar"], (6, 6), []),
        (["Training/0.tar", "Testing/0.tar"], (6, 6), []),
        (["0.tar", "1.tar"], (12, 0), []),
    ],
)
def test_shards_are_for_what_their_names_say(
    tmp_path: Path, names: list[str], used: tuple[int, int], left_out: list[str]
) -> None:
    for name in names:
        write_shard(tmp_path / name, [(str(n), encoded(9), str(n % 2)) for n in range(6)])
    source = find_source(tmp_path)
    assert tuple(sum(map(len, (files or {}).values())) for files in (source.train, source.held_out)) == used
    assert [one.place for one in source.left_out] == left_out


def test_shards_that_are_not_clear_are_refused(tmp_path: Path) -> None:
    samples = [(str(n), encoded(9), str(n % 2)) for n in range(6)]
    write_shard(tmp_path / "train-0.tar", samples)
    write_shard(tmp_path / "more.tar", samples)
    with pytest.raises(DataError, match=r"more.tar: beside shards to train on, and named neither"):
        find_source(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match=r"as tar shards and as class folders .*--layout shards"):
        find_source(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"x" * 5000])
def test_a_label_that_is_none_is_named(tmp_path: Path, content: bytes) -> None:
    write_members(tmp_path / "a.tar", [("0.jpg", b"x"), ("0.cls", content)])
    with pytest.raises(DataError, match=r"a.tar: "):
        find_source(tmp_path)


@pytest.mark.parametrize("place", [range(124, 136), range(100, 108), range(148, 156), range(156, 157)])
@pytest.mark.parametrize("value", [b"\xff", b"9", b" ", b"\x80", b"z"])
@pytest.mark.parametrize("header", [0, 1024])
def test_bad_numbers_in_headers_are_one_line(tmp_path: Path, place: range, value: bytes, header: int) -> None:
    write_shard(tmp_path / "a.tar", [(str(n), b"an image", str(n % 2)) for n in range(6)])
    content = bytearray((tmp_path / "a.tar").read_bytes())
    content[header + place.start : header + place.stop] = value * len(place)
    if place.start != 148:
        content[header + 148 : header + 156] = b" " * 8
        content[header + 148 : header + 156] = b"%06o\0 " % sum(content[header : header + 512])
    (tmp_path / "a.tar").write_bytes(content)
    with contextlib.suppress(DataError):
        find_source(tmp_path)


def test_files_that_name_classes_name_them_apart(tmp_path: Path) -> None:
    folder = write_cifar(tmp_path / "cifar")
    for text, said in (
        (b"cat\ncat\n", "cat more than once; each class needs a name of its own"),
        (b"cat\n", r"only one class \(cat\)"),
        (b"cat\n\ndog\n", "line 2 is empty"),
        (b"", "line 1 is empty"),
        (b"caf\xe9\nth\xe9\n", "in UTF-8"),
    ):
        (folder / "batches.meta.txt").write_bytes(text)
        with pytest.raises(DataError, match=rf"batches.meta.txt: .*{said}"):
            find_source(folder)
    (folder / "batches.meta.txt").write_text("polar bear\nred fox\n\n")
    assert find_source(folder).classes == ("polar bear", "red fox")


def test_cifar_without_its_batches(tmp_path: Path) -> None:
    folder = write_cifar(tmp_path / "cifar")
    (folder / "data_batch_1.bin").unlink()
    with pytest.raises(DataError, match=r"no data_batch_1.bin; unpack the whole archive"):
        find_source(folder)
    (folder / "data_batch_2.bin").unlink()
    with pytest.raises(DataError, match=r"no data_batch_1.bin; unpack the whole archive"):
        find_source(folder)
    os.mkfifo(folder / "data_batch_1.bin")
    with pytest.raises(DataError, match=r"no data_batch_1.bin"):
        find_source(folder)
    (folder / "test_batch.bin").unlink()
    with pytest.raises(DataError, match="no class folders"):
        find_source(folder)


@pytest.mark.parametrize(("classes", "below", "count"), [(10, "", 12), (100, "cifar-100-binary", 6)])
def test_cifars_binary_files_are_read(tmp_path: Path, classes: int, below: str, count: int) -> None:
    write_cifar(tmp_path / "data" / below, classes)
    splits = read(select(find_source(tmp_path / "data"), seed=0), size=32)
    assert splits.classes == ("class00", "class01")
    assert (len(splits.train), len(splits.validation)) == (count, 6)
    image = splits.validation.images[splits.validation.labels == 1][0]
    assert [plane.float().mean().item() for plane in image] == [120, 1, 7]


def test_cifar_cut_short_and_incomplete(tmp_path: Path) -> None:
    folder = write_cifar(tmp_path / "cifar")
    (folder / "data_batch_2.bin").write_bytes(b"\x00" * 5000)
    with pytest.raises(DataError, match="5000 bytes are no whole number of records"):
        find_source(folder)
    (folder / "batches.meta.txt").unlink()
    with pytest.raises(DataError, match="unpack the whole archive"):
        find_source(folder)


class Bomb:
    def __reduce__(self) -> object:
        return pytest.fail, ("a pickle was opened",)


def test_pickled_cifar_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataError, match=r"can run any code .*cifar-10-binary.tar.gz"):
        find_source(tmp_path)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Return a tree of large and small, wide and turned images; one file is broken, one cut short."""
    draw = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(12):
            size = (300, 200) if number % 2 else (40, 60)
            image = Image.fromarray(draw.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
            image.save(tmp_path / name / f"{number:02}.jpg")
    (tmp_path / "a" / "03.jpg").write_bytes(b"no image")
    whole = (tmp_path / "b" / "05.jpg").read_bytes()
    (tmp_path / "b" / "05.jpg").write_bytes(whole[: len(whole) // 2])
    return tmp_path


def streamed(root: Path, augmentation: Augmentation | None, *, workers: int, strict: bool = False):
    images = stream(select(find_source(root), seed=0), strict=strict).train
    return feed(
        images,
        size=(16, 16),
        augmentation=augmentation,
        test_crop=1.0,
        device=torch.device("cpu"),
        layout=torch.channels_last,
        workers=workers,
    )


def test_workers_decode_what_this_process_would(mixed: Path) -> None:
    augmentation = Augmentation(area=(0.3, 1.0))
    keys = [
        (torch.arange(start, start + 8), {"crop": torch.rand(8, 4, generator=torch.Generator().manual_seed(start))})
        for start in (0, 8)
    ]
    here, there = (list(streamed(mixed, augmentation, workers=count).augmented(iter(keys))) for count in (0, 2))
    for (images, labels), (others, same) in zip(here, there, strict=True):
        assert torch.equal(images, others)
        assert torch.equal(labels, same)


def test_a_broken_image_is_named_and_another_takes_its_place(mixed: Path) -> None:
    augmentation = Augmentation(area=(0.3, 1.0))
    batches = streamed(mixed, augmentation, workers=0)
    keys = [(torch.arange(len(batches.labels)), {"crop": torch.rand(len(batches.labels), 4)})]
    ((images, labels),) = batches.augmented(iter(keys))
    assert len(images) == len(labels) == len(batches.labels)
    assert all(image.float().std() > 0 for image in images), "a broken image is left black"
    assert {line.split(":")[0] for line in batches.broken} == {"a/03.jpg", "b/05.jpg"}
    with pytest.raises(DataError, match=r"2 broken files: a/03.jpg: not an image"):
        list(streamed(mixed, augmentation, workers=0, strict=True).augmented(iter(keys)))


def test_broken_images_do_not_count_in_an_evaluation(mixed: Path) -> None:
    batches = streamed(mixed, None, workers=0)
    labels = torch.cat([labels for _, labels in batches.plain(torch.arange(len(batches.labels)))])
    assert (labels == -1).sum() == 2
    assert len(labels) == len(batches.labels)


def test_a_batch_of_broken_images_is_an_error(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(4):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{number}.png").write_bytes(b"no image")
    batches = streamed(tmp_path, Augmentation(), workers=0)
    with pytest.raises(DataError, match=r"none of 2 images of a batch can be decoded: a/0.png"):
        list(batches.augmented(iter([(torch.arange(2), {})])))


def test_strict_refuses_broken_images_in_memory_too(mixed: Path) -> None:
    with pytest.raises(DataError, match="broken files"):
        read(select(find_source(mixed), seed=0), size=8, strict=True)


def test_large_jpegs_are_decoded_small_and_turned_ones_upright(tmp_path: Path) -> None:
    picture = Image.new("RGB", (800, 400), (0, 0, 255))
    picture.paste((255, 0, 0), (0, 0, 400, 400))  # red on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: red above
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(2):
            picture.save(tmp_path / name / f"{number}.jpg", exif=exif, quality=95)
    augmentation = Augmentation(area=(1.0, 1.0), aspect=(0.5, 0.5))
    ((images, _),) = streamed(tmp_path, augmentation, workers=0).augmented(
        iter([(torch.tensor([0]), {"crop": torch.full((1, 4), 0.5)})])
    )
    red, _, blue = images[0].float()
    assert red[:7].mean() > 240
    assert blue[9:].mean() > 240


def test_a_minival_is_taken_from_the_training_images_alone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(50):
            (tmp_path / name / f"{number:02}.jpg").write_bytes(encoded(2 * number))
    source = find_source(tmp_path)
    with_minival, without = (select(source, seed=3, minival=count) for count in (25_000, 0))
    assert with_minival.validation == without.validation
    assert with_minival.minival is not None
    sizes = [sum(map(len, part.values())) for part in with_minival.parts()]
    assert sizes == [81, 10, 9], "a tenth at most"
    kept = {file.path for part in with_minival.parts() for found in part.values() for file in found}
    assert len(kept) == 100


def test_workers_do_not_run_what_lies_in_the_working_directory(
    mixed: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    here, before = tmp_path_factory.mktemp("traps"), multiprocessing.get_start_method(allow_none=True)
    for name in ("multiprocessing", "pickle", "struct", "PIL"):
        (here / f"{name}.py").write_text(f"open('ran_{name}', 'w')\n")
    monkeypatch.chdir(here)
    multiprocessing.set_start_method("spawn", force=True)  # as on macOS
    try:
        batches = list(streamed(mixed, None, workers=1).plain(torch.arange(4)))
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert [len(images) for images, _ in batches] == [4]
    assert list(here.glob("ran_*")) == []
