"""Which config makes a network in transformers?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scalenet.arch.errors import ScalenetError
from scalenet.exchange.configs import model_of, round_filters, square_padded
from scalenet.exchange.constructors.candidate import Candidate
from scalenet.exchange.families import family

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalenet.arch.spec import Model

_TITLES = {
    "resnet": "ResNet",
    "regnet": "RegNet",
    "convnext": "ConvNext",
    "efficientnet": "EfficientNet",
    "mobilenet_v1": "MobileNetV1",
    "mobilenet_v2": "MobileNetV2",
}
_ACTIVATIONS = {"silu": "swish"}
_MOMENTUM = 0.01
"""The weight of the new batch. The library's own default, 0.99, is TensorFlow's, handed to PyTorch as it is."""


def candidates(model: Model) -> Iterator[Candidate]:
    """Yield configs that may make a network."""
    kind = family(model) or ""
    if kind not in _CONFIGS:
        return
    title = _TITLES[kind]
    for own in _CONFIGS[kind](model):
        config = {
            "architectures": [f"{title}ForImageClassification"],
            "model_type": kind,
            "num_channels": model.channels,
            "hidden_act": _ACTIVATIONS.get(model.activation, model.activation),
            **own,
        }
        try:
            made = model_of(config, title)
        except ScalenetError:
            continue
        imported = (f"from transformers import {title}Config, {title}ForImageClassification",)
        yield Candidate(f"{title}ForImageClassification({title}Config(**CONFIG))", imported, made, kind, config)


def _resnet(model: Model) -> Iterator[dict[str, Any]]:
    basic = model.stages[0].block == "basic"
    yield {
        "embedding_size": model.stem.width,
        "hidden_sizes": [stage.width * (1 if basic else 4) for stage in model.stages],
        "depths": [stage.depth for stage in model.stages],
        "layer_type": "basic" if basic else "bottleneck",
        "downsample_in_first_stage": model.stages[0].stride == 2,
        "downsample_in_bottleneck": False,
    }


def _regnet(model: Model) -> Iterator[dict[str, Any]]:
    options = model.stages[0].options()
    yield {
        "embedding_size": model.stem.width,
        "hidden_sizes": [stage.width for stage in model.stages],
        "depths": [stage.depth for stage in model.stages],
        "groups_width": options["group_width"],
        "layer_type": "y" if options["se"] else "x",
        "downsample_in_first_stage": model.stages[0].stride == 2,
    }


def _convnext(model: Model) -> Iterator[dict[str, Any]]:
    yield {
        "patch_size": model.stem.stride,
        "num_stages": len(model.stages),
        "hidden_sizes": [stage.width for stage in model.stages],
        "depths": [stage.depth for stage in model.stages],
        "layer_norm_eps": 1e-6,
        "layer_scale_init_value": model.stages[0].options()["scale"],
        "drop_path_rate": model.regularization.drop_path,
        "image_size": model.size[0],
    }


def _efficientnet(model: Model) -> Iterator[dict[str, Any]]:
    """Yield configs of stages one by one: the coefficient is what makes stem and head, and widths are divided by it."""
    stem, head = model.stem.width, model.head.width or 1280
    norm: Any = model.norm
    for times in dict.fromkeys((1.0, head / 1280, stem / 32)):
        if (round_filters(32, times, 8), round_filters(1280, times, 8)) != (stem, head) and times != 1.0:
            continue
        widths = [round(width / times) for width in (stem, *(stage.width for stage in model.stages))]
        options = [stage.options() for stage in model.stages]
        yield {
            "image_size": model.size[0],
            "width_coefficient": times,
            "depth_coefficient": 1.0,
            "depth_divisor": 8,
            "kernel_sizes": [one["kernel"] for one in options],
            "in_channels": widths[:-1],
            "out_channels": widths[1:],
            "depthwise_padding": square_padded(model),
            "strides": [stage.stride for stage in model.stages],
            "num_block_repeats": [stage.depth for stage in model.stages],
            "expand_ratios": [_plain(one["expand"]) for one in options],
            "squeeze_expansion_ratio": options[0].get("se", 0.25),
            "hidden_dim": head,
            "batch_norm_eps": norm.eps,
            "batch_norm_momentum": _MOMENTUM,
            "dropout_rate": model.regularization.dropout,
            "drop_connect_rate": model.regularization.drop_path,
        }


def _plain(expand: Any) -> Any:
    """Return a ratio as a whole number where it is one, as configs have them."""
    return int(expand) if isinstance(expand, float) and expand.is_integer() else expand


def _mobilenet(model: Model) -> Iterator[dict[str, Any]]:
    """Yield configs for the multiples of width that some layer's width may come from."""
    norm: Any = model.norm
    published = (32, 16, 24, 32, 64, 96, 160, 320) if family(model) == "mobilenet_v2" else (32, 64, 128, 256, 512, 1024)
    own = (model.stem.width, *(stage.width for stage in model.stages))
    head = ((model.head.width, 1280),) if model.head.width else ()
    for width, base in (*zip(own, published, strict=False), *head):
        yield {
            "depth_multiplier": width / base,
            "image_size": model.size[0],
            "layer_norm_eps": norm.eps,
            "tf_padding": model.padding == "same",
            "classifier_dropout_prob": model.regularization.dropout,
            "finegrained_output": model.head.width == 1280,
        }


_CONFIGS = {
    "resnet": _resnet,
    "regnet": _regnet,
    "convnext": _convnext,
    "efficientnet": _efficientnet,
    "mobilenet_v1": _mobilenet,
    "mobilenet_v2": _mobilenet,
}
