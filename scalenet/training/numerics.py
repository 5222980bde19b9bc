"""How a network computes: in which precision, and with its maps in which order in memory."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import nn

from scalenet.costs.network import cost

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from scalenet.arch.spec import Buildable
    from scalenet.training.recipe import Recipe

FEW = 20
"""The weights of dense convolutions for a map's value from which channels last is slower (`benchmarks/layouts.py`).

A 3×3 convolution of 256 channels has 20 at 11×11 pixels, one of 512 at 15×15.
"""


def autocast(recipe: Recipe, device: torch.device) -> AbstractContextManager[None]:
    """Return what has operators compute in the recipe's precision."""
    if recipe.precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, recipe.precision))


def memory_format(recipe: Recipe | None, model: Buildable, network: nn.Module) -> torch.memory_format:
    """Return the order in which a network's maps lie in memory: the recipe's if it has one, or else the faster one.

    That is channels last, but for networks in single precision on a CPU whose dense convolutions have many times more
    weights than there are values in the maps of an image: many channels on few pixels. Those that crash in channels
    last are in the default order on a CPU whatever the recipe says.
    """
    on_cpu = next(network.parameters()).device.type == "cpu"
    channels_last = None if recipe is None else recipe.channels_last
    if channels_last is None:
        single = recipe is None or recipe.precision == "float32"
        few_pixels = cost(model).activations * FEW < dense_weights(network)
        channels_last = not (on_cpu and single and few_pixels)
    if on_cpu and crashes_in_channels_last(network):
        channels_last = False
    return torch.channels_last if channels_last else torch.contiguous_format


def crashes_in_channels_last(network: nn.Module) -> bool:
    """Return whether a network has what may end the process on this CPU with maps in channels last.

    Torch 2.13's gradient of a strided 1×1 convolution of fewer channels than a vector register holds numbers writes
    beyond its memory there. Whether that shows depends on what lies behind.
    """
    lanes = 8 if torch.backends.cpu.get_cpu_capability() == "AVX2" else 16
    strided = [one for one in _convolutions(network) if max(one.kernel_size) == 1 and max(one.stride) > 1]
    return any(one.in_channels // one.groups < lanes for one in strided)


def dense_weights(network: nn.Module) -> int:
    """Return the number of weights of a network's convolutions that are neither 1×1 nor in groups."""
    return sum(one.weight.numel() for one in _convolutions(network) if one.groups == 1 and max(one.kernel_size) > 1)


def _convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
