"""The embedded task: deterministic, balanced, and the same scenes at every size."""

from __future__ import annotations

import numpy as np
import pytest

from scalenet.training.embedded import CLASS_NAMES, EmbeddedTaskError, render


def test_same_seed_gives_same_images_and_another_seed_others() -> None:
    first, first_labels = render(20, size=16, seed=3)
    second, second_labels = render(20, size=16, seed=3)
    other, other_labels = render(20, size=16, seed=4)
    assert np.array_equal(first, second)
    assert np.array_equal(first_labels, second_labels)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first_labels, other_labels)


def test_first_images_do_not_depend_on_how_many_follow() -> None:
    few, few_labels = render(7, size=16, seed=0)
    many, many_labels = render(130, size=16, seed=0)
    assert np.array_equal(few, many[:7])
    assert np.array_equal(few_labels, many_labels[:7])


def test_images_and_labels_have_the_promised_form() -> None:
    images, labels = render(5, size=24, seed=1)
    assert images.shape == (5, 3, 24, 24)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert images.std(axis=(1, 2, 3)).min() > 5


def test_classes_are_balanced_within_every_sixteen_images() -> None:
    _, labels = render(64, size=8, seed=2)
    for start in range(0, 64, 16):
        assert sorted(labels[start : start + 16]) == list(range(len(CLASS_NAMES)))


def test_scenes_do_not_depend_on_the_size() -> None:
    small, small_labels = render(32, size=24, seed=5)
    large, large_labels = render(32, size=48, seed=5)
    assert np.array_equal(small_labels, large_labels)
    halved = large.reshape(32, 3, 24, 2, 24, 2).mean(axis=(3, 5))
    # What is left is the grain of the two, which is drawn pixel by pixel.
    assert np.abs(halved - small).mean() < 12


def test_class_names_tell_outline_and_direction() -> None:
    assert len(set(CLASS_NAMES)) == 16
    assert CLASS_NAMES[0] == "disc-000"
    assert CLASS_NAMES[-1] == "cross-135"


@pytest.mark.parametrize(
    ("count", "size", "seed", "message"),
    [(0, 16, 0, "ask for 1 or more"), (1, 7, 0, "8 px or more"), (1, 16, -1, "seed -1 is negative")],
)
def test_impossible_requests_are_refused(count: int, size: int, seed: int, message: str) -> None:
    with pytest.raises(EmbeddedTaskError, match=message):
        render(count, size=size, seed=seed)
