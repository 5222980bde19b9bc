"""How is a network made in timm?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scalenet.arch.ends import DeepStem
from scalenet.arch.slots import divisible, scaled
from scalenet.arch.style import Norm
from scalenet.exchange.constructors.candidate import Candidate, by_name, halving
from scalenet.exchange.families import family
from scalenet.exchange.matching import known_network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalenet.arch.spec import Model, StageSpec

_TIMM = ("import timm",)
_ACTIVATIONS = {"relu": "nn.ReLU", "relu6": "nn.ReLU6", "silu": "nn.SiLU", "hardswish": "nn.Hardswish"}


def candidates(model: Model) -> Iterator[Candidate]:
    """Yield calls that may make a network: published ones by name, then with arguments or by their class."""
    classes = model.head.classes
    for row, made in by_name(model, "timm"):
        yield _created(row.name, made, classes, {})
        if family(model) == "mobilenet_v3" and isinstance(model.norm, Norm):
            own = {"bn_eps": model.norm.eps, "bn_momentum": model.norm.momentum}
            yield _created(row.name, made.changed(norm=model.norm), classes, own)
    make = _WITH_ARGUMENTS.get(family(model) or "")
    if make is not None:
        yield from make(model)


def _created(name: str, made: Model, classes: int, arguments: dict[str, Any]) -> Candidate:
    """Return a call of `create_model`, and the config of a folder that timm reads."""
    written = "".join(f", {key}={value!r}" for key, value in arguments.items())
    config: dict[str, Any] = {"architecture": name, "num_classes": classes}
    if arguments:
        config["model_args"] = arguments
    return Candidate(f'timm.create_model("{name}", num_classes={classes}{written})', _TIMM, made, name, config)


def _resnet(model: Model) -> Iterator[Candidate]:
    """create_model("resnet50", layers, channels, …): the stem has 64 channels, but where it is deep."""
    first, options = model.stages[0], model.stages[0].options()
    basic, deep = first.block == "basic", isinstance(model.stem, DeepStem)
    name = "resnet18" if basic else "resnet50d" if deep else "seresnet50" if options.get("se") else "resnet50"
    base, groups = known_network(name).model, options.get("groups", 1)
    planes = [stage.width if basic else stage.width * stage.options()["expansion"] // 4 for stage in model.stages]
    inside = 64 if basic else max(1, round(first.width / groups * 64 / planes[0]))
    stages = []
    for number, (stage, own) in enumerate(zip(model.stages, planes, strict=True)):
        inner = own if basic else max(groups, int(own * (inside / 64)) * groups)
        extra = {} if basic else {"expansion": max(1, own * 4 // inner), "groups": groups}
        like = base.stages[min(number, len(base.stages) - 1)]
        stages.append(like.changed(width=inner, depth=stage.depth, **extra))
    stem = base.stem.changed(width=model.stem.width) if deep else base.stem
    arguments: dict[str, Any] = {"layers": [stage.depth for stage in model.stages], "channels": planes}
    if groups > 1 or inside != 64:
        arguments |= {"cardinality": groups, "base_width": inside}
    if deep:
        arguments["stem_width"] = model.stem.width // 2
    yield _created(name, base.changed(stem=stem, stages=tuple(stages)), model.head.classes, arguments)


def _convnext(model: Model) -> Iterator[Candidate]:
    """create_model("convnext_tiny", depths, dims): any widths and depths."""
    base = known_network("convnext_tiny").model
    scale = model.stages[0].options()["scale"]
    stages = halving(model, kernel=7, expand=4, scale=scale)
    widths, depths = [stage.width for stage in model.stages], [stage.depth for stage in model.stages]
    made = base.changed(stem=base.stem.changed(width=widths[0]), stages=stages)
    yield _created(
        "convnext_tiny", made, model.head.classes, {"depths": depths, "dims": widths, "ls_init_value": scale}
    )


def _densenet(model: Model) -> Iterator[Candidate]:
    """create_model("densenet121", growth_rate, block_config, bn_size): the stem is twice as wide as the growth rate."""
    base = known_network("densenet121").model
    growth, size = model.stages[0].width, model.stages[0].options()["bottleneck"]
    stages = halving(model, width=growth, kernel=3, bottleneck=size)
    made = base.changed(stem=base.stem.changed(width=2 * growth), stages=stages)
    depths = [stage.depth for stage in model.stages]
    arguments = {"growth_rate": growth, "block_config": depths, "bn_size": size}
    yield _created("densenet121", made, model.head.classes, arguments)


def _vit(model: Model) -> Iterator[Candidate]:
    """create_model("vit_small_patch16_224", …) without a class token, averaged before the classifier."""
    base, stage = known_network("vit_small").model, model.stages[0]
    options = stage.options()
    made = base.changed(
        resolution=model.resolution,
        stem=base.stem.changed(width=stage.width, stride=model.stem.stride),
        stages=(base.stages[0].changed(width=stage.width, depth=stage.depth, **options),),
    )
    arguments: dict[str, Any] = {
        "img_size": list(model.size),
        "patch_size": model.stem.stride,
        "embed_dim": stage.width,
        "depth": stage.depth,
        "num_heads": stage.width // options["head_width"],
        "mlp_ratio": options["expand"],
        "class_token": False,
        "global_pool": "avg",
        "fc_norm": False,
    }
    yield _created("vit_small_patch16_224", made, model.head.classes, arguments)


def _mobile(model: Model) -> Iterator[Candidate]:
    """EfficientNet(block_args, num_features, stem_size, …): any widths and depths, but by its class alone."""
    base = known_network("efficientnet_b0").model
    rows, stages, entering = [], [], model.stem.width
    for stage in model.stages:
        blocks = []
        for number in range(stage.depth):
            blocks.append(_block(stage, stage.options_of(number), 1 if number else stage.stride))
        rows.append(f"[{', '.join(blocks)}]")
        stages.append(_as_there(stage, entering))
        entering = stage.width
    norm: Any = model.norm
    linear = model.head.kind == "linear"
    made = base.changed(
        activation=model.activation,
        norm=model.norm,
        padding=model.padding,
        stem=base.stem.changed(width=model.stem.width),
        stages=tuple(stages),
        head=model.head if linear else base.head.changed(width=model.head.width),
    )
    call = (
        f"EfficientNet([{', '.join(rows)}], num_classes={model.head.classes}, "
        f"num_features={0 if linear else model.head.width}, stem_size={model.stem.width}, fix_stem=True, "
        f"pad_type={'same' if model.padding else ''!r}, act_layer={_ACTIVATIONS.get(model.activation, 'None')}, "
        f"norm_layer=partial(nn.BatchNorm2d, eps={norm.eps!r}, momentum={norm.momentum!r}), round_chs_fn=int, "
        f"drop_rate={model.regularization.dropout}, drop_path_rate={model.regularization.drop_path})"
    )
    home = ("from functools import partial", "from timm.models.efficientnet import EfficientNet")
    yield Candidate(call, home, made)


def _block(stage: StageSpec, options: dict[str, Any], stride: int) -> str:
    """Return the arguments of a block, as timm's builder takes them."""
    own: dict[str, Any] = {"out_chs": stage.width, "stride": stride, "act_layer": None}
    kernel, expand = options["kernel"], options.get("expand", 1)
    if stage.block == "separable":
        own |= {"block_type": "dsa", "dw_kernel_size": kernel, "pw_act": True, "noskip": True}
    elif stage.block == "fused_mbconv":
        plain = {"block_type": "cn", "kernel_size": kernel, "skip": True}
        own |= plain if expand == 1 else {"block_type": "er", "exp_kernel_size": kernel, "exp_ratio": expand}
    else:
        se = {"se_ratio": options["se"]} if options["se"] else {}
        plain = {"block_type": "ds", "dw_kernel_size": kernel} | se
        own |= plain if expand == 1 else {**plain, "block_type": "ir", "exp_ratio": expand}
    return f"dict({', '.join(f'{key}={value!r}' for key, value in own.items())})"


def _as_there(stage: StageSpec, entering: int) -> StageSpec:
    """Return a stage as timm makes it: expanded widths are multiples of 8, squeezed ones are rounded."""
    if stage.block != "mbconv":
        return stage
    made = stage.changed(multiple_of=None, activation=None)
    for number in range(stage.depth):
        options, width = stage.options_of(number), stage.width if number else entering
        inner, squeeze = scaled(width, options["expand"]), scaled(width, options["se"])
        rounded = divisible(int(inner), 1.0, 8)
        if inner != rounded and options["expand"] != 1:
            return made.changed(expand=rounded / width)
        if options["se"] and squeeze != round(int(inner) * (options["se"] / options["expand"])):
            return made.changed(se=round(int(inner) * (options["se"] / options["expand"])) / width)
    return made


_WITH_ARGUMENTS = {
    "resnet": _resnet,
    "convnext": _convnext,
    "densenet": _densenet,
    "vit": _vit,
    "efficientnet": _mobile,
    "mobilenet_v1": _mobile,
    "mobilenet_v2": _mobile,
    "mnasnet": _mobile,
}
