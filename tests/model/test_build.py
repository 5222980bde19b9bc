"""Built networks: their parameters, initial values, random depth, and how they print."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import scalenet
from scalenet.arch import layers, registry
from scalenet.arch.config import dumps, loads
from scalenet.arch.slots import residual
from scalenet.model import builder
from scalenet.model.modules import Branches, DropPath, GlobalMean
from scalenet.scaling.presets import presets

NAMES = list(registry.names())
QUICK = ["efficientnet_b0", "efficientnet_lite0", "mobilenet_v1", "mobilenet_v2", "resnet18", "resnet50"]
INSIDE_MBCONV = [
    "expand.conv",
    "expand.norm",
    "depthwise.conv",
    "depthwise.norm",
    "se.branch.reduce",
    "se.branch.expand",
    "project.conv",
    "project.norm",
]
INSIDE_BOTTLENECK = [
    *(f"main.conv{number}.{layer}" for number in (1, 2, 3) for layer in ("conv", "norm")),
    "shortcut.conv",
    "shortcut.norm",
]


def network(name: str) -> nn.Module:
    return scalenet.build(scalenet.load(name))


def modules_with_parameters(module: nn.Module) -> list[str]:
    """Return the names of the layers in the order of their parameters."""
    return list(dict.fromkeys(name.rpartition(".")[0] for name, _ in module.named_parameters()))


def shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}


def strip(names: list[str], start: str) -> list[str]:
    return [name.removeprefix(start) for name in names if name.startswith(start)]


@pytest.mark.parametrize("name", QUICK)
def test_images_become_logits(name: str) -> None:
    assert network(name).eval()(torch.zeros(2, 3, 64, 48)).shape == (2, 1000)


@pytest.mark.parametrize("classes", [1, 10])
def test_classes_replace_those_of_the_architecture(classes: int) -> None:
    architecture = scalenet.load("resnet18")
    built = scalenet.build(architecture, classes=classes)
    assert built.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, classes)
    assert architecture.model.head.classes == 1000


@pytest.mark.parametrize("name", NAMES)
def test_the_parameters_are_as_many_as_the_formula_says(name: str) -> None:
    architecture = scalenet.load(name)
    with torch.device("meta"):
        built = scalenet.build(architecture)
    assert sum(parameter.numel() for parameter in built.parameters()) == scalenet.cost(architecture).params


@pytest.mark.parametrize("name", QUICK)
def test_the_same_seed_gives_the_same_names_shapes_and_values(name: str) -> None:
    first, second = (torch.manual_seed(7) and network(name).state_dict() for _ in range(2))
    assert list(first) == list(second)
    assert all(torch.equal(first[key], second[key]) for key in first)
    torch.manual_seed(8)
    assert not torch.equal(network(name).state_dict()["stem.conv.weight"], first["stem.conv.weight"])


def test_a_network_rebuilt_from_its_file_is_the_same() -> None:
    architecture = scalenet.scale(scalenet.load("resnet18"), width=0.5)
    rebuilt = loads(dumps(architecture)).architecture()
    first, second = (torch.manual_seed(1) and scalenet.build(one).state_dict() for one in (architecture, rebuilt))
    assert list(first) == list(second)
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_stand_in_the_order_stem_stages_head(name: str) -> None:
    with torch.device("meta"):
        names = modules_with_parameters(network(name))
    parts = list(dict.fromkeys(".".join(name.split(".")[: 2 if name.startswith("stages") else 1]) for name in names))
    stages = len(scalenet.load(name).model.stages)
    assert parts == ["stem", *(f"stages.{number}" for number in range(stages)), "head"]
    assert names[0].startswith("stem.")
    assert names[-1] == "head.classifier"


def test_parameters_of_an_mbconv_stand_in_the_order_of_its_forward_pass() -> None:
    names = modules_with_parameters(network("efficientnet_b0"))
    assert strip(names, "stages.1.0.main.") == INSIDE_MBCONV
    assert strip(names, "stages.1.1.main.") == INSIDE_MBCONV
    assert strip(names, "stages.0.0.main.") == INSIDE_MBCONV[2:]
    assert all(name.split(".")[3] == "main" for name in names if name.startswith("stages"))


def test_a_projection_stands_after_the_main_path() -> None:
    names = modules_with_parameters(network("resnet50"))
    assert strip(names, "stages.0.0.") == INSIDE_BOTTLENECK
    assert strip(names, "stages.0.1.") == INSIDE_BOTTLENECK[:6]


def test_a_norm_s_scale_stands_before_its_shift() -> None:
    names = [name for name, _ in network("mobilenet_v1").named_parameters()]
    assert names[:3] == ["stem.conv.weight", "stem.norm.weight", "stem.norm.bias"]
    assert names[-2:] == ["head.classifier.weight", "head.classifier.bias"]


@pytest.mark.parametrize("name", ["efficientnet_b0", "resnet50"])
def test_names_do_not_depend_on_width_and_resolution(name: str) -> None:
    base = scalenet.load(name)
    assert list(shapes(network(name))) == list(shapes(scalenet.build(scalenet.scale(base, width=0.5, resolution=2))))


@settings(max_examples=8)
@given(depth=st.floats(0.3, 2), width=st.floats(0.2, 1.2))
def test_shapes_follow_from_the_architecture_alone(depth: float, width: float) -> None:
    scaled = scalenet.scale(scalenet.load("mobilenet_v2"), depth=depth, width=width)
    built = scalenet.build(scaled)
    assert shapes(built) == shapes(scalenet.build(scaled))
    assert [len(stage) for stage in built.stages] == [stage.depth for stage in scaled.model.stages]  # type: ignore[union-attr]


def dense_and_depthwise(module: nn.Module) -> tuple[nn.Conv2d, nn.Conv2d]:
    """Return the largest dense and the largest depthwise convolution."""
    convolutions = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    dense = max((layer for layer in convolutions if layer.groups == 1), key=lambda layer: layer.weight.numel())
    return dense, max((one for one in convolutions if one.groups > 1), key=lambda one: one.weight.numel())


def test_efficientnet_starts_from_the_official_code_s_values() -> None:
    built = network("efficientnet_b0")
    dense, depthwise = dense_and_depthwise(built)
    assert dense.weight.std().item() == pytest.approx(math.sqrt(2 / dense.out_channels), rel=0.02)
    assert depthwise.weight.std().item() == pytest.approx(math.sqrt(2 / 25), rel=0.03)
    assert abs(dense.weight.mean().item()) < 1e-3
    linear = built.head.classifier  # type: ignore[union-attr]
    assert linear.weight.abs().max().item() == pytest.approx(1 / math.sqrt(1000), rel=1e-3)  # type: ignore[union-attr, operator]
    assert linear.weight.std().item() == pytest.approx(1 / math.sqrt(3000), rel=0.01)  # type: ignore[union-attr, operator]
    assert all((bias == 0).all() for name, bias in built.named_parameters() if name.endswith("bias"))


def test_resnet_starts_from_torchvision_s_distributions() -> None:
    built = network("resnet18")
    stem, linear = built.stem.conv, built.head.classifier  # type: ignore[union-attr]
    assert stem.weight.std().item() == pytest.approx(math.sqrt(2 / (49 * 64)), rel=0.03)  # type: ignore[union-attr, operator]
    for tensor in (linear.weight, linear.bias):  # type: ignore[union-attr]
        assert tensor.abs().max().item() == pytest.approx(1 / math.sqrt(512), rel=0.01)  # type: ignore[union-attr, operator]
    assert linear.bias.std().item() == pytest.approx(1 / math.sqrt(3 * 512), rel=0.1)  # type: ignore[union-attr, operator]


def test_mobilenet_starts_from_a_normal_cut_at_two_standard_deviations() -> None:
    built = network("mobilenet_v2")
    linear = built.head.classifier  # type: ignore[union-attr]
    for tensor in (dense_and_depthwise(built)[0].weight, linear.weight):  # type: ignore[union-attr]
        assert tensor.abs().max().item() <= 0.18  # type: ignore[operator]
        assert tensor.std().item() == pytest.approx(0.09 * 0.8796, rel=0.01)  # type: ignore[operator]
    assert (linear.bias == 0).all()  # type: ignore[union-attr, operator]


@pytest.mark.parametrize("name", ["efficientnet_b0", "resnet18", "mobilenet_v2"])
def test_norms_start_as_the_identity_with_the_architecture_s_numbers(name: str) -> None:
    norm = scalenet.load(name).model.norm
    layers = [layer for layer in network(name).modules() if isinstance(layer, nn.BatchNorm2d)]
    assert all((layer.weight == 1).all() and (layer.bias == 0).all() for layer in layers)
    assert {(layer.eps, layer.momentum) for layer in layers} == {(norm.eps, norm.momentum)}


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_b3"])
def test_block_i_of_n_is_dropped_with_0_2_i_over_n_where_it_has_a_shortcut(name: str) -> None:
    blocks = [block for stage in network(name).stages for block in stage]  # type: ignore[union-attr]
    for number, block in enumerate(blocks):
        if isinstance(block, Branches) and number:
            drop = block.get_submodule("main.drop_path")
            assert isinstance(drop, DropPath)
            assert drop.rate == pytest.approx(0.2 * number / len(blocks))
    assert sum(isinstance(block, Branches) for block in blocks) == sum(
        stage.depth - 1 for stage in scalenet.load(name).model.stages
    )


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_there_is_no_drop_path_where_its_rate_is_zero(name: str) -> None:
    assert not any(isinstance(layer, DropPath) for layer in network(name).modules())


def test_drop_path_in_evaluation_is_the_identity() -> None:
    x = torch.randn(4, 2, 3, 3)
    assert torch.equal(DropPath(0.9).eval()(x), x)


def test_drop_path_in_training_drops_whole_images_and_scales_the_others() -> None:
    out = DropPath(0.25).train()(torch.ones(4000, 2, 3, 3))
    kept = out[:, 0, 0, 0] > 0
    assert torch.equal(out, (kept / 0.75)[:, None, None, None].expand_as(out))
    assert kept.float().mean().item() == pytest.approx(0.75, abs=0.03)
    assert out.mean().item() == pytest.approx(1, abs=0.04)


def test_a_dropped_residual_is_its_shortcut() -> None:
    link = residual(layers.Sequence((("conv", layers.Conv(2, 2, 1, 1, 2)),)))
    block = builder._module(link, drop_path=0.999999).train()
    x = torch.randn(3, 2, 4, 4)
    assert torch.equal(block(x), x)
    assert not torch.equal(block.eval()(x), x)


def test_dropout_stands_before_the_classifier_with_the_architecture_s_rate() -> None:
    names = [name for name, _ in network("efficientnet_b0").head.named_children()]  # type: ignore[union-attr]
    assert names == ["conv", "norm", "act", "pool", "flatten", "dropout", "classifier"]
    assert network("efficientnet_b2").head.dropout.p == presets()["efficientnet_b2"].dropout  # type: ignore[union-attr]


def test_the_global_mean_is_the_adaptive_pool() -> None:
    x = torch.randn(2, 3, 5, 7)
    assert torch.allclose(GlobalMean()(x), nn.AdaptiveAvgPool2d(1)(x))


def test_a_network_does_not_change_its_input() -> None:
    for name in QUICK:
        images = torch.randn(2, 3, 32, 32)
        before = images.clone()
        network(name).train()(images)
        assert torch.equal(images, before)


@pytest.mark.parametrize("name", QUICK)
def test_the_gradient_reaches_every_parameter(name: str) -> None:
    architecture = scalenet.scale(scalenet.load(name), width=0.25)
    built = scalenet.build(architecture, classes=5).train()
    built.requires_grad_(True)
    images, labels = torch.randn(8, 3, 64, 64), torch.arange(8) % 5
    nn.functional.cross_entropy(built(images), labels).backward()
    missing = [name for name, parameter in built.named_parameters() if parameter.grad is None]
    assert missing == []
    assert all(torch.isfinite(parameter.grad).all() for parameter in built.parameters())  # type: ignore[arg-type]
    flat = [name for name, one in built.named_parameters() if not one.grad.any() and name.endswith("conv.weight")]  # type: ignore[union-attr]
    assert flat == []


@pytest.mark.parametrize("name", QUICK)
def test_a_printed_network_shows_what_is_there_and_nothing_else(name: str) -> None:
    text = repr(network(name))
    assert "Identity" not in text
    assert "None" not in text
    for part in ("(stem)", "(stages)", "(head)", "(classifier)"):
        assert part in text


def test_a_printed_block_reads_like_the_paper() -> None:
    block = network("efficientnet_b0").stages[1][1]  # type: ignore[index]
    names = [line.strip().split(":")[0] for line in repr(block).splitlines() if ":" in line]
    order = ["(main)", "(expand)", "(conv)", "(norm)", "(act)", "(depthwise)", "(se)", "(project)", "(drop_path)"]
    positions = [names.index(name) for name in order]
    assert all(first < second for first, second in pairwise(positions))
    assert "DropPath(rate=0.025)" in repr(block)


@pytest.mark.parametrize("before", [layers.Dropout(0.5), layers.Flatten()])
def test_an_activation_works_in_place_only_on_what_was_just_made(before: layers.Layer) -> None:
    tree = layers.Sequence((("before", before), ("act", layers.Activation("relu"))))
    module, x = builder._module(tree).eval(), -torch.ones(1, 2, 2, 2)
    module(x)
    assert (x == -1).all()
