"""Which family is a network of, as other libraries divide them?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scalenet.arch.spec import Model

_BY_BLOCK = {
    "basic": "resnet",
    "bottleneck": "resnet",
    "regnet": "regnet",
    "convnext": "convnext",
    "dense": "densenet",
    "shuffle": "shufflenet",
    "fire": "squeezenet",
    "vgg": "vgg",
    "repvgg": "repvgg",
    "inception_a": "inception",
    "inception_c": "inception",
    "inception_e": "inception",
    "inception_resnet_a": "inception_resnet",
    "inception_resnet_b": "inception_resnet",
    "inception_resnet_c": "inception_resnet",
    "xception": "xception",
    "separated": "xception",
    "transformer": "vit",
    "separable": "mobilenet_v1",
    "mbconv": "mbconv",
    "fused_mbconv": "mbconv",
}


def family(model: Model) -> str | None:
    """Return the family of a network, None where its blocks are of none or of several."""
    found = {_BY_BLOCK.get(stage.block) for stage in model.stages}
    if len(found) > 1:
        return None
    (name,) = found
    return _of_mbconv(model) if name == "mbconv" else name


def _of_mbconv(model: Model) -> str:
    if model.head.kind == "mlp":
        return "mobilenet_v3"
    if model.activation == "silu" or any(stage.options().get("se") for stage in model.stages):
        return "efficientnet"
    return "mobilenet_v2" if model.activation == "relu6" else "mnasnet"
