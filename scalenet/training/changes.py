"""Changes of colour and shape that augmentation policies are made of, on batches of images as tensors.

Each takes images [N, 3, H, W], uint8, and levels [N] from 0 to 10, float64, and returns such images. Changes of colour
are Pillow's to the bit: what looks at a pixel's value alone is a table of 256 entries. Levels mean what they mean in
the official EfficientNet code (tensorflow/tpu, `autoaugment.py`) but for two: images are shifted by a share of their
side (0.45 at level 10, as the AutoAugment paper's 150 px of 331), where the code has 250 px for every size, and
`posterize` keeps 8 to 4 bits as in the paper, where the code goes down to none.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

GREY = 128.0
"""What comes in from outside an image."""

_LUMA = (19595 / 2**16, 38470 / 2**16, 7471 / 2**16)
_TOP = 10.0


def warp(images: Tensor, matrices: Tensor) -> Tensor:
    """Sample images where matrices [N, 2, 3] point, in coordinates from -1 to 1 (x, then y); outside is grey."""
    height, width = images.shape[2:]
    pixels = _pixels(height, width, images.device).expand(len(images), -1, -1)
    grid = pixels.bmm(matrices.transpose(1, 2)).view(len(images), height, width, 2)
    sampled = functional.grid_sample(images - GREY, grid, align_corners=False)
    return sampled.add_(GREY + 0.5).to(torch.uint8)


@lru_cache(maxsize=4)
def _pixels(height: int, width: int, device: torch.device) -> Tensor:
    """Return where pixels are, and a 1 for each, [1, H · W, 3]: what `affine_grid` makes anew whenever it is called."""
    places = functional.affine_grid(_matrices(1, device), [1, 3, height, width], align_corners=False).view(1, -1, 2)
    return torch.cat((places, torch.ones_like(places[:, :, :1])), dim=2)


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


def _looked_up(images: Tensor, tables: Tensor) -> Tensor:
    """Replace each value by its entry of a table: tables [N, 3, 256], or [N, 1, 256] for all channels alike."""
    entries = tables.clamp(0, 255).to(torch.uint8).expand(-1, images.shape[1], -1)
    if images.device.type != "cpu":
        return entries.gather(2, images.flatten(2).long()).view(images.shape)
    # torch's indices have eight bytes for each one that is looked up.
    pairs = zip(images.flatten(2).flatten(0, 1).numpy(), entries.flatten(0, 1).numpy(), strict=True)
    found = bytearray().join(values.tobytes().translate(table.tobytes()) for values, table in pairs)
    return torch.frombuffer(found, dtype=torch.uint8).view(images.shape)


def _values(levels: Tensor) -> Tensor:
    """Return the values that tables are made for, [1, 1, 256]."""
    return torch.arange(256.0, device=levels.device).view(1, 1, -1)


def _per_image(numbers: Tensor) -> Tensor:
    return numbers.view(-1, 1, 1)


def _factors(levels: Tensor) -> Tensor:
    """Return how far images are from others then: 0.1 of the way at level 0 (nearly the others), 1.9 at level 10."""
    return (levels / _TOP * 1.8 + 0.1).float()


def _blend(images: Tensor, others: Tensor, factors: Tensor) -> Tensor:
    """Move values away from others, in the order in which Pillow rounds."""
    return (images - others).mul_(factors).add_(others).clamp_(0, 255)


def _grey(images: Tensor) -> Tensor:
    """Return the luma of images as Pillow rounds it, whole numbers as floats [N, 1, H, W]."""
    red, green, blue = images.float().chunk(3, dim=1)
    return (red * _LUMA[0]).add_(green, alpha=_LUMA[1]).add_(blue, alpha=_LUMA[2]).add_(0.5).floor_()


def _color(images: Tensor, levels: Tensor) -> Tensor:
    factors = _factors(levels).view(-1, 1, 1, 1)
    return _blend(images.float(), _grey(images), factors).to(torch.uint8)


def _brightness(images: Tensor, levels: Tensor) -> Tensor:
    factors = _per_image(_factors(levels))
    return _looked_up(images, _blend(_values(levels), torch.zeros_like(factors), factors))


def _contrast(images: Tensor, levels: Tensor) -> Tensor:
    mean = _grey(images).mean((1, 2, 3), dtype=torch.float64).add_(0.5).floor_().float()
    return _looked_up(images, _blend(_values(levels), _per_image(mean), _per_image(_factors(levels))))


def _sharpness(images: Tensor, levels: Tensor) -> Tensor:
    values = images.float()
    rows = (values[:, :, :-2] + values[:, :, 1:-1]).add_(values[:, :, 2:])
    around = (rows[:, :, :, :-2] + rows[:, :, :, 1:-1]).add_(rows[:, :, :, 2:])
    centre = values[:, :, 1:-1, 1:-1]
    smooth = around.add_(centre, alpha=4).div_(13).add_(0.5).floor_()
    sharp = images.clone()  # the border stays
    sharp[:, :, 1:-1, 1:-1] = _blend(centre, smooth, _factors(levels).view(-1, 1, 1, 1))
    return sharp


def _posterize(images: Tensor, levels: Tensor) -> Tensor:
    steps = _per_image(2.0 ** (levels * 4 / _TOP).floor())
    return _looked_up(images, (_values(levels) / steps).floor() * steps)


def _solarize(images: Tensor, levels: Tensor) -> Tensor:
    threshold, values = _per_image((levels / _TOP * 256).floor()), _values(levels)
    return _looked_up(images, torch.where(values < threshold, values, 255 - values))


def _solarize_add(images: Tensor, levels: Tensor) -> Tensor:
    added, values = _per_image((levels / _TOP * 110).floor()), _values(levels)
    return _looked_up(images, torch.where(values < GREY, values + added, values))


def _invert(images: Tensor, levels: Tensor) -> Tensor:  # noqa: ARG001 - as the others
    return 255 - images


def _autocontrast(images: Tensor, levels: Tensor) -> Tensor:
    rows = images.flatten(2)
    low, high = (limit.double() for limit in (rows.amin(2, keepdim=True), rows.amax(2, keepdim=True)))
    factor, values = torch.full_like(low, 255) / (high - low), _values(levels)  # 255 / … would multiply by 1 / …
    return _looked_up(images, torch.where(high > low, values * factor - low * factor, values))


def _equalize(images: Tensor, levels: Tensor) -> Tensor:
    """Spread each channel's values evenly, as Pillow's `ImageOps.equalize`."""
    counts = _histograms(images)
    last = counts.gather(2, images.flatten(2).amax(2, keepdim=True).long())
    step = (counts.sum(2, keepdim=True) - last) // 255
    before = counts.cumsum(2) - counts
    spread = (before + step // 2) // step.clamp_min(1)
    return _looked_up(images, torch.where(step > 0, spread, _values(levels).long()))


def _histograms(images: Tensor) -> Tensor:
    """Return how often each value stands in each channel, int64 [N, 3, 256]."""
    rows = images.flatten(2).flatten(0, 1)
    if images.device.type == "cpu":  # where counting bytes is many times faster than counting what is made of them
        counts = torch.stack([torch.bincount(row, minlength=256) for row in rows])
    else:
        starts = 256 * torch.arange(len(rows), device=images.device)
        counts = torch.bincount((rows + starts[:, None]).flatten(), minlength=256 * len(rows))
    return counts.view(*images.shape[:2], 256)


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
