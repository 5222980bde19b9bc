"""Which network does a `config.json` of Hugging Face describe, and which images does it expect?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from scalenet.arch.errors import ScalenetError
from scalenet.arch.shapes import Shape, after
from scalenet.arch.slots import divisible
from scalenet.exchange.expected import Expected
from scalenet.scaling.scaler import load

if TYPE_CHECKING:
    from scalenet.arch.spec import Model

Data: TypeAlias = Mapping[str, Any]

_INTERPOLATIONS = {2: "bilinear", 3: "bicubic", "bilinear": "bilinear", "bicubic": "bicubic"}
_ACTIVATIONS = {"swish": "silu"}


def model_of(config: Data, place: str) -> Model:
    """Return the network that a config of transformers describes; raise ScalenetError where there is none here."""
    kind = str(config.get("model_type"))
    if kind not in _MODELS:
        known = ", ".join(_MODELS)
        raise ScalenetError(f"{place}: model_type {kind!r} is no network that is known here", hint=f"known: {known}")
    try:
        model = _MODELS[kind](config)
        act = str(config.get("hidden_act", model.activation))
        changes: dict[str, Any] = {"activation": _ACTIVATIONS.get(act, act), "channels": config.get("num_channels", 3)}
        if isinstance(size := config.get("image_size"), int):
            changes["resolution"] = size
        return model.changed(**changes)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ScalenetError(f"{place}: config.json is not one of {kind}: {error}") from None
    except ScalenetError as error:
        raise ScalenetError(f"{place}: {error.message}", hint=error.hint) from None


def labels_of(config: Data) -> tuple[str, ...]:
    """Return the names of the classes in a config, none where they have only numbers."""
    found = config.get("id2label") or {}
    try:
        names = tuple(str(name) for _, name in sorted(found.items(), key=lambda item: int(item[0])))
    except (AttributeError, ValueError):
        return ()
    return () if all(name.startswith("LABEL_") for name in names) else names


def images_of_processor(processor: Data) -> tuple[Expected | None, str | None]:
    """Return the images that a `preprocessor_config.json` describes, and what of it is not done here."""
    mean, std = processor.get("image_mean"), processor.get("image_std")
    size, crop = _short(processor.get("size")), _short(processor.get("crop_size"))
    if not (isinstance(mean, list) and isinstance(std, list) and size):
        return None, None
    if processor.get("include_top") and "EfficientNet" in str(processor.get("image_processor_type", "")):
        std = [one * one for one in std]  # the network's images are divided by it twice
    if (share := processor.get("crop_pct")) is not None and size < 384:
        resize = int(size / share)
    elif crop and processor.get("do_center_crop", True):
        size, resize = crop, max(size, crop)
    else:
        resize = size
    wanted = processor.get("resample", 2)
    interpolation = _INTERPOLATIONS.get(wanted, "bicubic")
    doubt = None if wanted in _INTERPOLATIONS else f"resampling {wanted} is not done here: images are resampled bicubic"
    return Expected(size, resize, interpolation, tuple(map(float, mean)), tuple(map(float, std))), doubt  # type: ignore[arg-type]


def images_of_timm(pretrained: Data) -> Expected | None:
    """Return the images that a `pretrained_cfg` of timm describes, as they are for evaluation."""
    shape = pretrained.get("test_input_size") or pretrained.get("input_size")
    share = pretrained.get("test_crop_pct") or pretrained.get("crop_pct")
    mean, std = pretrained.get("mean"), pretrained.get("std")
    if not (shape and share and mean and std):
        return None
    size = int(shape[-1])
    mode = _INTERPOLATIONS.get(pretrained.get("interpolation", "bicubic"), "bicubic")
    return Expected(size, math.floor(size / share), mode, tuple(mean), tuple(std))


def _short(size: Any) -> int:
    """Return the side of a size in pixels, 0 where there is none."""
    if isinstance(size, dict):
        size = size.get("shortest_edge") or size.get("height")
    return size if isinstance(size, int) else 0


def _resnet(config: Data) -> Model:
    if config.get("downsample_in_bottleneck"):
        raise ScalenetError(
            "downsample_in_bottleneck: the first convolution of a block strides, and no network here does",
            hint="its outputs would be others: take weights of ResNet v1.5",
        )
    basic = config.get("layer_type", "bottleneck") == "basic"
    base = load("resnet18" if basic else "resnet50").model
    divisor = 1 if basic else 4
    sizes = [_whole(size, divisor) for size in config.get("hidden_sizes", (256, 512, 1024, 2048))]
    return _staged(base, config, sizes, first=bool(config.get("downsample_in_first_stage")))


def _regnet(config: Data) -> Model:
    base = load("regnet_y_4gf").model
    sizes, width = list(config["hidden_sizes"]), config.get("groups_width", 64)
    se = 0.25 if config.get("layer_type", "y") == "y" else 0.0
    groups = [size // max(1, size // width) for size in sizes]
    model = _staged(base, config, sizes, first=bool(config.get("downsample_in_first_stage", True)), group_width=groups)
    return model.changed(stages=tuple(stage.changed(se=se) for stage in model.stages))


def _convnext(config: Data) -> Model:
    base = load("convnext_tiny").model
    model = _staged(base, config, list(config["hidden_sizes"]), first=False)
    scale = config.get("layer_scale_init_value") or 1e-6
    stem = base.stem.changed(width=model.stages[0].width, stride=config.get("patch_size", 4))
    return model.changed(stem=stem, stages=tuple(stage.changed(scale=scale) for stage in model.stages))


def _staged(base: Model, config: Data, widths: list[int], *, first: bool, **options: list[int]) -> Model:
    """Return a network whose stages are like the last one of `base`; all stride, the first one where it is said to."""
    like, stages = base.stages[-1], []
    for number, (width, depth) in enumerate(zip(widths, config["depths"], strict=True)):
        stride = 2 if number or first else 1
        own = {name: values[number] for name, values in options.items()}
        stages.append(like.changed(width=width, depth=depth, stride=stride, **own))
    stem = base.stem.changed(width=config.get("embedding_size", base.stem.width))
    return base.changed(stem=stem, stages=tuple(stages))


def _mobilenet_v1(config: Data) -> Model:
    times, least = config.get("depth_multiplier", 1.0), config.get("min_depth", 8)
    return _widened("mobilenet_v1", config, lambda width: max(int(width * times), least))


def _mobilenet_v2(config: Data) -> Model:
    times, divisor = config.get("depth_multiplier", 1.0), config.get("depth_divisible_by", 8)
    for key, usual in (("first_layer_is_expansion", True), ("output_stride", 32), ("expand_ratio", 6)):
        if config.get(key, usual) != usual:
            raise ScalenetError(f"{key} {config[key]} is not known here")
    model = _widened("mobilenet_v2", config, lambda width: int(divisible(round(width * times), 1.0, divisor)))
    if config.get("finegrained_output", True) and times < 1:
        model = model.changed(head=model.head.changed(width=1280))
    return model


def _widened(name: str, config: Data, width: Callable[[int], int]) -> Model:
    base = load(name).model
    head = base.head if base.head.width is None else base.head.changed(width=width(base.head.width))
    return base.changed(
        stem=base.stem.changed(width=width(base.stem.width)),
        stages=tuple(stage.changed(width=width(stage.width)) for stage in base.stages),
        head=head,
        norm=base.norm.changed(eps=config.get("layer_norm_eps", 0.001)),
        padding="same" if config.get("tf_padding", True) else None,
    )


def _efficientnet(config: Data) -> Model:
    times, deeper = config.get("width_coefficient", 2.0), config.get("depth_coefficient", 3.1)
    divisor, base = config.get("depth_divisor", 8), load("efficientnet_b0").model

    def width(channels: int) -> int:
        return round_filters(channels, times, divisor)

    depths = [math.ceil(deeper * one) for one in config["num_block_repeats"]]
    rows = zip(
        config["out_channels"],
        depths,
        config["strides"],
        config["kernel_sizes"],
        config["expand_ratios"],
        strict=True,
    )
    share = config.get("squeeze_expansion_ratio", 0.25)
    stages = tuple(
        base.stages[0].changed(
            width=width(out), depth=depth, stride=stride, kernel=kernel, expand=float(expand), se=float(share)
        )
        for out, depth, stride, kernel, expand in rows
    )
    model = base.changed(
        resolution=config["image_size"],
        norm=base.norm.changed(eps=config.get("batch_norm_eps", 0.001)),
        padding="same",
        stem=base.stem.changed(width=width(32)),
        stages=stages,
        head=base.head.changed(width=width(1280)),
    )
    if list(config.get("depthwise_padding", ())) != square_padded(model) or model.size[0] % 2:
        raise ScalenetError(
            f"depthwise_padding {config.get('depthwise_padding')} does not pad as TensorFlow at {model.size[0]} px",
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
    for stage in network.stages:
        for place, block in enumerate(stage.blocks()):
            if place == 0 and model.stages[network.stages.index(stage)].stride == 2 and int(shape.height) % 2:
                found.append(number)
            shape = after(block, shape)
            number += 1
    return found


def _whole(size: int, divisor: int) -> int:
    if size % divisor:
        raise ScalenetError(f"hidden_sizes: {size} is no multiple of {divisor}")
    return size // divisor


_MODELS: dict[str, Callable[[Data], Model]] = {
    "resnet": _resnet,
    "efficientnet": _efficientnet,
    "mobilenet_v1": _mobilenet_v1,
    "mobilenet_v2": _mobilenet_v2,
    "regnet": _regnet,
    "convnext": _convnext,
}
