"""How a network computes: in which precision, and with its maps in which order in memory."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from scalenet.training.recipe import Recipe


def autocast(recipe: Recipe, device: torch.device) -> AbstractContextManager[None]:
    """Return what has operators compute in the recipe's precision."""
    if recipe.precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, recipe.precision))


def memory_format(recipe: Recipe) -> torch.memory_format:
    """Return the order in which maps lie in memory."""
    return torch.channels_last if recipe.channels_last else torch.contiguous_format
