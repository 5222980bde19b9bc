"""Which images do weights expect?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from scalenet.arch.layers import both

Colours: TypeAlias = tuple[float, float, float]

COLOURS: dict[str, tuple[Colours, Colours]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""Means and standard deviations of values between 0 and 1, as other libraries have them."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Images whose short side is resized to `resize` pixels, of which the centre of `size` is taken and normalised."""

    size: int | tuple[int, int]
    resize: int
    interpolation: str
    mean: Colours
    std: Colours

    @property
    def crop(self) -> float:
        """The central share of the side."""
        return max(both(self.size)) / self.resize
