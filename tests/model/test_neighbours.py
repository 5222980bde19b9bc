"""Networks equal those of torchvision and timm: the same tensors in the same order, and the same outputs with them."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import yaml

import scalenet

if TYPE_CHECKING:
    from torch import Tensor, nn

SHAPES: dict[str, str] = yaml.safe_load(
    (Path(__file__).parents[1] / "golden" / "tensor_shapes.yaml").read_text(encoding="utf-8")
)

THEIRS: dict[str, tuple[str, dict[str, Any]]] = {
    "efficientnet_v2_b0": ("timm/tf_efficientnetv2_b0", {}),
    "efficientnet_v2_s": ("torchvision/efficientnet_v2_s", {}),
    "mnasnet_a1": ("timm/semnasnet_100", {"bn_eps": 0.001}),
    "mnasnet_b1": ("torchvision/mnasnet1_0", {}),
    "mobilenet_v3_large": ("torchvision/mobilenet_v3_large", {}),
    "mobilenet_v3_small": ("torchvision/mobilenet_v3_small", {}),
    "regnet_x_400mf": ("torchvision/regnet_x_400mf", {}),
    "regnet_y_400mf": ("torchvision/regnet_y_400mf", {}),
    "regnet_y_4gf": ("timm/regnety_040", {}),
    "resnet50d": ("timm/resnet50d", {}),
    "resnext50_32x4d": ("torchvision/resnext50_32x4d", {}),
    "resnext101_32x8d": ("torchvision/resnext101_32x8d", {}),
    "seresnet50": ("timm/seresnet50", {}),
    "wide_resnet50_2": ("torchvision/wide_resnet50_2", {}),
}
SIZE = 65
"""Each map that is strided over has odd sides: there TensorFlow's padding, which some of timm have, is symmetric."""


def made(place: str, options: dict[str, Any]) -> nn.Module:
    """Return a neighbour's network, or skip where its library is not installed."""
    library, _, name = place.partition("/")
    if find_spec("torchvision") is None or find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    for operator in ("nms", "qnms"):  # what torchvision wants and the CPU build of torch cannot load
        if not hasattr(torch.ops.torchvision, operator):
            schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{operator}", schema)
    if library == "timm":
        network: nn.Module = import_module("timm").create_model(name, **options)
    else:
        network = import_module("torchvision.models").get_model(name, weights=None, **options)
    return network


def in_our_order(state: dict[str, Tensor]) -> list[Tensor]:
    """Return tensors with each projection behind its block's main path, where torchvision's RegNet has it in front."""
    parts: dict[str, list[Tensor]] = {}
    for name, tensor in state.items():
        block = name.rpartition(".proj.")[0] or name.rpartition(".f.")[0] or name
        parts.setdefault(block, [])
        if ".proj." not in name:
            parts[block].append(tensor)
    for name, tensor in state.items():
        if ".proj." in name:
            parts[name.rpartition(".proj.")[0]].append(tensor)
    return [tensor for tensors in parts.values() for tensor in tensors]


def fill(network: nn.Module) -> None:
    """Give a network statistics and biases that are no zeros and ones."""
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith(("running_mean", "bias")):
            tensor.uniform_(-0.2, 0.2)


@pytest.mark.parametrize("name", THEIRS)
def test_the_tensors_are_theirs_in_order_and_shape(name: str) -> None:
    with torch.device("meta"):
        state = scalenet.build(scalenet.load(name)).state_dict()
    weights = ["x".join(map(str, tensor.shape)) for tensor in state.values() if tensor.ndim > 1]
    assert weights == SHAPES[name].split()


@pytest.mark.parametrize("name", THEIRS)
@torch.no_grad()
def test_the_outputs_are_theirs_with_their_tensors(name: str) -> None:
    torch.manual_seed(0)
    theirs = made(*THEIRS[name]).double().eval()
    fill(theirs)
    ours = scalenet.build(scalenet.load(name)).double().eval()
    own = ours.state_dict()
    tensors = in_our_order(theirs.state_dict())
    assert [tensor.shape for tensor in tensors] == [tensor.shape for tensor in own.values()]
    ours.load_state_dict(dict(zip(own, tensors, strict=True)))
    images = torch.randn(2, 3, SIZE, SIZE, dtype=torch.float64)
    expected = theirs(images)
    assert expected.std() > 1e-3
    assert torch.allclose(ours(images), expected, rtol=1e-9, atol=1e-9 * float(expected.std()))
