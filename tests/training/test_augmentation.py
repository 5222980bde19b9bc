"""Augmentation: published policies, changes as Pillow makes them, and crops that are where they are said to be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from scalenet.training.augmentation import crop, crop_box, draw, follow_policy, load_policy
from scalenet.training.changes import CHANGES
from scalenet.training.recipe import Augmentation


def picture(side: int = 24, *, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (side // 4, side // 4, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((side, side), Image.Resampling.BILINEAR)


def tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]


def levels(level: float, count: int = 1) -> Tensor:
    return torch.full((count,), level, dtype=torch.float64)


PILLOW = {
    "autocontrast": lambda image, _: ImageOps.autocontrast(image),
    "equalize": lambda image, _: ImageOps.equalize(image),
    "invert": lambda image, _: ImageOps.invert(image),
    "posterize": lambda image, level: ImageOps.posterize(image, 8 - int(level * 4 / 10)),
    "solarize": lambda image, level: ImageOps.solarize(image, int(level / 10 * 256)),
    "color": lambda image, level: ImageEnhance.Color(image).enhance(level / 10 * 1.8 + 0.1),
    "brightness": lambda image, level: ImageEnhance.Brightness(image).enhance(level / 10 * 1.8 + 0.1),
    "contrast": lambda image, level: ImageEnhance.Contrast(image).enhance(level / 10 * 1.8 + 0.1),
    "sharpness": lambda image, level: ImageEnhance.Sharpness(image).enhance(level / 10 * 1.8 + 0.1),
}


SIDES = st.integers(1, 12)
"""Of one and two pixels too, whose border is all there is."""


@st.composite
def pictures(draw: st.DrawFn) -> Image.Image:
    """Images of any contrast, one of a flat colour too: some values often, any value sometimes."""
    shape = draw(SIDES), draw(SIDES), 3
    palette = draw(st.lists(st.integers(0, 255), min_size=1, max_size=4))
    return Image.fromarray(draw(arrays(np.uint8, shape, elements=st.sampled_from(palette) | st.integers(0, 255))))


@pytest.mark.parametrize("name", PILLOW)
@settings(max_examples=60, deadline=None)
@given(image=pictures(), level=st.integers(0, 10) | st.floats(0, 10))
def test_changes_of_colour_are_pillows_to_the_bit(name: str, image: Image.Image, level: float) -> None:
    ours = CHANGES[name](tensor(image), levels(level))
    assert torch.equal(ours, tensor(PILLOW[name](image, level)))


@pytest.mark.parametrize("name", PILLOW)
def test_changes_of_colour_are_pillows_on_pictures_of_many_pixels(name: str) -> None:
    images = [picture(seed=seed, side=64) for seed in range(4)]
    ours = CHANGES[name](torch.cat([tensor(image) for image in images]), levels(7.0, count=4))
    assert torch.equal(ours, torch.cat([tensor(PILLOW[name](image, 7.0)) for image in images]))


@pytest.mark.parametrize(("name", "axis"), [("translate_x", 3), ("translate_y", 2)])
def test_shifts_are_shares_of_the_side_and_bring_in_grey(name: str, axis: int) -> None:
    images = torch.full((1, 3, 20, 20), 200, dtype=torch.uint8)
    moved = CHANGES[name](images, levels(10))
    grey = (moved == 128).all(1).float().mean().item()
    assert grey == pytest.approx(0.45, abs=0.06)
    assert moved.unique(dim=axis).shape[axis] > 1


def test_rotation_turns_by_thirty_degrees_at_level_ten() -> None:
    images = torch.zeros(1, 3, 101, 101, dtype=torch.uint8)
    images[:, :, 50, 90] = 255  # 40 px to the right of the centre
    turned = CHANGES["rotate"](images, levels(10))[0, 0]
    row, column = np.unravel_index(int(turned[10:91, 10:91].argmax()), (81, 81))
    assert abs(abs(row - 40) - 20) <= 1
    assert abs(column - 40 - 34.6) <= 1.5


def test_published_policies_are_read_whole() -> None:
    policy = load_policy("autoaugment")
    assert (policy.places, len(policy.choices), policy.longest) == (1, 25, 2)
    assert [step.change for step in policy.choices[15]] == ["rotate", "translate_y"]
    assert (load_policy("randaugment").places, len(load_policy("randaugment").choices)) == (2, 14)


@pytest.mark.parametrize("policy", ["autoaugment", "randaugment"])
def test_a_policy_changes_images_one_by_one_by_its_draws(policy: str) -> None:
    images = tensor(picture()).expand(64, -1, -1, -1)
    numbers = draw(Augmentation(policy=policy), 64, torch.Generator().manual_seed(0))["policy"]
    whole = follow_policy(images, load_policy(policy), numbers)
    halves = [follow_policy(images[part], load_policy(policy), numbers[part]) for part in (slice(32), slice(32, None))]
    assert torch.equal(whole, torch.cat(halves))
    assert torch.equal(images, tensor(picture()).expand(64, -1, -1, -1)), "what is given stays"
    assert torch.equal(whole, follow_policy(images + 0.4, load_policy(policy), numbers)), "crops are rounded"
    assert len(whole.unique(dim=0)) > 20


def test_crops_keep_to_area_and_aspect() -> None:
    augmentation = Augmentation(area=(0.2, 0.8), aspect=(0.5, 2.0))
    draws = draw(augmentation, 2000, torch.Generator().manual_seed(0))["crop"]
    boxes = [crop_box(numbers, augmentation, aspect=1.5) for numbers in draws.tolist()]
    top, left, height, width = torch.tensor(boxes).unbind(1)
    assert (top.min() >= 0) & (left.min() >= 0)
    assert ((top + height).max() <= 1.0001) & ((left + width).max() <= 1.0001)
    inner = (height < 1) & (width < 1)
    assert ((height * width)[inner] >= 0.199).all()
    assert ((height * width) <= 0.801).all()
    assert (1.5 * width / height)[inner].min() >= 0.499
    assert (1.5 * width / height)[inner].max() <= 2.001


def test_a_crop_shows_its_part_of_the_image() -> None:
    images = torch.arange(16.0).view(1, 1, 4, 4).expand(1, 3, 4, 4)
    part = crop(images, [(0.5, 0.0, 0.5, 0.5)], (2, 2))
    assert part[0, 0].tolist() == [[8.0, 9.0], [12.0, 13.0]]
