"""Baselines that tests which run them need not take all of, and a small network to be written down."""

from __future__ import annotations

from scalenet.arch import registry

DEEP = {
    "convnext_tiny",
    "densenet169",
    "efficientnet_v2_s",
    "mnasnet_a1",
    "mnasnet_b1",
    "mobilenet_v3_large",
    "regnet_x_400mf",
    "regnet_y_4gf",
    "resnet34",
    "resnet101",
    "resnet152",
    "resnext101_32x8d",
    "seresnet50",
    "vgg16",
    "wide_resnet50_2",
}
"""Others have the same blocks, fewer times: to run these takes long and shows nothing else."""

HEAVY = {"vgg16", "vgg16_bn", "vit_small"}
"""Their weights take seconds to draw: tests make them narrow."""

GROWING = {"densenet121", "densenet169"}
"""Their blocks grow with their place, so that each depth is walked block by block."""

_UNPADDED = ("convnext", "densenet", "inception", "squeezenet", "vgg", "vit", "xception")
PADDED = [name for name in registry.names() if not name.startswith(_UNPADDED)]
"""In which every window is padded, so that a strided layer leaves the size over the stride, rounded up."""

_WANT_LARGE_IMAGES = {"inception_resnet_v2", "inception_v3", "xception"}
SEARCHED = [name for name in registry.names() if name not in {*DEEP, *HEAVY, *GROWING, *_WANT_LARGE_IMAGES}]
"""Enough to hold searches for a budget against."""

VARIED = ["convnext_atto", "mobilenet_v3_small", "squeezenet1_0", "inception_v3", "shufflenet_v2_x1_0", "vit_small"]
"""A layer norm, a gate, concatenations, windows of all sides, a shuffle, and attention: small, and each of its kind."""

SMALL = [name for name in registry.names() if name not in DEEP]


def one_stage(stage: str) -> str:
    """Return the file of a small network with one stage."""
    return f"""schema: scalenet/1
name: net
model:
  resolution: 32
  activation: relu
  norm: {{kind: batchnorm}}
  stem: {{kind: conv, width: 32}}
  stages: [{stage}]
  head: {{kind: linear, classes: 10}}
"""
