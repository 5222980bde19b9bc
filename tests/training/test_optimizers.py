"""Optimisers: TensorFlow's RMSProp by its definition, and which parameters decay or learn more slowly."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scalenet import build, load
from scalenet.training.optimizers import RmspropTensorflow, optimizer
from scalenet.training.recipe import change, load_recipe


def test_rmsprop_is_tensorflows() -> None:
    weight = nn.Parameter(torch.tensor([2.0]))
    steps = RmspropTensorflow([weight], lr=0.1, decay=0.9, momentum=0.8, eps=0.001)
    square, speed, value = 1.0, 0.0, 2.0
    for gradient, rate in ((3.0, 0.1), (-1.0, 0.1), (0.5, 0.01)):
        steps.param_groups[0]["lr"] = rate
        weight.grad = torch.tensor([gradient])
        steps.step()
        square = 0.9 * square + 0.1 * gradient**2
        speed = 0.8 * speed + rate * gradient / (square + 0.001) ** 0.5
        value -= speed
        assert weight.item() == pytest.approx(value, rel=1e-6)


def test_weight_decay_is_added_to_the_gradient() -> None:
    one, two = (nn.Parameter(torch.tensor([2.0])) for _ in range(2))
    decaying = RmspropTensorflow([{"params": [one], "weight_decay": 0.5}], lr=0.1, decay=0.9, momentum=0.0, eps=0.001)
    plain = RmspropTensorflow([two], lr=0.1, decay=0.9, momentum=0.0, eps=0.001)
    one.grad, two.grad = torch.tensor([1.0]), torch.tensor([2.0])
    decaying.step()
    plain.step()
    assert torch.equal(one, two)


@pytest.mark.parametrize("kind", ["rmsprop", "rmsprop_tf", "sgd", "adamw"])
def test_norms_do_not_decay_and_the_body_learns_at_its_own_rate(kind: str) -> None:
    network = build(load("mobilenet_v2"), classes=5)
    recipe = change(load_recipe("finetune"), [("optimizer.kind", kind), ("optimizer.weight_decay", 0.01)])
    groups = optimizer(network, recipe).param_groups
    found = {id(parameter): group for group in groups for parameter in group["params"]}
    assert len(found) == len(list(network.parameters()))
    for name, parameter in network.named_parameters():
        group = found[id(parameter)]
        assert group["factor"] == (1.0 if name.startswith("head.classifier") else 0.1), name
        # Only the scales and shifts of norms, and the biases, are vectors; the classifier's bias decays as well.
        norm = parameter.ndim == 1 and not name.startswith("head.classifier")
        assert group["weight_decay"] == (0.0 if norm else 0.01), name


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_a_step_is_torchs_plain_one_wherever_gradients_lie_in_memory(kind: str, order: torch.memory_format) -> None:
    torch.manual_seed(0)
    networks = [nn.Conv2d(6, 4, 3) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    recipe = change(load_recipe("finetune"), [("optimizer.kind", kind), ("optimizer.weight_decay", 0.01)])
    ours, plain = (optimizer(network, recipe) for network in networks)
    for group in plain.param_groups:
        group["fused"] = group["foreach"] = False
    for _ in range(3):
        for one, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
            other.grad = torch.randn_like(other)
            one.grad = other.grad.contiguous(memory_format=order) if one.ndim == 4 else other.grad.clone()
        ours.step()
        plain.step()
    for one, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)
