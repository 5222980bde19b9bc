"""Networks equal those of torchvision and timm: the same tensors in the same order, and the same outputs with them.

Weights go over by the names that `scalenet.exchange` says they have there.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import yaml
from neighbours import neighbour

import scalenet
from scalenet.exchange.matching import matched

if TYPE_CHECKING:
    from torch import Tensor, nn

GOLDEN = Path(__file__).parents[1] / "golden"
SHAPES: dict[str, str] = yaml.safe_load((GOLDEN / "tensor_shapes.yaml").read_text(encoding="utf-8"))
ELSEWHERE: list[dict[str, Any]] = yaml.safe_load((GOLDEN / "tensors_elsewhere.yaml").read_text(encoding="utf-8"))

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
THEIRS |= {
    row["name"]: (f"{row['library']}/{row.get('name_there', row['name'])}", row.get("options", {})) for row in ELSEWHERE
}
SIZES = dict.fromkeys(SHAPES, 65) | {
    "inception_resnet_v2": 79,
    "inception_v3": 79,
    "squeezenet1_0": 65,
    "vit_small": 64,
    "vgg16": 32,
    "vgg16_bn": 33,
}
"""Each map that is strided over has odd sides: there TensorFlow's padding, which some of timm have, is symmetric."""


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: one for name, one in network.state_dict().items() if not name.endswith("num_batches_tracked")}


def made(place: str, options: dict[str, Any]) -> nn.Module:
    """Return a neighbour's network with random weights, or skip where its library is not installed."""
    library, _, name = place.partition("/")
    timm = library == "timm"
    there = neighbour(library, "" if timm else ".models")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if timm:
            network: nn.Module = there.create_model(name, **options)
        else:
            network = there.get_model(name, weights=None, **options)
    return network


def shapes_digest(tensors: list[Tensor]) -> str:
    """Return the digest of the shapes in order; sides of one are left out, for linear layers may be convolutions."""
    shapes = [[side for side in tensor.shape if side != 1] for tensor in tensors]
    return hashlib.sha256(json.dumps(shapes).encode()).hexdigest()


@pytest.mark.parametrize("name", SHAPES)
def test_the_tensors_are_theirs_in_order_and_shape(name: str) -> None:
    with torch.device("meta"):
        state = scalenet.build(scalenet.load(name)).state_dict()
    weights = ["x".join(map(str, tensor.shape)) for tensor in state.values() if tensor.ndim > 1]
    assert weights == SHAPES[name].split()


@pytest.mark.parametrize("row", ELSEWHERE, ids=lambda row: row["name"])
def test_the_tensors_are_theirs_by_number_and_digest(row: dict[str, Any]) -> None:
    with torch.device("meta"):
        tensors = list(tensors_of(scalenet.build(scalenet.load(row["name"]))).values())
    if row["name"] == "vit_small":
        tensors[2] = tensors[2].flatten(1)  # there, places stand in a row
    assert (len(tensors), shapes_digest(tensors)) == (row["tensors"], row["shapes"])


@pytest.mark.parametrize("name", THEIRS)
@torch.no_grad()
def test_the_outputs_are_theirs_with_their_tensors(name: str) -> None:
    place, options = THEIRS[name]
    size = SIZES.get(name, 71)
    theirs = made(place, options | ({"img_size": size} if name == "vit_small" else {}))
    ours = scalenet.build(scalenet.load(name).at(size))
    generator = torch.Generator().manual_seed(0)
    for tensor in tensors_of(theirs).values():
        if tensor.numel() == max(tensor.shape):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    library: Any = place.partition("/")[0]
    ours.load_state_dict(matched(tensors_of(theirs), library, scalenet.load(name).at(size), place))
    images = torch.rand(2, 3, size, size, generator=generator, dtype=torch.float64)
    expected, found = (network.double().eval()(images) for network in (theirs, ours))
    assert expected.std() > 1e-3
    assert torch.equal(found.argmax(1), expected.argmax(1))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * float(expected.std()))
