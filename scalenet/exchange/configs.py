"""Which network does a `config.json` of Hugging Face describe, and which images does it expect?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from scalenet.arch.config import as_record
from scalenet.arch.errors import ScalenetError
from scalenet.arch.shapes import Shape, after
from scalenet.arch.slots import divisible
from scalenet.exchange import hub
from scalenet.exchange.expected import Expected
from scalenet.scaling.scaler import load

if TYPE_CHECKING:
    from scalenet.arch.spec import Model

Data: TypeAlias = Mapping[str, Any]

_INTERPOLATIONS = {"2": "bilinear", "3": "bicubic", "bilinear": "bilinear", "bicubic": "bicubic"}
_ACTIVATIONS = {"swish": "silu"}


def model_of(config: Data, place: str) -> Model:
    """Return the network that a config of transformers describes; raise ScalenetError where there is none here."""
    whole = as_record(hub.HubConfig, config, place)
    if whole.model_type not in _MODELS:
        known = ", ".join(_MODELS)
        raise ScalenetError(
            f"{place}: model_type {whole.model_type!r} is no network known here", hint=f"known: {known}"
        )
    kind, make = _MODELS[whole.model_type]
    own = as_record(kind, config, place)
    try:
        model = make(own)
        act = whole.hidden_act or model.activation
        changes: dict[str, Any] = {"activation": _ACTIVATIONS.get(act, act), "channels": whole.num_channels}
        if isinstance(whole.image_size, int):
            changes["resolution"] = whole.image_size
        return model.changed(**changes)
    except ScalenetError as error:
        raise ScalenetError(f"{place}: {error.message}", hint=error.hint) from None


def labels_of(config: hub.HubConfig) -> tuple[str, ...]:
    """Return the names of the classes in a config, none where they have only numbers."""
    found = config.id2label or {}
    if not all(number.isdecimal() for number in found):
        return ()
    names = tuple(found[number] for number in sorted(found, key=int))
    return () if all(name.startswith("LABEL_") for name in names) else names


def images_of_processor(processor: hub.Processor) -> tuple[Expected | None, str | None]:
    """Return the images that a `preprocessor_config.json` describes, and what of it is not done here."""
    size, crop = _side(processor.size), _side(processor.crop_size)
    mean, std = processor.image_mean, processor.image_std
    if size is None or mean is None or std is None:
        return None, None
    if processor.include_top and "EfficientNet" in processor.image_processor_type:
        red, green, blue = std
        std = (red * red, green * green, blue * blue)  # the network's images are divided by it twice
    if processor.crop_pct is not None and size < _CROPPED_BELOW:
        resize = int(size / processor.crop_pct)
    elif crop is not None and processor.do_center_crop:
        size, resize = crop, max(size, crop)
    else:
        resize = size
    wanted = str(2 if processor.resample is None else processor.resample)
    doubt = None
    if wanted not in _INTERPOLATIONS:
        doubt = f"resampling {wanted} is not done here: images are resampled bicubically"
    return Expected(size, resize, _INTERPOLATIONS.get(wanted, "bicubic"), mean, std), doubt


_CROPPED_BELOW = 384
"""Pixels from which ConvNeXt's processor crops nothing."""


def images_of_timm(pretrained: hub.TimmPretrained) -> Expected | None:
    """Return the images that a `pretrained_cfg` of timm describes, as they are for evaluation."""
    shape = pretrained.test_input_size or pretrained.input_size
    share = pretrained.test_crop_pct or pretrained.crop_pct
    if shape is None or share is None or pretrained.mean is None or pretrained.std is None:
        return None
    mode = _INTERPOLATIONS.get(pretrained.interpolation, "bicubic")
    return Expected(shape[-1], math.floor(shape[-1] / share), mode, pretrained.mean, pretrained.std)


def _side(size: hub.Sides | int | None) -> int | None:
    return size.side if isinstance(size, hub.Sides) else size


def _resnet(config: hub.ResNet) -> Model:
    if config.downsample_in_bottleneck:
        raise ScalenetError(
            "downsample_in_bottleneck: the first convolution of a block strides, and no network here does",
            hint="its outputs would be others: take weights of ResNet v1.5",
        )
    basic = config.layer_type == "basic"
    base = load("resnet18" if basic else "resnet50").model
    widths = [_whole(size, 1 if basic else 4) for size in config.hidden_sizes]
    stages = _stages(base, widths, config.depths, first=config.downsample_in_first_stage)
    return base.changed(stem=base.stem.changed(width=config.embedding_size), stages=stages)


def _regnet(config: hub.RegNet) -> Model:
    base = load("regnet_y_4gf").model
    groups = [size // max(1, size // config.groups_width) for size in config.hidden_sizes]
    stages = _stages(
        base, config.hidden_sizes, config.depths, first=config.downsample_in_first_stage, group_width=groups
    )
    se = 0.25 if config.layer_type == "y" else 0.0
    stem = base.stem.changed(width=config.embedding_size)
    return base.changed(stem=stem, stages=tuple(stage.changed(se=se) for stage in stages))


def _convnext(config: hub.ConvNext) -> Model:
    base = load("convnext_tiny").model
    stages = _stages(base, config.hidden_sizes, config.depths, first=False)
    stem = base.stem.changed(width=config.hidden_sizes[0], stride=config.patch_size)
    scale = config.layer_scale_init_value or 1e-6
    return base.changed(stem=stem, stages=tuple(stage.changed(scale=scale) for stage in stages))


def _stages(base: Model, widths: Columns, depths: Columns, *, first: bool, **options: Columns) -> tuple[Any, ...]:
    """Return stages like the last one of `base`; all stride, the first one where it is said to."""
    like, stages = base.stages[-1], []
    if any(len(column) != len(widths) for column in (depths, *options.values())):
        raise ScalenetError(f"{len(widths)} widths for {len(depths)} depths")
    for number, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        stride = 2 if number or first else 1
        own = {name: values[number] for name, values in options.items()}
        stages.append(like.changed(width=width, depth=depth, stride=stride, **own))
    return tuple(stages)


def _mobilenet_v1(config: hub.MobileNetV1) -> Model:
    def width(channels: int) -> int:
        return max(int(channels * config.depth_multiplier), config.min_depth)

    return _widened("mobilenet_v1", config, width)


def _mobilenet_v2(config: hub.MobileNetV2) -> Model:
    def width(channels: int) -> int:
        return int(divisible(round(channels * config.depth_multiplier), 1.0, config.depth_divisible_by))

    model = _widened("mobilenet_v2", config, width)
    if config.finegrained_output and config.depth_multiplier < 1:
        model = model.changed(head=model.head.changed(width=1280))
    return model


def _widened(name: str, config: hub.MobileNetV1 | hub.MobileNetV2, width: Callable[[int], int]) -> Model:
    base = load(name).model
    return base.changed(
        stem=base.stem.changed(width=width(base.stem.width)),
        stages=tuple(stage.changed(width=width(stage.width)) for stage in base.stages),
        head=base.head.resized(width(base.head.width)),
        norm=base.norm.changed(eps=config.layer_norm_eps),
        padding="same" if config.tf_padding else None,
    )


def _efficientnet(config: hub.EfficientNet) -> Model:
    base = load("efficientnet_b0").model

    def width(channels: int) -> int:
        return round_filters(channels, config.width_coefficient, config.depth_divisor)

    columns = (config.num_block_repeats, config.strides, config.kernel_sizes, config.expand_ratios)
    if any(len(column) != len(config.out_channels) for column in columns):
        raise ScalenetError("out_channels, num_block_repeats, strides, kernel_sizes, expand_ratios differ in length")
    stages = tuple(
        base.stages[0].changed(
            width=width(out),
            depth=math.ceil(config.depth_coefficient * repeats),
            stride=stride,
            kernel=kernel,
            expand=float(expand),
            se=config.squeeze_expansion_ratio,
        )
        for out, repeats, stride, kernel, expand in zip(config.out_channels, *columns, strict=True)
    )
    model = base.changed(
        resolution=config.image_size,
        norm=base.norm.changed(eps=config.batch_norm_eps),
        padding="same",
        stem=base.stem.changed(width=width(32)),
        stages=stages,
        head=base.head.changed(width=width(1280)),
    )
    if list(config.depthwise_padding) != square_padded(model) or config.image_size % 2:
        raise ScalenetError(
            f"depthwise_padding {list(config.depthwise_padding)} does not pad as TensorFlow at {config.image_size} px",
            hint="here convolutions pad as TensorFlow's, or alike on both sides",
        )
    return model


def round_filters(channels: int, times: float, divisor: int) -> int:
    """Return channels times a coefficient, a multiple of `divisor`, as transformers' EfficientNet rounds them."""
    scaled = channels * times
    rounded = max(divisor, int(scaled + divisor / 2) // divisor * divisor)
    return int(rounded + divisor if rounded < 0.9 * scaled else rounded)


def square_padded(model: Model) -> list[int]:
    """Return the numbers of the blocks that stride over maps of odd sides, which TensorFlow pads alike on both."""
    found, number = [], 0
    network = model.layers
    shape = after(network.parts[0].runs[0].block, Shape(model.channels, *model.size))
    for stage, own in zip(network.stages, model.stages, strict=True):
        for place, block in enumerate(stage.blocks()):
            if place == 0 and own.stride == 2 and int(shape.height) % 2:
                found.append(number)
            shape = after(block, shape)
            number += 1
    return found


def _whole(size: int, divisor: int) -> int:
    if size % divisor:
        raise ScalenetError(f"hidden_sizes: {size} is no multiple of {divisor}")
    return size // divisor


Columns: TypeAlias = "list[int] | tuple[int, ...]"

_MODELS: dict[str, tuple[type[hub.Read], Callable[[Any], Model]]] = {
    "resnet": (hub.ResNet, _resnet),
    "efficientnet": (hub.EfficientNet, _efficientnet),
    "mobilenet_v1": (hub.MobileNetV1, _mobilenet_v1),
    "mobilenet_v2": (hub.MobileNetV2, _mobilenet_v2),
    "regnet": (hub.RegNet, _regnet),
    "convnext": (hub.ConvNext, _convnext),
}
