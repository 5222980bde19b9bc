"""Folders of images: every kind of file, splits by seed, and clear refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from scalenet.training.data import Splits, embedded_splits, read, resample
from scalenet.training.decoding import DataError
from scalenet.training.selection import select
from scalenet.training.sources import find_source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def folder_splits(
    directory: Path,
    *,
    size: int,
    seed: int,
    limit: int | None = None,
    validation_fraction: float = 0.1,
    memory: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Splits:
    selection = select(find_source(directory), seed=seed, limit=limit, fraction=validation_fraction)
    return read(selection, size=size, memory=memory, progress=progress)


def write(path: Path, colour: tuple[int, int, int] = (200, 30, 30), size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def fill(root: Path, classes: dict[str, int]) -> Path:
    """Write as many small images of different colours as each class asks for."""
    for index, (name, count) in enumerate(classes.items()):
        for number in range(count):
            write(root / name / f"{number:03d}.png", (10 * number % 256, 80 * index, 50), (12, 12))
    return root


def colour_of(images: torch.Tensor) -> list[int]:
    return [round(value) for value in images.float().mean(dim=(0, 2, 3)).tolist()]


def test_embedded_splits_are_disjoint_repeatable_and_keep_their_held_out_images() -> None:
    one = embedded_splits(train=32, validation=16, size=16, seed=0)
    again = embedded_splits(train=32, validation=16, size=16, seed=0)
    larger = embedded_splits(train=48, validation=16, size=16, seed=0)
    assert one.digest == again.digest != larger.digest
    assert one.digest.startswith("sha256:")
    assert torch.equal(one.validation.images, larger.validation.images)
    assert not torch.equal(one.train.images[:16], one.validation.images)
    assert len(one.train) == 32
    assert len(one.classes) == 16


def test_train_and_val_folders_are_taken_as_they_are(tmp_path: Path) -> None:
    fill(tmp_path / "train", {"b": 3, "a": 2})
    fill(tmp_path / "val", {"b": 1, "a": 2})
    splits = folder_splits(tmp_path, size=8, seed=0)
    assert splits.classes == ("a", "b")
    assert splits.train.labels.tolist() == [0, 0, 1, 1, 1]
    assert splits.validation.labels.tolist() == [0, 0, 1]
    assert splits.train.images.shape == (5, 3, 8, 8)
    assert splits.train.images.dtype == torch.uint8
    assert splits.skipped == ()


@pytest.mark.parametrize("below", ["", "train"])
def test_held_out_images_are_drawn_by_seed_in_every_class(tmp_path: Path, below: str) -> None:
    fill(tmp_path / below, {"a": 20, "b": 10})
    first, second, other = (folder_splits(tmp_path, size=8, seed=seed, validation_fraction=0.2) for seed in (0, 0, 1))
    assert torch.bincount(first.validation.labels).tolist() == [4, 2]
    assert torch.bincount(first.train.labels).tolist() == [16, 8]
    assert first.digest == second.digest != other.digest
    seen = torch.cat([first.train.images, first.validation.images])[:, 0, 0, 0]
    assert len(set(seen.tolist())) == 20


def test_digest_does_not_depend_on_the_place(tmp_path: Path) -> None:
    one = folder_splits(fill(tmp_path / "one", {"a": 4, "b": 4}), size=8, seed=0)
    two = folder_splits(fill(tmp_path / "two", {"a": 4, "b": 4}), size=8, seed=0)
    assert one.digest == two.digest
    assert (one.name, two.name) == ("one", "two")


def test_limit_takes_a_stratified_subset(tmp_path: Path) -> None:
    fill(tmp_path / "train", {"a": 30, "b": 10, "c": 1})
    fill(tmp_path / "test", {"a": 2, "b": 2, "c": 2})
    splits = folder_splits(tmp_path, size=8, seed=0, limit=21)
    assert torch.bincount(splits.train.labels).tolist() == [15, 5, 1]
    assert len(splits.validation) == 6
    assert len(folder_splits(tmp_path, size=8, seed=0, limit=99).train) == 41
    with pytest.raises(DataError, match="--images 3 or more"):
        folder_splits(tmp_path, size=8, seed=0, limit=2)


def test_every_mode_of_image_becomes_rgb(tmp_path: Path) -> None:
    grey = Image.new("L", (20, 20), 100)
    fill(tmp_path, {"z": 2})
    folder = tmp_path / "a"
    folder.mkdir()
    grey.save(folder / "0.jpg")
    grey.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE).save(folder / "1.png")
    grey.convert("RGB").convert("CMYK").save(folder / "2.jpg")
    grey.convert("RGBA").save(folder / "3.png")
    Image.fromarray(np.full((20, 20), 100 << 8, dtype=np.uint16)).save(folder / "4.png")
    grey.convert("P").save(folder / "5.gif", transparency=3)
    splits = folder_splits(tmp_path, size=8, seed=0)
    assert splits.skipped == ()
    for part in (splits.train, splits.validation):
        pixels = part.images[part.labels == 0].float()
        assert (pixels - 100).abs().max() <= 3


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    fill(tmp_path, {"z": 2})
    picture = Image.new("RGB", (16, 16), (0, 0, 0))
    picture.paste((255, 255, 255), (0, 0, 16, 8))  # white above
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    for name in ("0.png", "1.png"):
        (tmp_path / "a").mkdir(exist_ok=True)
        picture.save(tmp_path / "a" / name, exif=exif)
    image = folder_splits(tmp_path, size=16, seed=0).train.images[0].float()
    assert image[:, :8].mean() == 0
    assert image[:, 8:].mean() == 255


def test_the_central_square_of_the_short_side_is_kept(tmp_path: Path) -> None:
    fill(tmp_path, {"z": 2})
    for name in ("0.jpg", "1.jpg"):
        picture = Image.new("RGB", (300, 100), (255, 0, 0))
        picture.paste((0, 0, 255), (100, 0, 200, 100))
        (tmp_path / "a").mkdir(exist_ok=True)
        picture.save(tmp_path / "a" / name, quality=95)
    image = folder_splits(tmp_path, size=10, seed=0).train.images[0]
    assert image.shape == (3, 10, 10)
    red, _, blue = colour_of(image[None, :, :, 1:-1])
    assert red < 10
    assert blue > 240


def test_broken_files_are_named_and_left_out(tmp_path: Path) -> None:
    fill(tmp_path / "train", {"a": 3, "b": 3})
    fill(tmp_path / "val", {"a": 1, "b": 1})
    (tmp_path / "train" / "a" / "broken.jpg").write_bytes(b"no image")
    whole = (tmp_path / "train" / "b" / "000.png").read_bytes()
    (tmp_path / "train" / "b" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "train" / "b" / "notes.txt").write_text("not an image, and not meant to be one")
    splits = folder_splits(tmp_path, size=8, seed=0)
    assert splits.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert [line.split(":")[0] for line in splits.skipped] == ["train/a/broken.jpg", "train/b/cut.png"]
    assert str(tmp_path) not in "".join(splits.skipped)


def test_a_class_that_broken_files_empty_is_an_error(tmp_path: Path) -> None:
    fill(tmp_path / "train", {"a": 3, "b": 1})
    fill(tmp_path / "val", {"a": 1, "b": 1})
    (tmp_path / "train" / "b" / "000.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="no training image of b can be decoded"):
        folder_splits(tmp_path, size=8, seed=0)


def test_progress_counts_up_to_all_files(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    fill(tmp_path, {"a": 3, "b": 2})
    folder_splits(tmp_path, size=8, seed=0, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 5) for done in range(1, 6)]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({}, "no class folders"),
        ({"a": 3}, r"only one class \(a\)"),
        ({"a": 3, "b": 0}, "no images"),
        ({"a": 3, "b": 1}, "class b has one image only"),
    ],
)
def test_folders_that_are_no_classes_are_refused(tmp_path: Path, classes: dict[str, int], message: str) -> None:
    for name in classes:
        (tmp_path / name).mkdir()
    fill(tmp_path, classes)
    with pytest.raises(DataError, match=message):
        folder_splits(tmp_path, size=8, seed=0)


def test_a_missing_directory_and_bad_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such directory"):
        folder_splits(tmp_path / "nowhere", size=8, seed=0)
    fill(tmp_path, {"a": 3, "b": 3})
    with pytest.raises(DataError, match="between 0 and 1"):
        folder_splits(tmp_path, size=8, seed=0, validation_fraction=1.0)
    with pytest.raises(DataError, match="1 px or more"):
        folder_splits(tmp_path, size=0, seed=0)


def test_classes_that_differ_between_the_splits_are_named(tmp_path: Path) -> None:
    fill(tmp_path / "train", {"a": 2, "b": 2, "c": 2})
    fill(tmp_path / "valid", {"a": 2, "b": 2})
    with pytest.raises(DataError, match=r"the held-out images lack the classes c;"):
        folder_splits(tmp_path, size=8, seed=0)


def test_a_set_too_large_for_the_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    fill(tmp_path, {"a": 3, "b": 3})
    with pytest.raises(DataError, match="take fewer with --images"):
        folder_splits(tmp_path, size=64, seed=0, memory=100_000)


def test_the_copies_of_workers_count(tmp_path: Path) -> None:
    selection = select(find_source(fill(tmp_path, {"a": 5, "b": 5})), seed=0)
    pixels = 10 * 3 * 8 * 8
    assert len(read(selection, size=8, copies=3, memory=3 * pixels).train) == 8
    with pytest.raises(DataError, match="10 images of 8 px, held 4 times"):
        read(selection, size=8, copies=4, memory=3 * pixels)


def test_resampling_is_antialiased_and_keeps_what_has_the_size() -> None:
    stripes = torch.zeros(3, 3, 32, 32, dtype=torch.uint8)
    stripes[..., ::2] = 200
    small = resample(stripes, 8, 8)
    assert small.dtype == torch.uint8
    assert small.shape == (3, 3, 8, 8)
    assert (small[..., 1:-1].float() - 100).abs().max() < 10
    assert resample(stripes, 24, 48).shape == (3, 3, 24, 48)
    assert resample(stripes, 32, 32) is stripes
