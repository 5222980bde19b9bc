"""Changes of colour and shape that augmentation policies are made of, on batches of images as tensors.

Each takes float images [N, 3, H, W] from 0 to 255 and levels [N] from 0 to 10, and returns images of the same range.
Levels mean what they mean in the official EfficientNet code (tensorflow/tpu, `autoaugment.py`) but for two: images are
shifted by a share of their side (0.45 at level 10, as the AutoAugment paper's 150 px of 331), where the code has 250 px
for every size, and `posterize` keeps 8 to 4 bits as in the paper, where the code goes down to none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

GREY = 128.0
"""What comes in from outside an image."""

_LUMA = (0.299, 0.587, 0.114)
_TOP = 10.0


def warp(images: Tensor, matrices: Tensor) -> Tensor:
    """Sample images where matrices [N, 2, 3] point, in coordinates from -1 to 1 (x, then y); outside is grey."""
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    return functional.grid_sample(images - GREY, grid, align_corners=False) + GREY


def _matrices(count: int, device: torch.device) -> Tensor:
    return torch.eye(2, 3, device=device).repeat(count, 1, 1)


def _shear(images: Tensor, levels: Tensor, *, axis: int) -> Tensor:
    matrices = _matrices(len(images), images.device)
    matrices[:, axis, 1 - axis] = levels / _TOP * 0.3
    return warp(images, matrices)


def _translate(images: Tensor, levels: Tensor, *, axis: int) -> Tensor:
    matrices = _matrices(len(images), images.device)
    matrices[:, axis, 2] = 2 * levels / _TOP * 0.45
    return warp(images, matrices)


def _rotate(images: Tensor, levels: Tensor) -> Tensor:
    angles = torch.deg2rad(levels / _TOP * 30.0)
    ratio = images.shape[2] / images.shape[3]
    matrices = _matrices(len(images), images.device)
    matrices[:, 0, 0], matrices[:, 1, 1] = angles.cos(), angles.cos()
    matrices[:, 0, 1], matrices[:, 1, 0] = -angles.sin() * ratio, angles.sin() / ratio
    return warp(images, matrices)


def _blend(images: Tensor, others: Tensor, levels: Tensor) -> Tensor:
    """Move images away from others: by 0.1 of the way at level 0 (nearly the others), by 1.9 at level 10."""
    factors = (levels / _TOP * 1.8 + 0.1)[:, None, None, None]
    return (others + factors * (images - others)).clamp(0, 255)


def _grey(images: Tensor) -> Tensor:
    weights = torch.tensor(_LUMA, device=images.device)[:, None, None]
    return (images * weights).sum(1, keepdim=True)


def _color(images: Tensor, levels: Tensor) -> Tensor:
    return _blend(images, _grey(images), levels)


def _brightness(images: Tensor, levels: Tensor) -> Tensor:
    return _blend(images, torch.zeros_like(images), levels)


def _contrast(images: Tensor, levels: Tensor) -> Tensor:
    return _blend(images, _grey(images).mean((2, 3), keepdim=True), levels)


def _sharpness(images: Tensor, levels: Tensor) -> Tensor:
    kernel = torch.ones(3, 1, 3, 3, device=images.device)
    kernel[:, :, 1, 1] = 5.0
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1] = functional.conv2d(images, kernel / 13.0, groups=3)  # the border stays
    return _blend(images, smooth, levels)


def _posterize(images: Tensor, levels: Tensor) -> Tensor:
    steps = 2.0 ** (levels * 4 / _TOP).floor()[:, None, None, None]
    return (images / steps).floor() * steps


def _solarize(images: Tensor, levels: Tensor) -> Tensor:
    threshold = (levels / _TOP * 256).floor()[:, None, None, None]
    return torch.where(images < threshold, images, 255 - images)


def _solarize_add(images: Tensor, levels: Tensor) -> Tensor:
    added = (levels / _TOP * 110).floor()[:, None, None, None]
    return torch.where(images < GREY, (images + added).clamp(0, 255), images)


def _invert(images: Tensor, levels: Tensor) -> Tensor:  # noqa: ARG001 - as the others
    return 255 - images


def _autocontrast(images: Tensor, levels: Tensor) -> Tensor:  # noqa: ARG001 - as the others
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) * (255 / (high - low).clamp_min(1e-6)), images)


def _equalize(images: Tensor, levels: Tensor) -> Tensor:  # noqa: ARG001 - as the others
    """Spread each channel's values evenly, as Pillow's `ImageOps.equalize`."""
    values = images.round().clamp(0, 255).long().flatten(0, 1).flatten(1)  # [3 N, H W]
    rows = torch.arange(len(values), device=images.device)[:, None]
    counts = torch.bincount((values + 256 * rows).flatten(), minlength=256 * len(values)).view(-1, 256)
    last = counts.gather(1, values.amax(1, keepdim=True))
    step = (counts.sum(1, keepdim=True) - last) // 255
    before = counts.cumsum(1) - counts
    table = ((before + step // 2) // step.clamp_min(1)).clamp(0, 255)
    spread = torch.where(step > 0, table.gather(1, values), values)
    return spread.view(images.shape).to(images.dtype)


def _identity(images: Tensor, levels: Tensor) -> Tensor:  # noqa: ARG001 - as the others
    return images


CHANGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "identity": _identity,
    "autocontrast": _autocontrast,
    "brightness": _brightness,
    "color": _color,
    "contrast": _contrast,
    "equalize": _equalize,
    "invert": _invert,
    "posterize": _posterize,
    "rotate": _rotate,
    "sharpness": _sharpness,
    "shear_x": lambda images, levels: _shear(images, levels, axis=0),
    "shear_y": lambda images, levels: _shear(images, levels, axis=1),
    "solarize": _solarize,
    "solarize_add": _solarize_add,
    "translate_x": lambda images, levels: _translate(images, levels, axis=0),
    "translate_y": lambda images, levels: _translate(images, levels, axis=1),
}

SIGNED = frozenset({"rotate", "shear_x", "shear_y", "translate_x", "translate_y"})
"""The changes that go either way: half of their levels are negative."""
