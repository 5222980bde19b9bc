"""Statistics of images, and of what batch norms see of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 1024


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel of uint8 images [N, 3, H, W], both [1, 3, 1, 1], 0 to 255."""
    total = torch.zeros(2, images.shape[1], dtype=torch.float64)
    for part in torch.split(images, _CHUNK):
        values = part.to(torch.float32)
        total[0] += values.mean(dim=(0, 2, 3), dtype=torch.float64) * len(part)
        total[1] += values.square_().mean(dim=(0, 2, 3), dtype=torch.float64) * len(part)
    mean, square = total / len(images)
    # Images of one flat colour have no deviation to divide by.
    deviation = (square - mean.square()).clamp_min(1.0).sqrt()
    return mean.to(torch.float32).view(1, -1, 1, 1), deviation.to(torch.float32).view(1, -1, 1, 1)


def estimate_statistics(module: nn.Module, batches: Iterator[Tensor]) -> None:
    """Set the running statistics of all batch norms to their mean over some batches.

    Only the batch norms leave evaluation mode: dropout stays off, as it will be when the statistics are used.
    """
    norms = [layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    if not norms:
        return
    module.eval()
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    with torch.no_grad():
        for images in batches:
            module(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.eval()
