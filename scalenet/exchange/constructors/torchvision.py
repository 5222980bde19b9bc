"""How is a network made in torchvision?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scalenet.arch.slots import divisible
from scalenet.exchange.configs import round_filters
from scalenet.exchange.constructors.candidate import Candidate, by_name, halving
from scalenet.exchange.families import family
from scalenet.exchange.matching import known_network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalenet.arch.spec import Model

_PARTIAL = "from functools import partial"


def candidates(model: Model) -> Iterator[Candidate]:
    """Yield calls that may make a network: published ones by name, then by their class."""
    classes = model.head.classes
    for row, made in by_name(model, "torchvision"):
        alone = ", aux_logits=False, init_weights=False" if row.name == "inception_v3" else ""
        call = f'get_model("{row.name}", weights=None, num_classes={classes}{alone})'
        yield Candidate(call, ("from torchvision.models import get_model",), made, row.name)
    make = _CLASSES.get(family(model) or "")
    if make is not None:
        yield from make(model)


def _norm(model: Model) -> str:
    norm: Any = model.norm
    return f"norm_layer=partial(nn.BatchNorm2d, eps={norm.eps!r}, momentum={norm.momentum!r})"


def _resnet(model: Model) -> Iterator[Candidate]:
    """ResNet(block, layers, groups, width_per_group): outer widths are 64, 128, … or 256, 512, … whatever is inside."""
    first = model.stages[0]
    basic = first.block == "basic"
    base = known_network("resnet18" if basic else "resnet50").model
    groups = first.options().get("groups", 1)
    stages = []
    for number, (like, stage) in enumerate(zip(base.stages, model.stages, strict=False)):
        inner = like.width if basic else _inner(first.width, groups, number)
        options = {} if basic else {"expansion": max(1, 256 * 2**number // inner), "groups": groups}
        stages.append(like.changed(width=inner, depth=stage.depth, **options))
    made = base.changed(norm=model.norm, stages=tuple(stages))
    depths = [stage.depth for stage in stages]
    inside = "" if basic else f", groups={groups}, width_per_group={max(1, first.width // groups)}"
    block = "BasicBlock" if basic else "Bottleneck"
    call = f"ResNet({block}, {depths}, num_classes={model.head.classes}{inside}, {_norm(model)})"
    yield Candidate(call, (_PARTIAL, "from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet"), made)


def _inner(first: int, groups: int, number: int) -> int:
    """Return the inner width of a stage, as torchvision's Bottleneck computes it."""
    return max(groups, int(64 * 2**number * (max(1, first // groups) / 64)) * groups)


def _efficientnet(model: Model) -> Iterator[Candidate]:
    """EfficientNet(list of MBConvConfig and FusedMBConvConfig, last_channel): any widths that are multiples of 8."""
    base, rows, stages = known_network("efficientnet_b0").model, [], []
    entering = model.stem.width
    for stage in model.stages:
        options = stage.options()
        kind = "FusedMBConvConfig" if stage.block == "fused_mbconv" else "MBConvConfig"
        numbers = (options["expand"], options["kernel"], stage.stride, entering, stage.width, stage.depth)
        rows.append(f"{kind}{numbers}")
        se = {} if stage.block == "fused_mbconv" else {"se": 0.25, "multiple_of": None, "activation": None}
        stages.append(stage.changed(width=_multiple(stage.width), **se))
        entering = stage.width
    made = base.changed(
        norm=model.norm,
        stem=base.stem.changed(width=_multiple(model.stem.width)),
        stages=tuple(stages),
        head=base.head.changed(width=model.head.width or 1280),
    )
    rest = model.regularization
    call = (
        f"EfficientNet([{', '.join(rows)}], dropout={rest.dropout}, stochastic_depth_prob={rest.drop_path}, "
        f"num_classes={model.head.classes}, last_channel={model.head.width}, {_norm(model)})"
    )
    home = "from torchvision.models.efficientnet import EfficientNet, FusedMBConvConfig, MBConvConfig"
    yield Candidate(call, (_PARTIAL, home), made)


def _multiple(width: int) -> int:
    """Return the width that torchvision's `_make_divisible` makes of one."""
    return int(divisible(width, 1.0, 8))


def _mobilenet_v2(model: Model) -> Iterator[Candidate]:
    """MobileNetV2(width_mult, inverted_residual_setting): stem and head are 32 and 1280 times the same multiple."""
    base, stem, head = known_network("mobilenet_v2").model, model.stem.width, model.head.width or 1280
    for times in dict.fromkeys((head / 1280, stem / 32)):
        rows, stages = [], []
        for stage in model.stages:
            options = stage.options()
            rows.append(f"[{options['expand']:g}, {stage.width / times!r}, {stage.depth}, {stage.stride}]")
            stages.append(
                stage.changed(width=_multiple(stage.width), kernel=3, se=0.0, multiple_of=None, activation=None)
            )
        made = base.changed(
            norm=model.norm,
            stem=base.stem.changed(width=_multiple(int(32 * times + 1e-9))),
            stages=tuple(stages),
            head=base.head.changed(width=_multiple(int(1280 * max(1.0, times) + 1e-9))),
        )
        call = (
            f"MobileNetV2(num_classes={model.head.classes}, width_mult={times!r}, "
            f"inverted_residual_setting=[{', '.join(rows)}], {_norm(model)}, dropout={model.regularization.dropout})"
        )
        yield Candidate(call, (_PARTIAL, "from torchvision.models import MobileNetV2"), made)


def _mobilenet_v3(model: Model) -> Iterator[Candidate]:
    """MobileNetV3(list of InvertedResidualConfig, last_channel): any widths that are multiples of 8."""
    base, rows, stages, entering = known_network("mobilenet_v3_large").model, [], [], model.stem.width
    for stage in model.stages:
        for number in range(stage.depth):
            options, stride = stage.options_of(number), 1 if number else stage.stride
            expand = options["expand"]
            inner = entering if expand == 1 else int(divisible(entering, expand, 8))
            act = "RE" if options["activation"] == "relu" else "HS"
            numbers = (entering, options["kernel"], inner, stage.width, bool(options["se"]), act, stride, 1, 1.0)
            rows.append(f"InvertedResidualConfig{numbers}")
            entering = stage.width
        se = 0.25 if stage.options()["se"] else 0.0
        stages.append(stage.changed(width=_multiple(stage.width), multiple_of=8, se=se))
    made = base.changed(
        norm=model.norm,
        stem=base.stem.changed(width=_multiple(model.stem.width)),
        stages=tuple(stages),
        head=base.head.changed(width=model.head.width),
    )
    call = (
        f"MobileNetV3([{', '.join(rows)}], last_channel={model.head.width}, num_classes={model.head.classes}, "
        f"{_norm(model)}, dropout={model.regularization.dropout})"
    )
    home = "from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3"
    yield Candidate(call, (_PARTIAL, home), made)


def _mnasnet(model: Model) -> Iterator[Candidate]:
    """MNASNet(alpha): all widths but the head's are the same multiple of the published ones."""
    base = known_network("mnasnet_b1").model
    published = (base.stem.width, *(stage.width for stage in base.stages))
    for width, usual in zip((model.stem.width, *(stage.width for stage in model.stages)), published, strict=False):
        times = width / usual
        stem, *widths = (round_filters(one, times, 8) for one in published)
        stages = tuple(stage.changed(width=own) for stage, own in zip(base.stages, widths, strict=True))
        made = base.changed(stem=base.stem.changed(width=stem), stages=stages)
        call = f"MNASNet({times!r}, num_classes={model.head.classes}, dropout={model.regularization.dropout})"
        yield Candidate(call, ("from torchvision.models import MNASNet",), made)


def _regnet(model: Model) -> Iterator[Candidate]:
    """RegNet(BlockParams(depths, widths, group widths, bottlenecks, strides, se ratio), stem_width): any of ours."""
    base = known_network("regnet_y_400mf").model
    options = [stage.options() for stage in model.stages]
    se = options[0]["se"]
    stages = tuple(stage.changed(kernel=3, se=se) for stage in model.stages)
    made = base.changed(norm=model.norm, stem=base.stem.changed(width=model.stem.width), stages=stages)
    columns = [
        [stage.depth for stage in model.stages],
        [stage.width for stage in model.stages],
        [one["group_width"] for one in options],
        [1.0] * len(options),
        [stage.stride for stage in model.stages],
    ]
    call = (
        f"RegNet(BlockParams({', '.join(map(str, columns))}, {se or None}), num_classes={model.head.classes}, "
        f"stem_width={model.stem.width}, {_norm(model)})"
    )
    yield Candidate(call, (_PARTIAL, "from torchvision.models.regnet import BlockParams, RegNet"), made)


def _convnext(model: Model) -> Iterator[Candidate]:
    """ConvNeXt(list of CNBlockConfig): any widths and depths."""
    base = known_network("convnext_tiny").model
    scale = model.stages[0].options()["scale"]
    widths = [stage.width for stage in model.stages]
    stages = halving(model, kernel=7, expand=4, scale=scale)
    made = base.changed(stem=base.stem.changed(width=widths[0]), stages=stages)
    rows = [
        f"CNBlockConfig({stage.width}, {after}, {stage.depth})"
        for stage, after in zip(model.stages, [*widths[1:], None], strict=True)
    ]
    call = (
        f"ConvNeXt([{', '.join(rows)}], stochastic_depth_prob={model.regularization.drop_path}, layer_scale={scale!r}, "
        f"num_classes={model.head.classes})"
    )
    yield Candidate(call, ("from torchvision.models.convnext import CNBlockConfig, ConvNeXt",), made)


def _densenet(model: Model) -> Iterator[Candidate]:
    """DenseNet(growth_rate, block_config, num_init_features, bn_size): one growth rate for all stages."""
    base = known_network("densenet121").model
    growth, options = model.stages[0].width, model.stages[0].options()
    stages = halving(model, width=growth, kernel=3, bottleneck=options["bottleneck"])
    made = base.changed(stem=base.stem.changed(width=model.stem.width), stages=stages)
    depths = tuple(stage.depth for stage in model.stages)
    call = (
        f"DenseNet({growth}, {depths}, {model.stem.width}, bn_size={options['bottleneck']}, "
        f"drop_rate=0, num_classes={model.head.classes})"
    )
    yield Candidate(call, ("from torchvision.models import DenseNet",), made)


def _shufflenet(model: Model) -> Iterator[Candidate]:
    """ShuffleNetV2(repeats, widths): three stages."""
    base, head = known_network("shufflenet_v2_x1_0").model, model.head.width or 1024
    stages = tuple(stage.changed(kernel=3, stride=2) for stage in model.stages[:3])
    made = base.changed(
        stem=base.stem.changed(width=model.stem.width), stages=stages, head=base.head.changed(width=head)
    )
    widths = [model.stem.width, *(stage.width for stage in model.stages), head]
    call = f"ShuffleNetV2({[stage.depth for stage in model.stages]}, {widths}, num_classes={model.head.classes})"
    yield Candidate(call, ("from torchvision.models import ShuffleNetV2",), made)


_CLASSES = {
    "resnet": _resnet,
    "efficientnet": _efficientnet,
    "mobilenet_v2": _mobilenet_v2,
    "mobilenet_v3": _mobilenet_v3,
    "mnasnet": _mnasnet,
    "regnet": _regnet,
    "convnext": _convnext,
    "densenet": _densenet,
    "shufflenet": _shufflenet,
}
