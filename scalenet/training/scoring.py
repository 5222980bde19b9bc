"""How good is a network on held-out images? Top-1, top-5, loss, and which classes it confuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from scalenet.training.distributed import SINGLE, World
from scalenet.training.feed import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalenet.training.feed import Feed


@dataclass(frozen=True, eq=False)
class Scores:
    """Hold what a network said of images that could be decoded, on the CPU.

    `labels` and `predictions` are int64 [N], `in_top5` bool [N], `losses` the cross-entropies in nats, float [N].
    """

    labels: Tensor
    predictions: Tensor
    in_top5: Tensor
    losses: Tensor

    @property
    def correct(self) -> Tensor:
        """Which images are right, bool [N]."""
        return self.predictions == self.labels

    @property
    def top1(self) -> float:
        """The share of images whose first answer is right."""
        return self.correct.to(torch.float64).mean().item()

    @property
    def top5(self) -> float:
        """The share of images whose class is among the first five answers (of all, where there are fewer)."""
        return self.in_top5.to(torch.float64).mean().item()

    @property
    def loss(self) -> float:
        """The mean cross-entropy, nats."""
        return self.losses.to(torch.float64).mean().item()

    def __len__(self) -> int:
        return len(self.labels)

    def confusion(self, classes: int) -> Tensor:
        """Return how often a class (row) was taken for another (column), int64 [classes, classes]."""
        counts = torch.bincount(self.labels * classes + self.predictions, minlength=classes**2)
        return counts.view(classes, classes)


def score(
    module: nn.Module, images: Feed, *, prepare: Callable[[Tensor], Tensor], classes: int, world: World = SINGLE
) -> Scores:
    """Evaluate a network on a set of images, each process on a part; `prepare` makes a batch the network's input."""
    module.eval()
    places = world.part(torch.arange(len(images.labels)))
    device = images.labels.device if world.size == 1 else next(module.parameters()).device
    found = torch.zeros(len(images.labels), 4, dtype=torch.float64, device=device)
    start = 0
    with torch.no_grad():
        for batch, labels in images.plain(places):
            rows = _rows(module(prepare(batch)).float(), labels, classes)
            found[places[start : start + len(rows)].to(device)] = rows.to(device)
            start += len(rows)
    label, prediction, in_top5, loss = world.total(found).cpu().unbind(1)
    known = label != UNKNOWN
    return Scores(label[known].long(), prediction[known].long(), in_top5[known] > 0, loss[known])


def _rows(logits: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return label, first answer, whether the label is among the first five, and loss: float64 [n, 4]."""
    losses = functional.cross_entropy(logits, labels, reduction="none", ignore_index=UNKNOWN)
    best = logits.topk(min(5, classes), dim=1).indices
    in_top5 = (best == labels[:, None]).any(1)
    return torch.stack([column.to(torch.float64) for column in (labels, logits.argmax(1), in_top5, losses)], dim=1)
