"""Do weights make sense? What a network says of images that are always at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from scalenet.arch.errors import ScalenetError
from scalenet.arch.layers import both
from scalenet.model.modules import Position
from scalenet.training.data import resample
from scalenet.training.embedded import LARGEST, SMALLEST, render
from scalenet.training.feed import normalizer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from scalenet.training.preprocessing import Preprocessing

IMAGES = 8
LARGE = 224
"""Pixels a side."""

_LEAST, _MOST = 1e-4, 1e3


@dataclass(frozen=True, slots=True)
class Sanity:
    """The `spread` of a network's logits over so many embedded images: their standard deviation, the classes' mean."""

    images: int
    spread: float

    @property
    def doubt(self) -> str | None:
        """What speaks against the network, if anything does."""
        if _LEAST <= self.spread <= _MOST:
            return None
        what = "hardly differ" if self.spread < _LEAST else "are absurdly far apart"
        return f"the logits of {self.images} images {what}: the network may compute something else than its library's"

    def __str__(self) -> str:
        return f"logits of {self.images} embedded images are finite, their spread is {self.spread:.3g}"


@torch.no_grad()
def look(network: nn.Module, preprocessing: Preprocessing, place: str) -> Sanity:
    """Return what a network's logits of embedded images are like; raise ScalenetError where they are no numbers."""
    logits = network.eval()(embedded_inputs(network, preprocessing))
    if not bool(logits.isfinite().all()):
        raise ScalenetError(f"{place}: logits of embedded images are not finite", hint="the weights are damaged")
    return Sanity(IMAGES, float(logits.std(dim=0).mean()))


def embedded_inputs(network: nn.Module, preprocessing: Preprocessing, count: int = IMAGES) -> Tensor:
    """Return embedded images as a network takes them, [count, 3, height, width].

    They are no larger than `LARGE` where the network leaves that free, so that a large one is tried in seconds too.
    """
    size = both(preprocessing.size)
    if not any(isinstance(layer, Position) for layer in network.modules()):
        size = (min(size[0], LARGE), min(size[1], LARGE))
    return embedded_images(preprocessing, size, count)


def embedded_images(preprocessing: Preprocessing, size: tuple[int, int], count: int = IMAGES) -> Tensor:
    """Return embedded images of a size, normalised and resampled as a record says, [count, 3, height, width]."""
    images, _ = render(count, size=min(LARGEST, max(SMALLEST, *size)), seed=0)
    ready = normalizer(preprocessing.normalization, torch.device("cpu"), torch.contiguous_format)
    return ready(resample(torch.from_numpy(images), *size, preprocessing.interpolation))
