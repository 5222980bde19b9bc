"""Averages of a network's weights over the steps of its training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.optim.swa_utils import AveragedModel

from scalenet.training.recipe import Ema

if TYPE_CHECKING:
    from torch import nn

    from scalenet.training.recipe import Average


def average_model(module: nn.Module, average: Average | None) -> AveragedModel:
    """Return the average of a module's weights: a moving one, of its buffers too, or the plain mean."""
    if not isinstance(average, Ema):
        return AveragedModel(module)
    decay = average.decay

    def move(averages: Any, values: Any, count: Any) -> None:
        if averages[0].is_floating_point():
            kept = min(decay, (1 + int(count)) / (10 + int(count)))
            torch._foreach_lerp_(averages, values, 1 - kept)
        else:
            torch._foreach_copy_(averages, values)

    return AveragedModel(module, multi_avg_fn=move, use_buffers=True)
