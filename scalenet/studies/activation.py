"""Class activation maps of one network: which places of an image speak for a class (paper, Fig. 7)."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch
from torch import nn

from scalenet.arch import layers
from scalenet.arch.errors import ScalenetError
from scalenet.arch.factory import Factory
from scalenet.arch.spec import layer_tree

if TYPE_CHECKING:
    from torch import Tensor

    from scalenet.arch.spec import Buildable, Model
    from scalenet.model.builder import ConvNet


class Mapper:
    """Makes class activation maps from the last map before the head's pooling.

    Where nothing but a linear layer follows the pooling, a class's map is the channels weighted by the classifier (Zhou
    et al., 2016), and `exact`: its mean and the classifier's bias add up to the logit. Elsewhere the weights are the
    logit's gradients, place by place (HiResCAM: Draelos and Carin, 2021), on the same scale.
    """

    def __init__(self, network: ConvNet, model: Model) -> None:
        names = list(network.head._modules)
        if "pool" not in names:
            raise ScalenetError("the head has no pooling, so that there is no map to look at")
        pool = names.index("pool")
        children = list(network.head.children())
        self._body = nn.Sequential(network.stem, network.stages, *children[:pool]).eval()
        self._rest = nn.Sequential(*children[pool:]).eval()
        self.classifier: nn.Linear | None = next((one for one in self._rest if isinstance(one, nn.Linear)), None)
        self.exact = _is_linear(model)

    @property
    def how(self) -> str | None:
        """Why maps are by gradient, in words; None where they are not."""
        return None if self.exact else "more than a linear layer follows its pooling, so that its maps are by gradient"

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maps before pooling [N, channels, height, width] and the logits [N, classes] of an input."""
        with torch.no_grad():
            features: Tensor = self._body(images)
            logits: Tensor = self._rest(features)
        return features, logits

    def maps(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the map of a class each, float [N, height, width]; `classes` are their numbers, [N]."""
        if not self.exact:
            return self._by_gradient(features, classes)
        if self.classifier is None:  # there is a map a class
            return features[torch.arange(len(features)), classes]
        return torch.einsum("nc,nchw->nhw", self.classifier.weight.detach()[classes], features)

    def bias(self, classes: Tensor) -> Tensor:
        """Return what a logit has beside the mean of its map, [N]; NaN where maps are not `exact`."""
        if self.exact and self.classifier is not None:
            return self.classifier.bias.detach()[classes]
        return torch.full(classes.shape, 0.0 if self.exact else torch.nan)

    def _by_gradient(self, features: Tensor, classes: Tensor) -> Tensor:
        leaf = features.detach().requires_grad_()
        with torch.enable_grad():
            chosen = self._rest(leaf).gather(1, classes[:, None]).sum()
        (slopes,) = torch.autograd.grad(chosen, leaf)
        return (slopes * features).sum(dim=1) * features[0, 0].numel()


class ModuleMapper:
    """Makes class activation maps of any module that maps images to logits: by gradient, of the last map it has.

    That is the last output of a module inside on which the logits depend, and which has the image's two sides. Where
    the mean of that map and a linear layer follow, these maps are those of `Mapper`.
    """

    exact = False

    def __init__(self, module: nn.Module, factory: Factory) -> None:
        self._module = module.eval().requires_grad_(False)
        image = torch.zeros(2, factory.channels, *factory.size)
        image = image.to(next(module.parameters(), image))
        self.place, self._turn = _last_map(module, image, factory.callable)
        self._logits = image

    @property
    def how(self) -> str | None:
        """Of what maps are, and that they are by gradient, in words."""
        return f"its maps are of what {self.place!r} gives, by gradient"

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maps [N, channels, height, width] and the logits [N, classes] of an input."""
        found: list[Tensor] = []

        def take(_: nn.Module, __: object, output: Tensor) -> Tensor:
            found.append(output.detach().requires_grad_())
            return found[-1].clone()  # which others may change in place

        with torch.enable_grad(), self._module.get_submodule(self.place).register_forward_hook(take):
            self._logits = self._module(images)
        return found[self._turn], self._logits.detach()

    def maps(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the map of a class each, float [N, height, width], of the features of the last call."""
        chosen = self._logits.gather(1, classes[:, None]).sum()
        (slopes,) = torch.autograd.grad(chosen, features, retain_graph=True)
        return (slopes * features.detach()).sum(dim=1) * features[0, 0].numel()

    def bias(self, classes: Tensor) -> Tensor:
        """Return NaN, [N]: nobody says what a logit has beside its map."""
        return torch.full(classes.shape, torch.nan)


def mapper_of(module: nn.Module, network: Buildable) -> Mapper | ModuleMapper:
    """Return what makes the maps of a network that was built: by its description, or by looking where there is none."""
    if isinstance(network, Factory):
        return ModuleMapper(module, network)
    return Mapper(module, network)  # type: ignore[arg-type]


def _last_map(module: nn.Module, image: Tensor, name: str) -> tuple[str, int]:
    """Return the module that gives the last map on which logits depend, and which of its outputs that is."""
    seen: list[tuple[str, int, Tensor]] = []
    turns: Counter[str] = Counter()

    def look(place: str, output: object) -> Tensor | None:
        turn = turns[place]
        turns[place] += 1
        if not isinstance(output, torch.Tensor) or not _is_map(output, image):
            return None
        own = output.clone()
        seen.append((place, turn, own))
        return own

    with ExitStack() as hooks, torch.enable_grad():
        for place, one in module.named_modules():
            hooks.enter_context(one.register_forward_hook(lambda _, __, output, place=place: look(place, output)))
        logits = module(image.clone().requires_grad_())
    if seen and logits.requires_grad:
        slopes = torch.autograd.grad(logits.sum(), [own for _, _, own in seen], allow_unused=True)
        for (place, turn, _), slope in zip(reversed(seen), reversed(slopes), strict=True):
            if slope is not None and place:
                return place, turn
    raise ScalenetError(
        f"{name}: no module in it gives a map of several places, so that there is no map to look at",
        hint="class activation maps are of networks with modules that give [images, channels, height, width]",
    )


def _is_map(output: Tensor, image: Tensor) -> bool:
    """Return whether an output has an image's two sides last, and more than one place."""
    if output.ndim != image.ndim or len(output) != len(image) or not output.is_floating_point():
        return False
    (high, wide), (height, width) = output.shape[2:], image.shape[2:]
    off = abs(high * width - wide * height)
    return high * wide > 1 and off <= (0 if height == width else max(height, width))


def _is_linear(model: Model) -> bool:
    """Return whether the logits are a linear function of the map's means."""
    (head,) = layer_tree(model).parts[-1].blocks()
    assert isinstance(head, layers.Sequence)
    behind = [layer for _, layer in head.layers]
    while not isinstance(behind[0], layers.GlobalPool):
        behind.pop(0)
    plain = (layers.Flatten, layers.Dropout, layers.Linear)
    linear = [layer for layer in behind if isinstance(layer, layers.Linear)]
    return behind[0].side == 1 and len(linear) < 2 and all(isinstance(layer, plain) for layer in behind[1:])
