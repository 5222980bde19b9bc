"""Baselines that tests which run them need not take all of."""

from __future__ import annotations

from scalenet.arch import registry

DEEP = {
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
    "wide_resnet50_2",
}
"""Others have the same blocks, fewer times: to run these takes long and shows nothing else."""

SMALL = [name for name in registry.names() if name not in DEEP]
