"""Rounding sets: what becomes of a multiplied depth, width or resolution, as named and versioned data.

A multiplier of exactly 1 leaves its dimension as it is, as the official code does. Noise of 1e-9 is rounded away before
anything else, everywhere alike: (2 ** 0.5) ** 2 is 2.0000000000000004, and `ceil` would make one layer too many of it.
Multipliers are floats, or NumPy arrays for many networks at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from scalenet.arch.errors import UnknownNameError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalenet.arch.layers import Count


@dataclass(frozen=True, slots=True)
class Rounding:
    """How a family rounds.

    Widths go to the nearest multiple of `divisor` (ties upward), at least `divisor`; one that loses more than
    1 - `guard` of its value goes to the next multiple instead. Depths are rounded up (`ceil`) or to the nearest (ties
    upward), at least 1. Resolutions go to the nearest multiple of `resolution_multiple`. `fixed` dimensions are not
    scaled at all; `head_at_least_base` keeps the head from getting narrower than the base's.
    """

    name: str
    source: str
    version: int = 1
    divisor: int = 8
    guard: float | None = 0.9
    depth: Literal["ceil", "nearest"] = "ceil"
    resolution_multiple: int = 1
    fixed: frozenset[Literal["stem", "head", "end_depths"]] = frozenset()
    head_at_least_base: bool = False

    def round_width(self, width: Count, factor: Count, groups: int = 1) -> Count:
        """Return `width` × `factor` channels, divisible by `groups` as well; no channels stay none."""
        divisor = lcm(self.divisor, groups)
        target = _denoised(width * factor)
        rounded = np.maximum(divisor, np.floor(target / divisor + 0.5) * divisor)
        if self.guard is not None:
            rounded = np.where(rounded < self.guard * target, rounded + divisor, rounded)
        return _whole(np.where((factor == 1) | (width == 0), width, rounded))

    def round_head(self, width: Count, factor: Count, groups: int = 1) -> Count:
        """Return the width of the head's convolution, divisible by `groups` as well."""
        rounded = self.round_width(width, factor, groups)
        return _whole(np.maximum(width, rounded)) if self.head_at_least_base else rounded

    def round_depth(self, depth: Count, factor: Count) -> Count:
        """Return `depth` × `factor` blocks, at least 1."""
        target = _denoised(depth * factor)
        rounded = np.ceil(target) if self.depth == "ceil" else np.floor(target + 0.5)
        return _whole(np.maximum(1, rounded))

    def round_resolution(self, size: Count, factor: Count) -> Count:
        """Return `size` × `factor` pixels, at least one multiple."""
        multiple = self.resolution_multiple
        rounded = np.maximum(multiple, np.floor(_denoised(size * factor) / multiple + 0.5) * multiple)
        return _whole(np.where(factor == 1, size, rounded))


def _denoised(value: Count) -> Any:
    return np.round(value, 9)


def _whole(value: Any) -> Count:
    return int(value) if np.ndim(value) == 0 else cast("NDArray[Any]", value)


SETS = {
    rounding.name: rounding
    for rounding in (
        Rounding("efficientnet", "tensorflow/tpu, efficientnet_model.py: round_filters, round_repeats"),
        Rounding(
            "efficientnet_v2",
            "google/automl, efficientnetv2: round_filters without the 10 % guard",
            guard=None,
        ),
        Rounding(
            "lite",
            "tensorflow/tpu, efficientnet/lite: fix_head_stem",
            fixed=frozenset({"stem", "head", "end_depths"}),
        ),
        Rounding(
            "mobilenet",
            "tensorflow/models, slim/nets/mobilenet: make_divisible, last convolution; ceil as EfficientNet",
            head_at_least_base=True,
        ),
        Rounding(
            "tinynet",
            "huawei-noah/Efficient-AI-Backbones, tinynet_pytorch",
            depth="nearest",
            fixed=frozenset({"stem"}),
            head_at_least_base=True,
        ),
        Rounding(
            "nearest",
            "after facebookresearch/pycls, scaler.py (which breaks ties to even)",
            guard=None,
            depth="nearest",
            resolution_multiple=4,
        ),
        Rounding(
            "densenet",
            "Huang et al. 2017: growth rates 12, 24, 32, 40, 48; depth is many thin layers",
            divisor=4,
            guard=None,
            depth="nearest",
        ),
        Rounding(
            "convnext",
            "Liu et al. 2022: plain widths, 40 to 352 in the first stage; no part of a patch is left over at 32 px",
            guard=None,
            depth="nearest",
            resolution_multiple=32,
        ),
        Rounding(
            "vit",
            "Dosovitskiy et al. 2021: whole patches of 16 px; widths are multiples of a head's 64 channels",
            divisor=64,
            guard=None,
            depth="nearest",
            resolution_multiple=16,
        ),
        Rounding(
            "fine",
            "for networks so small that multiples of 8 are coarse",
            divisor=1,
            guard=None,
            depth="nearest",
        ),
    )
}


def rounding_set(name: str) -> Rounding:
    """Return the rounding set called `name`, or raise UnknownNameError."""
    try:
        return SETS[name]
    except KeyError:
        raise UnknownNameError("rounding set", name, SETS, listing=f"known: {', '.join(SETS)}") from None
