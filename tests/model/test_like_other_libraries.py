"""Networks equal those of torchvision and timm: shapes everywhere, outputs where the libraries can be imported.

Weights go over by position. `REORDERED` says where a tensor stands elsewhere in the other library's order.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import yaml

import scalenet

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

GOLDEN = yaml.safe_load((Path(__file__).parents[1] / "golden" / "tensors_elsewhere.yaml").read_text(encoding="utf-8"))


def layer_scale_behind(tensors: list[Tensor]) -> list[Tensor]:
    """ConvNeXt's layer scale stands in front of its block's other eight tensors there."""
    result: list[Tensor] = []
    rest = list(tensors)
    while rest:
        scales = rest[0].dim() == 1 and len(rest) > 1 and rest[1].dim() == 4 and rest[1].shape[1] == 1
        taken, rest = (rest[1:9] + rest[:1], rest[9:]) if scales else (rest[:1], rest[1:])
        result += taken
    return result


def position_behind(tensors: list[Tensor]) -> list[Tensor]:
    """ViT's positions stand in front of its stem there, as a row of places with channels last."""
    position, kernel, bias, *rest = tensors
    return [kernel, bias, position.transpose(1, 2), *rest]


REORDERED: dict[str, Callable[[list[Tensor]], list[Tensor]]] = {
    "convnext_tiny": layer_scale_behind,
    "convnext_atto": layer_scale_behind,
    "vit_small": position_behind,
}

SIZES = {"inception_v3": 79, "squeezenet1_0": 65, "vit_small": 64, "vgg16": 32, "vgg16_bn": 33}


@cache
def other_libraries() -> bool:
    """Return whether timm and torchvision are here; without its operators the latter wants two of them declared."""
    if find_spec("timm") is None or find_spec("torchvision") is None:
        return False
    operators = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    other_libraries.kept = operators  # type: ignore[attr-defined]
    return True


def other_network(row: dict[str, Any]) -> nn.Module:
    """Build the other library's network with random weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = import_module("timm" if row["library"] == "timm" else "torchvision.models")
        make = library.create_model if row["library"] == "timm" else library.get_model
        network: nn.Module = make(row.get("name_there", row["name"]), **row.get("options", {}))
    return network


def tensors_of(network: nn.Module) -> list[Tensor]:
    return [tensor for name, tensor in network.state_dict().items() if not name.endswith("num_batches_tracked")]


def shapes_digest(tensors: list[Tensor]) -> str:
    """Return the digest of the shapes in order; sides of one are left out, for linear layers may be convolutions."""
    shapes = [[side for side in tensor.shape if side != 1] for tensor in tensors]
    return hashlib.sha256(json.dumps(shapes).encode()).hexdigest()


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: row["name"])
def test_tensors_have_the_order_and_shapes_of_the_other_library(row: dict[str, Any]) -> None:
    with torch.device("meta"):
        tensors = tensors_of(scalenet.build(scalenet.load(row["name"])))
    if row["name"] == "vit_small":
        tensors[2] = tensors[2].flatten(1)  # there, places stand in a row
    assert (len(tensors), shapes_digest(tensors)) == (row["tensors"], row["shapes"])


@pytest.mark.skipif(not other_libraries(), reason="timm and torchvision are not installed")
@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: row["name"])
def test_outputs_are_the_other_library_s(row: dict[str, Any]) -> None:
    name = row["name"]
    size = SIZES.get(name, 71)
    if name == "vit_small":
        row = {**row, "options": {**row["options"], "img_size": size}}
    theirs = other_network(row)
    ours = scalenet.build(scalenet.load(name).at(size))
    there = REORDERED.get(name, list)(tensors_of(theirs))
    assert name == "vit_small" or shapes_digest(there) == row["shapes"]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for one, other in zip(tensors_of(ours), there, strict=True):
            a_number_a_channel = one.numel() == max(one.shape)
            drawn = torch.rand(one.shape, generator=generator) + 0.5 if a_number_a_channel else one
            one.copy_(drawn)
            other.copy_(drawn.reshape(other.shape))
        images = torch.rand(2, 3, size, size, generator=generator, dtype=torch.float64)
        expected, found = (network.double().eval()(images) for network in (theirs, ours))
    assert expected.std() > 0
    assert torch.equal(found.argmax(1), expected.argmax(1))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))
