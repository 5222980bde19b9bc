"""Augmentation of batches as tensors, wherever the batch lies.

All random numbers of a batch are drawn first, on the CPU and for the whole batch, whatever part of it a process
trains on: one process, several, and one that was stopped and goes on make the same images.
"""

from __future__ import annotations

import math
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import torch
from pydantic import AfterValidator, BeforeValidator, Field
from torch import Tensor
from torch.nn import functional

from scalenet.arch.records import Record, as_tuple
from scalenet.arch.shipped import load_shipped, shipped_files
from scalenet.training.changes import CHANGES, SIGNED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalenet.training.decoding import Box
    from scalenet.training.recipe import Augmentation

Draws: TypeAlias = dict[str, Tensor]
"""Uniform random numbers of a batch by what they are for, each [N, …]."""


_CACHED = 2**18
"""The values changed at a time on a CPU, so that what is made of them as floats stays in a core's cache."""


def _known(change: str) -> str:
    if change not in CHANGES:
        raise ValueError(f"expected one of {', '.join(CHANGES)}")
    return change


class Step(Record):
    """One change, made with a probability at a level from 0 to 10."""

    change: Annotated[str, AfterValidator(_known)]
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    level: Annotated[float, Field(ge=0, le=10)]


Steps: TypeAlias = Annotated[tuple[Step, ...], BeforeValidator(as_tuple), Field(min_length=1)]


class Policy(Record):
    """For each of `places` one of the choices is drawn, and its steps are taken in their order."""

    schema_: Literal["scalenet-policy/1"] = Field(alias="schema")
    places: Annotated[int, Field(ge=1)] = 1
    choices: Annotated[tuple[Steps, ...], BeforeValidator(as_tuple), Field(min_length=1)]

    @property
    def longest(self) -> int:
        """The number of steps of the longest choice."""
        return max(map(len, self.choices))


@cache
def load_policy(name: str) -> Policy:
    """Return a shipped policy."""
    files = shipped_files(resources.files("scalenet.training") / "policies")
    return load_shipped(Policy, name, files, kind="policy")


def draw(augmentation: Augmentation, count: int, generator: torch.Generator) -> Draws:
    """Draw the numbers that the augmentation of `count` images needs."""
    draws = {}
    if augmentation.flip:
        draws["flip"] = torch.rand(count, generator=generator)
    if augmentation.shift:
        draws["shift"] = torch.rand(count, 2, generator=generator)
    if augmentation.area is not None:
        draws["crop"] = torch.rand(count, 4, generator=generator)
    if augmentation.policy is not None:
        policy = load_policy(augmentation.policy)
        # For each place which choice, and for each of its steps whether, and which way.
        draws["policy"] = torch.rand(count, policy.places, 1 + 2 * policy.longest, generator=generator)
    return draws


def crop_box(numbers: Sequence[float], augmentation: Augmentation, *, aspect: float) -> Box:
    """Return a crop as top, left, height and width, shares of an image whose width by height is `aspect`.

    Plain numbers: worker processes work it out for one image after the other.
    """
    assert augmentation.area is not None
    (low, high), (narrow, wide) = augmentation.area, augmentation.aspect
    area = low + numbers[0] * (high - low)
    shape = narrow * (wide / narrow) ** numbers[1] / aspect
    height, width = min(1.0, math.sqrt(area / shape)), min(1.0, math.sqrt(area * shape))
    return (1.0 - height) * numbers[2], (1.0 - width) * numbers[3], height, width


def crop(images: Tensor, boxes: Sequence[Box], size: tuple[int, int]) -> Tensor:
    """Return crops of images [N, 3, H, W] (boxes as of `crop_box`), sampled bilinearly to `size`, as floats."""
    top, left, height, width = torch.tensor(boxes, device=images.device).unbind(1)
    matrices = torch.zeros(len(images), 2, 3, device=images.device)
    matrices[:, 0, 0], matrices[:, 0, 2] = width, 2 * left + width - 1
    matrices[:, 1, 1], matrices[:, 1, 2] = height, 2 * top + height - 1
    grid = functional.affine_grid(matrices, [len(images), 3, *size], align_corners=False)
    return functional.grid_sample(images.to(torch.float32), grid, padding_mode="border", align_corners=False)


def follow_policy(images: Tensor, policy: Policy, draws: Tensor) -> Tensor:
    """Return images [N, 3, H, W] of values from 0 to 255, changed as a policy says, as uint8; `draws` as of `draw`."""
    images = images.round().to(torch.uint8) if images.is_floating_point() else images.clone()
    images = images.contiguous()  # changes of colour go through one channel after the other
    chosen = (draws[:, :, 0] * len(policy.choices)).long()
    for place in range(policy.places):
        for number in range(policy.longest):
            whether, way = draws[:, place, 1 + 2 * number], draws[:, place, 2 + 2 * number]
            _take(images, _steps_at(policy, number, chosen[:, place], whether), way)
    return images


def _steps_at(policy: Policy, number: int, chosen: Tensor, whether: Tensor) -> list[Step | None]:
    """Return the step that each image takes, or None."""
    steps = [choice[number] if number < len(choice) else None for choice in policy.choices]
    taken = [steps[choice] for choice in chosen.tolist()]
    return [
        step if step is not None and draw < step.probability else None
        for step, draw in zip(taken, whether.tolist(), strict=True)
    ]


def _take(images: Tensor, steps: list[Step | None], way: Tensor) -> None:
    """Make each kind of change on all images that take it, in place."""
    for name in sorted({step.change for step in steps if step is not None}):
        taken = {place: step.level for place, step in enumerate(steps) if step is not None and step.change == name}
        places, levels = torch.tensor(list(taken)), torch.tensor(list(taken.values()), dtype=torch.float64)
        if name in SIGNED:
            levels = torch.where(way[places] < 0.5, levels, -levels)
        index, levels, few = places.to(images.device), levels.to(images.device), _at_once(images)
        for some, theirs in zip(torch.split(index, few), torch.split(levels, few), strict=True):
            _put(images, some, CHANGES[name](images.index_select(0, some), theirs))


def _at_once(images: Tensor) -> int:
    """Return how many images are changed at a time: on a CPU, what stays in its cache."""
    return max(1, _CACHED // images[0].numel()) if images.device.type == "cpu" else len(images)


def _put(images: Tensor, index: Tensor, changed: Tensor) -> None:
    """Put images in their places; on a CPU one by one, since an index moves bytes one by one."""
    if images.device.type != "cpu":
        images.index_copy_(0, index, changed)
        return
    for place, image in zip(index.tolist(), changed, strict=True):
        images[place] = image


def flip_and_shift(images: Tensor, augmentation: Augmentation, draws: Draws) -> Tensor:
    """Return normalised images [N, 3, H, W] flipped from side to side and shifted.

    Shifts are drawn as shares of the side, so that images of any resolution are shifted alike; what comes in is black
    after normalisation, that is the mean colour.
    """
    if "flip" in draws:
        flipped = (draws["flip"] < 0.5).to(images.device)[:, None, None, None]
        images = torch.where(flipped, images.flip(3), images)
    if "shift" in draws:
        images = _shifted(images, draws["shift"].to(images.device), augmentation.shift)
    return images


def _shifted(images: Tensor, shares: Tensor, largest: float) -> Tensor:
    """Shift images by shares ([N, 2] for rows and columns, 0 to 1) of the range that `largest` allows."""
    height, width = images.shape[2:]
    rows, columns = round(largest * height), round(largest * width)
    padded = functional.pad(images, (columns, columns, rows, rows)).permute(0, 2, 3, 1)
    device = images.device
    top = (shares[:, 0] * (2 * rows + 1)).long()[:, None] + torch.arange(height, device=device)
    left = (shares[:, 1] * (2 * columns + 1)).long()[:, None] + torch.arange(width, device=device)
    everyone = torch.arange(len(images), device=device)
    return padded[everyone[:, None, None], top[:, :, None], left[:, None, :]].permute(0, 3, 1, 2)
