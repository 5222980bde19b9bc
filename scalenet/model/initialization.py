"""Initial values as the official codes draw them, by the name in an architecture's `initialization`.

- `efficientnet` (tensorflow/tpu, models/official/efficientnet): convolutions normal with variance 2 / (k² · outputs
  per group); linear layers uniform in ±1/√outputs; biases 0.
- `resnet` (fb.resnet.torch, torchvision): convolutions normal with variance 2 / (k² · outputs per group); linear
  layers uniform in ±1/√inputs, biases too.
- `mobilenet` (tensorflow/models, research/slim/nets): all weights normal with standard deviation 0.09, cut at two
  standard deviations; biases 0.
- `vit` (timm's ViT, facebookresearch/ConvNeXt): all weights normal with standard deviation 0.02; biases 0.

Batch normalisation starts with scale 1 and shift 0 everywhere.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable


def initialize(module: nn.Module, scheme: str) -> None:
    """Draw all weights of `module` anew from PyTorch's global random state."""
    draw = _SCHEMES[scheme]
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            draw(layer)


def _efficientnet(layer: nn.Conv2d | nn.Linear) -> None:
    if isinstance(layer, nn.Linear):
        bound = 1 / math.sqrt(layer.out_features)
        nn.init.uniform_(layer.weight, -bound, bound)
    else:
        _fan_out_normal(layer)


def _resnet(layer: nn.Conv2d | nn.Linear) -> None:
    if isinstance(layer, nn.Linear):
        layer.reset_parameters()
    else:
        _fan_out_normal(layer)


def _mobilenet(layer: nn.Conv2d | nn.Linear) -> None:
    nn.init.trunc_normal_(layer.weight, std=0.09, a=-0.18, b=0.18)


def _vit(layer: nn.Conv2d | nn.Linear) -> None:
    nn.init.trunc_normal_(layer.weight, std=0.02)


def _fan_out_normal(layer: nn.Conv2d) -> None:
    outputs = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels // layer.groups
    nn.init.normal_(layer.weight, std=math.sqrt(2 / outputs))


_SCHEMES: dict[str, Callable[[nn.Conv2d | nn.Linear], None]] = {
    "efficientnet": _efficientnet,
    "resnet": _resnet,
    "mobilenet": _mobilenet,
    "vit": _vit,
}
