"""Class activation maps of one network: which places of an image speak for a class (paper, Fig. 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from scalenet.arch import layers
from scalenet.arch.errors import ScalenetError
from scalenet.arch.spec import layer_tree

if TYPE_CHECKING:
    from torch import Tensor

    from scalenet.arch.spec import Model
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
