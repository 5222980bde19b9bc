"""Small networks of every kind of block, their weights drawn, and what they become at other scales."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

import scalenet
from scalenet.arch.config import config_of, loads
from scalenet.training.checkpoint import About, Imported, Trained
from scalenet.training.statistics import batch_norms

if TYPE_CHECKING:
    from torch import Tensor, nn

    from scalenet.arch.spec import Model

BATCH, LAYER, GROUP = "{kind: batchnorm}", "{kind: layernorm}", "{kind: groupnorm, groups: 4}"

KINDS = {
    "basic": ("block: basic", BATCH, "relu"),
    "bottleneck": ("block: bottleneck, expansion: 2, se: 0.25, downsample: avgpool", BATCH, "relu"),
    "wider groups": ("block: bottleneck, expansion: 2, groups: 4", BATCH, "relu"),
    "more groups": ("block: regnet, group_width: 4, se: 0.25", BATCH, "relu"),
    "mbconv": ("block: mbconv, expand: 2, se: 0.25", BATCH, "silu"),
    "fused": ("block: fused_mbconv, expand: 2", BATCH, "silu"),
    "separable": ("block: separable", BATCH, "relu6"),
    "vgg": ("block: vgg", "{kind: none}", "relu"),
    "repvgg": ("block: repvgg", BATCH, "relu"),
    "dense": ("block: dense", BATCH, "relu"),
    "shuffle": ("block: shuffle", BATCH, "relu"),
    "fire": ("block: fire", BATCH, "relu"),
    "inception": ("block: inception_a", BATCH, "relu"),
    "inception reduced": ("block: inception_e", BATCH, "relu"),
    "inception added": ("block: inception_resnet_b", BATCH, "relu"),
    "xception": ("block: xception, convs: 2", BATCH, "relu"),
    "convnext": ("block: convnext, kernel: 3, expand: 2, scale: 0.5", LAYER, "gelu"),
    "transformer": ("block: transformer, head_width: 4, expand: 2", LAYER, "gelu"),
    "group norm": ("block: basic", GROUP, "relu"),
}
EVEN = ("convnext", "transformer", "group norm")
"""Their normalisations are over channels, so that they grow by whole factors."""

PLAIN = ("separable", "vgg", "repvgg", "shuffle")
"""Without a shortcut: a block more is the identity with running statistics only, if there are any."""

_BESIDE = ": none of the paths that are put side by side hands on what enters"
NEVER = {
    "fire": ".squeeze.conv: a convolution from 8 to 1 channels is never the identity",
    "inception": _BESIDE,
    "inception reduced": _BESIDE,
}
"""Blocks that can never be the identity, and why."""

ENDS = [
    ("{kind: deep, width: WIDTH, stride: 1}", "{kind: conv, width: WIDTH, classes: 3}"),
    ("{kind: repvgg, width: WIDTH, stride: 1}", "{kind: mlp, width: WIDTH, expand: 2, classes: 3}"),
    ("{width: WIDTH, stride: 1, bias: true, pool: {stride: 1}}", "{kind: maps, classes: 3}"),
    ("{kind: patch, width: WIDTH, stride: 1, then: norm}", "{kind: vgg, width: WIDTH, classes: 3}"),
    ("{kind: patch, width: WIDTH, stride: 1, then: positions}", "{kind: linear, norm: activated, classes: 3}"),
]
"""Stems and heads."""

CLASSES = ("ant", "bee", "cat")


def network(
    kind: str,
    *,
    stem: int = 8,
    widths: tuple[int, int] = (8, 12),
    depths: tuple[int, int] = (2, 1),
    stride: int = 2,
    pixels: int = 16,
    ends: tuple[str, str] = ("{width: WIDTH, stride: 1}", "{kind: linear, classes: 3}"),
    hidden: int = 10,
) -> scalenet.Architecture:
    """Return a network of two stages, between a stem of `stem` channels and a head of `hidden` ones."""
    block, norm, activation = KINDS[kind]
    stride = 1 if kind == "inception" else stride
    stages = ", ".join(
        f"{{depth: {depth}, width: {width}, stride: {stride}, {block}}}"
        for depth, width in zip(depths, widths, strict=True)
    )
    return loads(
        f"{{schema: scalenet/1, name: net, model: {{resolution: {pixels}, activation: {activation}, norm: {norm}, "
        f"stem: {ends[0].replace('WIDTH', str(stem))}, stages: [{stages}], "
        f"head: {ends[1].replace('WIDTH', str(hidden))}}}}}",
        place="test",
    ).architecture()


def drawn(architecture: scalenet.Architecture) -> nn.Module:
    """Return a network whose every number is drawn, running statistics too."""
    module = scalenet.build(architecture)
    for name, value in module.state_dict().items():
        if name.endswith(("norm.weight", "running_var")):
            value.uniform_(0.5, 1.5)
        elif value.dim() == 1:
            value.normal_(std=0.3)
    return module


def trained(architecture: scalenet.Architecture, module: nn.Module | None = None) -> Trained:
    """Return weights as an import has them."""
    plan = Imported(
        schema="scalenet-import/1",
        config=config_of(architecture),
        classes=CLASSES,
        source="a test",
        file="sha256:0",
    )
    about = About(schema="scalenet-weights/1", plan=plan, mean=(127.5,) * 3, deviation=(60.0,) * 3)
    return Trained(dict((module or drawn(architecture)).state_dict()), about, "sha256:1", "a test")


def outputs(module: nn.Module, model: Model, *, training: bool = False) -> Tensor:
    """Return logits of four random images in double precision, by running statistics or by the images' own."""
    images = torch.randn(4, 3, *model.size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    module.double().eval()
    for norm in batch_norms(module).values():
        norm.train(training)
    with torch.no_grad():
        return module(images)
