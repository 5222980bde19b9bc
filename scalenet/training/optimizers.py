"""Optimisers as recipes name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from scalenet.training import recipe as recipes

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSIFIER = "head.classifier."
"""How the names of the classifier's parameters begin."""


class RmspropTensorflow(torch.optim.Optimizer):
    """RMSProp as TensorFlow 1 has it (`ApplyRMSProp`), with which the paper's networks were trained.

    Unlike PyTorch's, `eps` lies inside the root, the mean square starts at 1, and the momentum collects steps that the
    rate of their time has multiplied already.
    """

    def __init__(self, params: Any, *, lr: float, decay: float, momentum: float, eps: float) -> None:
        super().__init__(params, {"lr": lr, "decay": decay, "momentum": momentum, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take a step; parameters without a gradient stay."""
        assert closure is None, "closures are not taken"
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                self._step(group, parameters)

    def _step(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        squares, speeds = (self._states(parameters, name) for name in ("square", "momentum"))
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if group["weight_decay"]:
            gradients = list(torch._foreach_add(gradients, parameters, alpha=group["weight_decay"]))
        torch._foreach_mul_(squares, group["decay"])
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - group["decay"])
        roots = list(torch._foreach_add(squares, group["eps"]))
        torch._foreach_sqrt_(roots)
        torch._foreach_mul_(speeds, group["momentum"])
        torch._foreach_addcdiv_(speeds, gradients, roots, group["lr"])
        torch._foreach_sub_(parameters, speeds)

    def _states(self, parameters: list[Tensor], name: str) -> list[Tensor]:
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter] = {
                    "square": torch.ones_like(parameter),
                    "momentum": torch.zeros_like(parameter),
                }
        return [self.state[parameter][name] for parameter in parameters]


def optimizer(module: nn.Module, recipe: recipes.Recipe) -> torch.optim.Optimizer:
    """Return the recipe's optimiser; each group of parameters has a `factor` of the learning rate.

    On a CPU those that torch has as one pass over the weights take it: they are bound by memory.
    """
    wanted = recipe.optimizer
    groups = [group for group in _groups(module, wanted) if group["params"]]
    fused = True if next(module.parameters()).device.type == "cpu" and recipe.precision != "float16" else None
    rate = wanted.lr
    match wanted:
        case recipes.Sgd(momentum=momentum):
            return _aligned(torch.optim.SGD(groups, rate, momentum, nesterov=momentum > 0, fused=fused))
        case recipes.AdamW():
            betas = wanted.beta1, wanted.beta2
            return _aligned(torch.optim.AdamW(groups, rate, betas, wanted.eps, fused=fused))
        case recipes.Rmsprop():
            return torch.optim.RMSprop(
                groups, lr=wanted.lr, alpha=wanted.decay, momentum=wanted.momentum, eps=wanted.eps
            )
        case recipes.RmspropTensorflow():
            return RmspropTensorflow(groups, lr=wanted.lr, decay=wanted.decay, momentum=wanted.momentum, eps=wanted.eps)


def _aligned(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Have gradients lie in memory as their weights do: one pass over both goes by their places there alone.

    Autograd makes them so; whatever else sets one is not to be wrong in silence.
    """

    def align(optimizer: torch.optim.Optimizer, _: object, __: object) -> None:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is not None and gradient.stride() != parameter.stride():
                    parameter.grad = torch.empty_like(parameter).copy_(gradient)

    optimizer.register_step_pre_hook(align)
    return optimizer


def _groups(module: nn.Module, wanted: recipes.Optimizer) -> list[dict[str, Any]]:
    """Divide parameters by what decays and by what is the classifier."""
    norms = {
        id(parameter)
        for layer in module.modules()
        if isinstance(layer, _NormBase)
        for parameter in layer.parameters(recurse=False)
    }
    return [
        {
            "params": [
                parameter
                for name, parameter in module.named_parameters()
                if name.startswith(CLASSIFIER) == head and (id(parameter) in norms) == norm
            ],
            "weight_decay": 0.0 if norm else wanted.weight_decay,
            "factor": 1.0 if head else wanted.body,
        }
        for head in (False, True)
        for norm in (False, True)
    ]
