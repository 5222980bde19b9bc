"""Networks of transformers, where it is installed: their folders in, with the same outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from elsewhere import drawn, hub_folder
from neighbours import neighbour

import scalenet

if TYPE_CHECKING:
    from pathlib import Path

SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet": ("ResNet", {"hidden_sizes": [16, 32, 64], "depths": [1, 2, 1]}),
    "resnet of basic layers": ("ResNet", {"hidden_sizes": [16, 32], "depths": [1, 2], "layer_type": "basic"}),
    "regnet": ("RegNet", {"hidden_sizes": [16, 32], "depths": [1, 2], "groups_width": 8}),
    "regnet x": ("RegNet", {"hidden_sizes": [16, 32], "depths": [1, 2], "groups_width": 8, "layer_type": "x"}),
    "convnext": ("ConvNext", {"hidden_sizes": [16, 32], "depths": [1, 2], "layer_norm_eps": 1e-6, "num_stages": 2}),
    "mobilenet_v1": ("MobileNetV1", {"depth_multiplier": 0.25}),
    "mobilenet_v2": ("MobileNetV2", {"depth_multiplier": 0.35}),
    "mobilenet_v2 padded alike": ("MobileNetV2", {"depth_multiplier": 0.35, "tf_padding": False}),
    "efficientnet": ("EfficientNet", {"width_coefficient": 0.5, "depth_coefficient": 1.0, "hidden_dim": 640}),
    "efficientnet b1": (
        "EfficientNet",
        {"width_coefficient": 1.0, "depth_coefficient": 1.1, "hidden_dim": 1280, "depthwise_padding": [16]},
    ),
}
SIZES = {"efficientnet b1": 240}


@pytest.mark.parametrize("name", SMALL)
@torch.no_grad()
def test_a_folder_computes_as_theirs(tmp_path: Path, name: str) -> None:
    transformers = neighbour("transformers")
    kind, options = SMALL[name]
    size = SIZES.get(name, 64)
    config = getattr(transformers, f"{kind}Config")(**options, image_size=size, num_labels=5)
    theirs = drawn(getattr(transformers, f"{kind}ForImageClassification")(config)).double()
    folder = hub_folder(tmp_path / "hub", config.to_dict(), theirs.float().state_dict(), {})
    found = scalenet.import_weights(folder, tmp_path / "run", mean=(0, 0, 0), std=(1, 1, 1), say=None)
    images = torch.rand(2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = theirs.double()(images).logits
    assert expected.std() > 1e-3
    torch.testing.assert_close(found.module().double()(images), expected, rtol=1e-9, atol=1e-9 * float(expected.std()))
