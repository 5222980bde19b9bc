"""How good is a network while it trains, and which of its weights count in the end?"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from scalenet.training.inputs import EPOCH_STRIDE
from scalenet.training.numerics import autocast
from scalenet.training.scoring import score
from scalenet.training.statistics import NormStatistics, batch_norms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn
    from torch.nn.modules.batchnorm import _BatchNorm

    from scalenet.training.averages import Averages
    from scalenet.training.feed import Feed
    from scalenet.training.inputs import Inputs
    from scalenet.training.recipe import Recipe
    from scalenet.training.scoring import Scores

_STATISTICS_STREAM = 999_983
_RUNNING = ("running_mean", "running_var")


@dataclass
class Best:
    """The best epoch on the minival, and its weights."""

    epoch: int
    top1: float
    weights: dict[str, Tensor] = field(repr=False)


class Judge:
    """Judges a training's network, or the average of it, with batch-norm statistics of the weights that are judged."""

    def __init__(self, averages: Averages, inputs: Inputs, recipe: Recipe, *, classes: int) -> None:
        self.averages, self.inputs, self.recipe, self.classes = averages, inputs, recipe, classes
        self.module = averages.module
        self.device = next(self.module.parameters()).device
        stream = inputs.seed * EPOCH_STRIDE + _STATISTICS_STREAM
        self.norms = NormStatistics(self.module, inputs.train, prepare=inputs.ready, seed=stream)
        self.best: Best | None = None

    def score(self, network: nn.Module, images: Feed) -> Scores:
        """Evaluate a network as it is."""
        self.inputs.world.agree(network)
        with autocast(self.recipe, self.device):
            return score(network, images, prepare=self.inputs.ready, classes=self.classes, world=self.inputs.world)

    @contextmanager
    def judged(self, network: nn.Module, step: int) -> Iterator[int]:
        """Have a network with its weights after a step ready to be judged, with statistics of its own.

        Yield how many training images they are estimated from, 0 where they are the running ones. In the end they are
        as before.
        """
        late = self._late(network, step)
        with autocast(self.recipe, self.device), self.norms.judged(network, late, step=step):
            yield self.norms.sample if late else 0

    def held_out(self, epoch: int, step: int) -> dict[str, float]:
        """Evaluate after an epoch where the recipe wants it, and remember the best one."""
        if not self.recipe.evaluate_every or epoch % self.recipe.evaluate_every:
            return {}
        network = self.averages.evaluated
        with self.judged(network, step) as used:
            scores = self.score(network, self.inputs.minival or self.inputs.validation)
            if self.inputs.minival is not None and (self.best is None or scores.top1 > self.best.top1):
                weights = {name: value.detach().clone() for name, value in network.state_dict().items()}
                self.best = Best(epoch, scores.top1, weights)
        found = {"held_out_loss": scores.loss, "held_out_top1": scores.top1, "statistics_images": used}
        if scores.top5 is not None:
            found["held_out_top5"] = scores.top5
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def glimpse(self, step: int) -> float:
        """Return the top-1 of the weights after a step on held-out images, a tenth as many as there are to train on.

        It costs some 2 % of an epoch, and changes nothing.
        """
        feed, wanted = self.inputs.validation, max(1, len(self.inputs.train.labels) // 10)
        # Drawn: of classes that lie in turns, every so manieth image may be of one.
        draws = torch.Generator().manual_seed(self.inputs.seed)
        chosen = torch.randperm(len(feed.labels), generator=draws)[:wanted]
        right = []
        self.module.eval()
        with torch.random.fork_rng(devices=[]), torch.no_grad(), self.judged(self.module, step):
            for images, labels in feed.plain(chosen):
                right.append(self.module(self.inputs.ready(images)).argmax(1) == labels)
        return torch.cat(right).double().mean().item()

    def is_stale(self, epoch: int) -> bool:
        """Return whether no epoch was better for as long as the recipe waits."""
        if self.recipe.patience is None or self.best is None:
            return False
        return epoch - self.best.epoch >= self.recipe.patience

    def finish(self, step: int) -> int:
        """Put the weights that count into the module, with statistics of theirs.

        Return how many images these are estimated from, 0 where they are the running ones.
        """
        wanted = self.recipe.statistics_images
        if self.best is not None:
            self.module.load_state_dict(self.best.weights)
            step = self.best.epoch * self.inputs.batches  # with its statistics, or with the same ones estimated again
        else:
            self.module.load_state_dict(self.averages.network.state_dict())
        norms = self.norms.free(self.module) if wanted else self._unknown(self.module, step)
        images = min(wanted or self.norms.sample, len(self.inputs.train.labels))
        with autocast(self.recipe, self.device):
            self.norms.estimate(self.module, norms, images)
        return images if norms else 0

    def statistics(self, step: int) -> dict[str, Tensor]:
        """Return the statistics that the network would be judged with now, where they are not its running ones."""
        network = self.averages.network
        norms = self._unknown(network, step)
        names = {f"{name}.{kind}" for name, norm in batch_norms(network).items() if norm in norms for kind in _RUNNING}
        with autocast(self.recipe, self.device), self.norms.judged(network, norms, step=step):
            return {name: value.clone() for name, value in network.state_dict().items() if name in names}

    def _unknown(self, network: nn.Module, step: int) -> list[_BatchNorm]:
        """Return the norms whose statistics have to be estimated at the end: all of a plain mean of weights."""
        return self.norms.free(network) if self.averages.is_mean else self._late(network, step)

    def _late(self, network: nn.Module, step: int) -> list[_BatchNorm]:
        """Return the norms whose running statistics do not count yet after a step."""
        return self.norms.late(network, step * self.recipe.accumulate)
