"""Memory by measurement equals the formula's, and what one can count by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import scalenet
from scalenet.costs.live import peak_memory


@pytest.mark.parametrize("name", ["small_resnet", "mobilenet_v2", "efficientnet_b0"])
def test_it_is_the_formulas_for_described_networks(name: str) -> None:
    architecture = scalenet.load(name)
    images = torch.zeros(1, 3, *architecture.model.size)
    assert peak_memory(scalenet.build(architecture), images) == scalenet.memory(architecture).peak


class Freed(nn.Module):
    """Makes three maps, of which at most two are alive beside the input."""

    def forward(self, x: Tensor) -> Tensor:
        y = x + 1
        z = y.view(-1)[:2]
        y = y * 2
        return y + z[0]


def test_what_is_freed_counts_no_more_and_a_view_is_no_copy() -> None:
    assert peak_memory(Freed(), torch.zeros(10, 10)) == 4 * 100 * 4
    assert peak_memory(nn.Identity(), torch.zeros(10, 10, dtype=torch.float64)) == 100 * 8
    assert peak_memory(nn.ReLU(inplace=True), {"input": torch.zeros(10)}) == 40


def test_the_module_is_as_before_and_what_reads_values_is_measured_too() -> None:
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.BatchNorm1d(4)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x) if float(x.sum()) == 0 else x

    module = Reads().train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert peak_memory(module, torch.zeros(2, 4)) > 0
    assert module.training
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
