"""Training-free scores of networks: what they are worth on a task is for a search to measure.

Each is as its paper has it, on a network that it may change. Higher is better; None where a score is not a number.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from scalenet.model.builder import build
from scalenet.model.modules import Branches, DropPath
from scalenet.scaling.rules import tidy
from scalenet.training.data import ImageSet, resample

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalenet.arch.spec import Model
    from scalenet.model.builder import ConvNet
    from scalenet.training.data import Images

BATCH = 128
"""Images that NASWOT compares, as in its authors' code."""
_ZEN_BATCH, _ZEN_REPEATS, _ZEN_STEP = 16, 8, 0.01
_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish)


def scores(model: Model, *, seed: int, images: Tensor | None = None) -> dict[str, float | None]:
    """Return the scores of a network by name; `images` [N, 3, H, W] are NASWOT's, noise unless given."""
    size = (model.channels, *model.size)

    def fresh() -> nn.Module:
        torch.manual_seed(seed)
        return build(model)

    with torch.random.fork_rng(devices=[]):
        found = {"synflow": synflow(fresh(), size)}
        network = fresh()
        found["naswot"] = naswot(network, torch.randn(BATCH, *size) if images is None else images)
        found["zen"] = zen(fresh(), size)
    return {name: tidy(value) if math.isfinite(value) else None for name, value in found.items()}


def sample(images: Images, size: tuple[int, int], *, seed: int) -> Tensor:
    """Return some training images as float32 [N, 3, height, width], each colour of mean 0 and spread 1."""
    assert isinstance(images, ImageSet), "a search has its images in memory"
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:BATCH]
    pixels: Tensor = resample(images.images[chosen], *size).to(torch.float32)
    deviation, mean = torch.std_mean(pixels, dim=(0, 2, 3), keepdim=True)
    return (pixels - mean) / deviation.clamp_min(1e-6)


def synflow(module: nn.Module, size: tuple[int, int, int]) -> float:
    """Return log Σ |θ · ∂R/∂θ| over the weights of convolutions and linear layers (Tanaka et al. 2020, equation 4).

    R is the sum of the outputs for an input of ones [channels, height, width], with all parameters replaced by their
    absolute values, in float64. Batch norms are the identity, and so are activations, as ReLU is on what is positive;
    others would bend or cap the flow. A gate still multiplies by its sigmoid.
    """
    module = _replaced(module.double().eval(), nn.BatchNorm2d, lambda _: nn.Identity())
    module = _replaced(module, _ACTIVATIONS, lambda _: nn.Identity())
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_()
    flow: Tensor = module(torch.ones(1, *size, dtype=torch.float64)).sum()
    weights = [layer.weight for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    gradients = torch.autograd.grad(flow, weights)
    total = sum((weight * gradient).abs().sum().item() for weight, gradient in zip(weights, gradients, strict=True))
    return math.log(total) if total > 0 else -math.inf


def naswot(module: nn.Module, images: Tensor) -> float:
    """Return log |det K|, where K counts in how many units each two images agree (Mellor et al. 2021, section 3).

    An image's code says which activations have a positive input; K = Σ c·cᵀ + (1-c)·(1-c)ᵀ over all of them. Batch
    norms take the statistics of the images, as in the authors' code; nothing is dropped.
    """
    module.train()
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64)

    def compare(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        code = (inputs[0] > 0).flatten(1).to(torch.float32)
        kernel.add_(code @ code.T + (1 - code) @ (1 - code).T)

    for layer in module.modules():
        if isinstance(layer, _ACTIVATIONS):
            layer.register_forward_pre_hook(compare)
        if isinstance(layer, nn.Dropout | DropPath):
            layer.eval()
    with torch.no_grad():
        module(images)
    return float(torch.linalg.slogdet(kernel).logabsdet)


def zen(module: nn.Module, size: tuple[int, int, int]) -> float:
    """Return the Zen-score (Lin et al. 2021, algorithm 1), the mean over draws of weights and inputs.

    Weights are drawn from N(0, 1), residual links are removed, and inputs x [channels, height, width] and x + 0.01 · ε
    from N(0, 1) are compared: see `perturbed`.
    """
    module = _replaced(module.train(), Branches, _without_link)
    total = 0.0
    for _ in range(_ZEN_REPEATS):
        _draw_gaussian(module)
        inputs, noise = torch.randn(2, _ZEN_BATCH, *size)
        total += perturbed(module, inputs, noise)
    return total / _ZEN_REPEATS


def perturbed(module: nn.Module, inputs: Tensor, noise: Tensor) -> float:
    """Return log E‖f(x) - f(x + 0.01 · ε)‖ + Σ log σ̄ of a plain network in training mode.

    f is the map before global pooling, the norm Frobenius's over an image's. σ̄² is the mean over channels of the
    variance that a batch norm finds in its input and divides by, for which the sum makes up.
    """
    maps: list[Tensor] = []
    deviations: list[Tensor] = []

    def measure(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if not maps:  # of x, not of x + ε
            deviations.append(inputs[0].double().var((0, 2, 3), correction=0).mean().sqrt())

    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    hooks = [layer.register_forward_pre_hook(measure) for layer in norms]
    hooks.append(_pool(module).register_forward_pre_hook(lambda _, inputs: maps.append(inputs[0].double())))
    with torch.no_grad():
        module(inputs)
        module(inputs + _ZEN_STEP * noise)
    for hook in hooks:
        hook.remove()
    change = (maps[0] - maps[1]).flatten(1).norm(dim=1).mean()
    return float(change.log() + torch.stack(deviations).log().sum())


def _pool(module: nn.Module) -> nn.Module:
    network: ConvNet = module  # type: ignore[assignment]
    return network.head.get_submodule("pool")


def _draw_gaussian(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _without_link(branches: nn.Module) -> nn.Module:
    """Return the main path of a residual, and anything else as it is."""
    assert isinstance(branches, Branches)
    if branches.join != "add":
        return branches
    main = branches.get_submodule(branches.names[0])
    return nn.Sequential(main, *([] if branches.act is None else [branches.act]))


def _replaced(
    module: nn.Module, kind: type[nn.Module] | tuple[type[nn.Module], ...], by: Callable[[nn.Module], nn.Module]
) -> nn.Module:
    """Return a module with all of a kind in it replaced, those inside of others first."""
    for name, child in list(module.named_children()):
        setattr(module, name, _replaced(child, kind, by))
    return by(module) if isinstance(module, kind) else module
