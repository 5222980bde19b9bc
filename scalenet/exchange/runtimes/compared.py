"""Does a file compute what the network computes? Outputs of both, in relation to how far logits differ."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from scalenet.arch.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn

BATCHES = (1, 2, 5)
"""Batch sizes that a file is tried with; together they are `sanity.IMAGES`."""

_CLOSE, _TIMES = 1e-3, 4
"""The largest difference in single precision, in spreads, or in what single precision itself costs PyTorch."""

_ALIKE = 1e-5
"""The spread of logits, in their size, below which nothing can be said of a difference."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The largest `difference` between outputs, in the logits' `spread`, over the `shapes` of inputs tried.

    The spread is the standard deviation over images, the classes' mean, as in `scalenet.exchange.sanity`.
    """

    difference: float
    spread: float
    shapes: tuple[tuple[int, ...], ...]


@torch.no_grad()
def compare(network: nn.Module, other: nn.Module, inputs: Iterable[Tensor], batches: tuple[int, ...]) -> Compared:
    """Return how far two networks' outputs are apart for images that come in such batches, one set a size.

    Raise RunError where they are further apart than single precision explains, or where the logits hardly differ.
    """
    largest, spread, shapes = 0.0, 0.0, dict[tuple[int, ...], None]()
    for images in inputs:
        parts = torch.split(images, list(batches))
        expected = torch.cat([network(part) for part in parts])
        difference = _difference(expected, torch.cat([other(part) for part in parts]))
        if not difference < _CLOSE and not difference < _TIMES * _rounding(network, images, expected):
            raise RunError(
                f"the exported network gives other outputs: they differ by {difference:.2g} of the logits' spread",
                hint="nothing was written; please report the network",
            )
        largest, spread = max(largest, difference), spread or _spread(expected)
        shapes.update(dict.fromkeys(tuple(part.shape) for part in parts))
    return Compared(largest, spread, tuple(shapes))


def _rounding(network: nn.Module, images: Tensor, expected: Tensor) -> float:
    """Return how far outputs in single precision are from those in double precision."""
    exact = deepcopy(network).double()(images.double())
    return _difference(exact, expected.double())


def _difference(expected: Tensor, found: Tensor) -> float:
    if found.shape != expected.shape:
        raise RunError(f"the exported network's outputs have shape {tuple(found.shape)}, not {tuple(expected.shape)}")
    return float((found - expected).abs().max()) / _spread(expected)


def _spread(logits: Tensor) -> float:
    spread = float(logits.std(dim=0).mean())
    if not spread > _ALIKE * float(logits.abs().max()):
        raise RunError(
            f"logits of {len(logits)} images are all alike, so that no difference can be told",
            hint="train the network, or export its config",
        )
    return spread
