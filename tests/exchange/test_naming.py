"""Our tensors have the names and shapes that other libraries give theirs, read from their networks once."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

import scalenet
from scalenet.exchange.known import counterparts, imagenet_classes, published
from scalenet.exchange.matching import fits, shapes
from scalenet.exchange.naming import names_in

if TYPE_CHECKING:
    from scalenet.exchange.naming import Library

GOLDEN = Path(__file__).parents[1] / "golden" / "state_dicts.json.xz"
STATES: dict[str, list[tuple[str, list[int]]]] = json.loads(lzma.decompress(GOLDEN.read_bytes()))

LIBRARIES: dict[str, Library] = {"tv": "torchvision", "timm": "timm", "hf": "huggingface"}
OURS = {
    "hf_efficientnet_b0_bare": "efficientnet_b0",
    "hf_regnet_y": "regnet_y_4gf",
    "timm_mnasnet_100": "mnasnet_b1",
    "timm_mobilenetv2_100": "mobilenet_v2",
    "timm_mobilenetv3_large_100": "mobilenet_v3_large",
    "timm_mobilenetv3_small_100": "mobilenet_v3_small",
    "timm_regnety_004": "regnet_y_400mf",
    "timm_tf_efficientnetv2_s": "efficientnet_v2_s",
    "tv_mnasnet1_0": "mnasnet_b1",
}


@pytest.mark.parametrize("name", STATES)
def test_names_and_shapes_are_theirs(name: str) -> None:
    library, _, plain = name.partition("_")
    model = scalenet.load(OURS.get(name, plain)).model
    with torch.device("meta"):
        network = scalenet.build(model)
    theirs = {
        one: shape
        for one, shape in STATES[name]
        if not one.endswith("num_batches_tracked") and not one.startswith("AuxLogits.")
    }
    names, ours = names_in(LIBRARIES[library], network, model), shapes(network)
    assert set(names.values()) == set(theirs)
    wrong = [(one, other) for one, other in names.items() if not fits(torch.Size(theirs[other]), ours[one])]
    assert [one for one in wrong if not one[0].startswith("head.classifier.")] == []


def test_what_is_known_of_other_libraries_is_of_networks_of_ours() -> None:
    rows = {(row.library, row.name): row for row in counterparts()}
    assert len(rows) == len(counterparts())
    for row in rows.values():
        assert row.applied(scalenet.load(row.network).model).head.classes == 1000
    assert {(one.library, one.name) for one in published()} <= set(rows)
    assert all(0 < one.images.crop <= 1 for one in published())
    assert len({*imagenet_classes()}) == 1000


@pytest.mark.parametrize(("library", "network"), [("huggingface", "vgg16"), ("torchvision", "repvgg_a0")])
def test_a_library_without_the_family_is_told(library: Library, network: str) -> None:
    model = scalenet.load(network).model
    with torch.device("meta"), pytest.raises(scalenet.ScalenetError, match="has no network of blocks such as"):
        names_in(library, scalenet.build(model), model)
