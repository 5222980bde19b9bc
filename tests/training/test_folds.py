"""Folds: every image is held out once, each fold has its share of every class, and what cannot be is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from noisy_images import write_images

from scalenet.training.data import ImageSet, Splits, read
from scalenet.training.decoding import DataError, File
from scalenet.training.folds import first_fold, fold_of
from scalenet.training.sources import Source, find_source

SIZES = st.lists(st.integers(6, 40), min_size=2, max_size=5)


def listed(sizes: list[int]) -> Source:
    files = {f"c{label}": [File(Path(f"c{label}/{at}.png")) for at in range(size)] for label, size in enumerate(sizes)}
    return Source(Path("photos"), files, None)


def numbered(source: Source, *, folds: int, seed: int, limit: int | None = None) -> Splits:
    """Return the first fold's splits of images whose pixels are their number among all."""
    selection = first_fold(source, folds=folds, seed=seed, limit=limit)
    numbers = {file.path: place for place, file in enumerate(file for own in source.train.values() for file in own)}
    parts = []
    for part in (selection.train, selection.validation):
        labels = [label for label, own in enumerate(part.values()) for _ in own]
        pixels = torch.tensor([numbers[file.path] for own in part.values() for file in own]).reshape(-1, 1, 1, 1)
        parts.append(ImageSet(pixels, torch.tensor(labels)))
    return Splits(parts[0], parts[1], source.classes, "photos", "sha256:0", drawn=selection.drawn)


def numbers(images: ImageSet) -> list[int]:
    return images.images.flatten().tolist()


@given(sizes=SIZES, folds=st.integers(2, 6), seed=st.integers(0, 99))
def test_every_image_is_held_out_once_and_every_fold_has_its_share_of_each_class(sizes, folds, seed):
    splits = numbered(listed(sizes), folds=folds, seed=seed)
    found = [fold_of(splits, number, folds=folds, seed=seed) for number in range(folds)]
    assert sorted(image for one in found for image in numbers(one.validation)) == list(range(sum(sizes)))
    for one in found:
        assert sorted(numbers(one.train) + numbers(one.validation)) == list(range(sum(sizes)))
        counts = Counter(one.validation.labels.tolist())
        assert all(size // folds <= counts[label] <= -(-size // folds) for label, size in enumerate(sizes))
    assert max(len(one.validation) for one in found) - min(len(one.validation) for one in found) <= 1


@given(sizes=SIZES, folds=st.integers(2, 6), seed=st.integers(0, 99))
def test_labels_stay_with_their_images(sizes, folds, seed):
    label_of = [label for label, size in enumerate(sizes) for _ in range(size)]
    last = fold_of(numbered(listed(sizes), folds=folds, seed=seed), folds - 1, folds=folds, seed=seed)
    for part in (last.train, last.validation):
        assert part.labels.tolist() == [label_of[number] for number in numbers(part)]


def test_folds_are_drawn_by_the_seed():
    drawn = [
        [numbers(fold_of(splits, 2, folds=4, seed=seed).validation)]
        for seed in (0, 0, 1)
        for splits in [numbered(listed([20, 30]), folds=4, seed=seed)]
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_a_limit_is_what_is_trained_on():
    splits = numbered(listed([60, 60]), folds=4, seed=0, limit=60)
    assert (len(splits.train), len(splits.validation), splits.drawn) == (60, 20, 0.25)


def test_a_class_with_fewer_images_than_folds_is_refused_by_its_name():
    with pytest.raises(DataError, match="photos: 3 images of class c1 are too few for 4 folds"):
        first_fold(listed([9, 3]), folds=4, seed=0)


def test_data_with_held_out_images_of_their_own_are_refused_with_the_folder_to_give(tmp_path):
    write_images(tmp_path / "train", {"dark": 90, "light": 160}, 8, size=8)
    write_images(tmp_path / "val", {"dark": 90, "light": 160}, 4, size=8)
    with pytest.raises(DataError, match="has held-out images of its own") as caught:
        first_fold(find_source(tmp_path), folds=2, seed=0)
    assert caught.value.hint is not None
    assert caught.value.hint.endswith(f"--data {tmp_path / 'train'}")


def test_pixels_of_files_are_those_of_their_fold(tmp_path):
    write_images(tmp_path, {"dark": 20, "light": 220}, 6, size=8)
    splits = read(first_fold(find_source(tmp_path), folds=3, seed=0), size=8)
    for number in range(3):
        one = fold_of(splits, number, folds=3, seed=0)
        for part in (one.train, one.validation):
            assert ((part.images.float().mean(dim=(1, 2, 3)) > 120) == (part.labels == 1)).all()
