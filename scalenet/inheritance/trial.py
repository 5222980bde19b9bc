"""What two networks say of the same images, and how much each block does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from scalenet.training.statistics import batch_norms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


@torch.no_grad()
def difference(one: nn.Module, other: nn.Module, images: Tensor, *, training: bool) -> float:
    """Return the largest difference of outputs in double precision, in deviations of the first's.

    In `training`, normalisations are by the images themselves, and dropout and stochastic depth are off. Both modules
    are changed.
    """
    expected, found = (_outputs(network, images.double(), training=training) for network in (one, other))
    return float((found - expected).abs().max() / expected.std().clamp_min(1e-30))


def _outputs(network: nn.Module, images: Tensor, *, training: bool) -> Tensor:
    network.double().eval()
    if training:
        for norm in batch_norms(network).values():
            norm.train()
    outputs: Tensor = network(images)
    return outputs


@torch.no_grad()
def worth_of_blocks(network: nn.Module, batches: Iterable[Tensor]) -> dict[str, float]:
    """Return by how much each block changes what enters, in its length; blocks that change its shape are left out."""
    found: dict[str, list[float]] = {}
    stages: Any = network.stages
    hooks = []
    for number, stage in enumerate(stages):
        for place, block in enumerate(stage):
            hooks.append(block.register_forward_hook(_keeper(found, f"stages.{number}.{place}")))
    try:
        network.eval()
        for images in batches:
            network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: sum(values) / len(values) for name, values in found.items()}


def _keeper(found: dict[str, list[float]], name: str) -> Any:
    def keep(_: nn.Module, entering: tuple[Tensor], left: Tensor) -> None:
        if left.shape == entering[0].shape:
            changed = (left - entering[0]).flatten(1).norm(dim=1) / entering[0].flatten(1).norm(dim=1).clamp_min(1e-12)
            found.setdefault(name, []).append(float(changed.mean()))

    return keep
