"""Measuring with fvcore: in evaluation mode, everything as before afterwards, nothing swallowed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

import scalenet

if TYPE_CHECKING:
    from collections.abc import Iterator


class Curious(nn.Module):
    """Has operators that fvcore does not know, and a layer that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Linear(3, 4)
        self.idle = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.erfinv(self.used(x).tanh()).cumsum(1)


class Broken(nn.Module):
    """Fails when it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError(f"broken for {tuple(x.shape)}")


class Witness(nn.Module):
    """Fails where gradients are recorded while it runs."""

    def forward(self, x: Tensor) -> Tensor:
        assert not torch.is_grad_enabled(), "gradients are recorded"
        return x


class Pair(nn.Module):
    """Takes two tensors and multiplies matrices."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return left @ right


def norm_net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())


IMAGE = torch.zeros(1, 3, 16, 16)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_batch_norm_counts_two_an_element_even_for_a_module_in_training_mode() -> None:
    counted = scalenet.measure(norm_net().train(), IMAGE)
    assert counted.flops_by_operator["batch_norm"] == 2 * 8 * 14 * 14
    assert counted.flops == counted.flops_by_operator["conv"] == 14 * 14 * 8 * 3 * 9


def test_every_submodule_has_its_own_mode_back() -> None:
    module = norm_net().train()
    module[1].eval()  # type: ignore[index]
    scalenet.measure(module, IMAGE)
    assert [child.training for child in module.modules()] == [True, True, False, True]


def test_running_statistics_are_not_touched() -> None:
    module = norm_net().train()
    scalenet.measure(module, torch.ones(1, 3, 16, 16))
    assert module[1].num_batches_tracked == 0  # type: ignore[index]
    assert torch.equal(module[1].running_mean, torch.zeros(8))  # type: ignore[index, arg-type]


def test_no_gradients_are_recorded() -> None:
    assert scalenet.measure(Witness(), IMAGE).flops == 0


@pytest.mark.parametrize("enabled", [True, False])
def test_gradient_mode_is_as_before(enabled: bool) -> None:
    with torch.set_grad_enabled(enabled):
        scalenet.measure(norm_net(), IMAGE)
        assert torch.is_grad_enabled() is enabled


def test_the_number_of_threads_is_as_before(threads: int) -> None:
    scalenet.measure(norm_net(), IMAGE)
    assert torch.get_num_threads() == threads


def test_random_numbers_are_not_touched() -> None:
    network = scalenet.build(scalenet.load("efficientnet_b0")).train()
    before = torch.get_rng_state()
    scalenet.measure(network, torch.zeros(1, 3, 32, 32))
    assert torch.equal(torch.get_rng_state(), before)


def test_after_a_failure_everything_is_as_before(threads: int) -> None:
    module = Broken().train()
    level = logging.getLogger("fvcore").level
    with pytest.raises(RuntimeError, match="broken"):
        scalenet.measure(module, torch.zeros(1, 3))
    assert module.layer.training
    assert torch.is_grad_enabled()
    assert torch.get_num_threads() == threads
    assert logging.getLogger("fvcore").level == level


def test_operators_that_fvcore_does_not_count_are_shown() -> None:
    assert scalenet.measure(Curious(), torch.zeros(1, 3)).unsupported == {
        "aten::cumsum": 1,
        "aten::erfinv": 1,
        "aten::tanh": 1,
    }


def test_modules_that_never_run_are_shown() -> None:
    counted = scalenet.measure(Curious(), torch.zeros(1, 3))
    assert counted.uncalled == ("idle",)
    assert counted.params == 3 * 4 + 4 + 3 * 3 + 3


def test_nothing_is_printed_or_logged(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    scalenet.measure(Curious(), torch.zeros(1, 3))
    assert capsys.readouterr() == ("", "")
    assert caplog.records == []


def test_counts_are_given_for_every_module_by_name() -> None:
    counted = scalenet.measure(norm_net(), IMAGE)
    assert counted.flops_by_module[""] == {**counted.flops_by_module["0"], **counted.flops_by_module["1"]}
    assert counted.flops_by_module["1"] == {"batch_norm": counted.flops_by_operator["batch_norm"]}


def test_a_batch_of_two_costs_twice_as_much() -> None:
    module = norm_net()
    one, two = scalenet.measure(module, IMAGE), scalenet.measure(module, torch.cat([IMAGE, IMAGE]))
    assert two.flops == 2 * one.flops
    assert two.activations == 2 * one.activations
    assert two.params == one.params


def test_several_inputs_are_given_as_a_tuple_and_matrix_products_are_flops() -> None:
    counted = scalenet.measure(Pair(), (torch.zeros(2, 3), torch.zeros(3, 5)))
    assert counted.flops == 2 * 3 * 5


def test_layers_that_run_without_an_operator_are_not_uncalled() -> None:
    assert scalenet.measure(scalenet.build(scalenet.load("efficientnet_b0")), torch.zeros(1, 3, 32, 32)).uncalled == ()
