"""A module, what it reaches, its input and all random states are as before, also where forward writes to them."""

from __future__ import annotations

import random
import threading
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import scalenet


class Notes:
    """A helper that is no module, as cache objects of other libraries are."""

    def __init__(self) -> None:
        self.kept: list[Tensor] = []


class Dirty(nn.Module):
    """Writes to whatever it can reach, and draws from every source of random numbers."""

    calls: ClassVar[list[int]] = []

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.seen: list[int] = []
        self.plain = torch.ones(3)
        self.nested = {"tensors": [torch.ones(2)]}
        self.notes = Notes()
        self.lock = threading.Lock()
        self.register_buffer("runs", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.layer.weight.data.clamp_(0)
        self.layer.bias.data = torch.zeros(8)
        self.seen.append(1)
        self.plain.add_(1)
        self.nested["tensors"][0].mul_(5)
        self.nested["more"] = []
        self.notes.kept.append(x)
        self.calls.append(1)
        self.runs += 1
        self.new = x
        x.add_(1)
        random.random()
        np.random.rand()
        torch.rand(1)
        return self.layer(x)


def test_everything_is_as_before() -> None:
    module, x = Dirty(), torch.ones(4, 8)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    kept = {name: id(value) for name, value in module.state_dict(keep_vars=True).items()}
    versions = {name: value._version for name, value in module.named_parameters()}
    assert scalenet.measure(module, x).flops == 4 * 8 * 8
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert kept == {name: id(value) for name, value in module.state_dict(keep_vars=True).items()}
    assert versions == {name: value._version for name, value in module.named_parameters()}
    assert (module.seen, module.notes.kept, Dirty.calls) == ([], [], [])
    assert torch.equal(module.plain, torch.ones(3))
    assert list(module.nested) == ["tensors"]
    assert torch.equal(module.nested["tensors"][0], torch.ones(2))
    assert not hasattr(module, "new")
    assert torch.equal(x, torch.ones(4, 8))


def test_what_a_hook_holds_is_as_before() -> None:
    outputs: list[Tensor] = []
    module = nn.Linear(8, 8)
    module.register_forward_hook(lambda *given: outputs.append(given[-1]))
    scalenet.measure(module, torch.ones(4, 8))
    assert outputs == []


class Reader(nn.Module):
    """Reads a value, so that it is run with others, and draws."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.isfinite().all()
        return x + torch.rand(()) + random.random() + np.random.rand()


@pytest.mark.parametrize("module", [Dirty(), Reader()], ids=["draws", "reads and draws"])
def test_all_random_states_are_as_before(module: nn.Module) -> None:
    expected = [(torch.rand(1).item(), random.random(), np.random.rand()) for _ in _seeded()]
    for _ in _seeded():
        scalenet.measure(module, torch.ones(4, 8))
        assert [(torch.rand(1).item(), random.random(), np.random.rand())] == expected


def _seeded() -> range:
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)
    return range(1)


def test_a_module_that_fails_is_as_before_too() -> None:
    class Fails(Dirty):
        def forward(self, x: Tensor) -> Tensor:
            super().forward(x)
            raise RuntimeError("no")

    module, x = Fails(), torch.ones(4, 8)
    with pytest.raises(RuntimeError, match="no"):
        scalenet.measure(module, x)
    assert (module.seen, module.notes.kept, module.runs.item()) == ([], [], 0)
    assert torch.equal(x, torch.ones(4, 8))
