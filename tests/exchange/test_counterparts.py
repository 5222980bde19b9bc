"""Networks of other libraries compute what `networks.csv` says of them, at even sizes too, where they are installed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from elsewhere import drawn
from neighbours import neighbour

from scalenet.arch.registry import names
from scalenet.exchange.known import counterparts
from scalenet.exchange.matching import known_network, matched
from scalenet.model.builder import build
from scalenet.scaling.scaler import load

ROWS = {f"{row.library}/{row.name}": row for row in counterparts()}
TRIED = (
    *("torchvision/efficientnet_b1", "torchvision/mobilenet_v2", "torchvision/mnasnet1_0"),
    *("timm/efficientnet_b0", "timm/tf_efficientnet_b0", "timm/tf_efficientnet_lite0", "timm/tinynet_e"),
    *("timm/mobilenetv1_100", "timm/mobilenetv3_small_100", "timm/tf_mobilenetv3_small_100"),
    *("timm/tf_efficientnetv2_b0", "timm/semnasnet_100", "timm/regnety_004"),
)


def test_the_page_names_the_baselines_that_no_library_has_as_they_stand() -> None:
    page = (Path(__file__).parents[2] / "docs" / "architectures.md").read_text(encoding="utf-8")
    exceptions = page.partition("Some have no equal there:")[2].partition("## Baselines")[0]
    alike = {row.network for row in counterparts() if row.applied(model := load(row.network).model) == model}
    other = {row.network for row in counterparts()} - alike
    assert "efficientnet_v2_b0" in other
    assert {name for name in names() if f"`{name}`" in exceptions} - {"small_resnet", "vit_small"} == other & {*names()}


@pytest.mark.parametrize("place", TRIED)
@pytest.mark.parametrize("size", [64, 75])
@torch.no_grad()
def test_a_network_computes_as_theirs(place: str, size: int) -> None:
    row = ROWS[place]
    library = neighbour(row.library, "" if row.library == "timm" else ".models")
    create = library.create_model if row.library == "timm" else library.get_model
    options: dict[str, Any] = {} if row.library == "timm" else {"weights": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = drawn(create(row.name, **options)).double()
    base = known_network(row.network)
    ours = build(row.applied(base.model).at(size)).double().eval()
    tensors = {name: one for name, one in theirs.state_dict().items() if not name.endswith("num_batches_tracked")}
    ours.load_state_dict(matched(tensors, row.library, base, place))
    images = torch.rand(2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = theirs(images)
    assert expected.std() > 1e-6
    torch.testing.assert_close(ours(images), expected, rtol=1e-9, atol=1e-9 * float(expected.std()))
