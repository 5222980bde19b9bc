"""How good is a network on held-out images? Top-1, top-5, loss, and which classes it confuses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from scalenet.training.distributed import SINGLE, World
from scalenet.training.feed import UNKNOWN
from scalenet.training.guessing import guess_loss, is_guess

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from scalenet.training.feed import Feed


_TOP = 5


@dataclass(frozen=True, eq=False)
class Scores:
    """Hold what a network of so many classes said of images that could be decoded, on the CPU.

    `labels` and `predictions` are int64 [N], `in_top5` bool [N], `losses` the cross-entropies in nats, float [N].
    """

    classes: int

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
    def top5(self) -> float | None:
        """The share of images whose class is among the first five answers; None where there are no other answers."""
        return self.in_top5.to(torch.float64).mean().item() if self.classes > _TOP else None

    @property
    def loss(self) -> float:
        """The mean cross-entropy, nats."""
        return self.losses.to(torch.float64).mean().item()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def one_class(self) -> bool:
        """Whether images of several classes were all taken for one."""
        labels, predictions = self.labels, self.predictions
        return bool((labels != labels[:1]).any()) and bool((predictions == predictions[:1]).all())

    def confusion(self) -> Tensor:
        """Return how often a class (row) was taken for another (column), int64 [classes, classes]."""
        counts = torch.bincount(self.labels * self.classes + self.predictions, minlength=self.classes**2)
        return counts.view(self.classes, self.classes)

    def figures(self) -> dict[str, float | None]:
        """Return `top1`, `top5` and `loss` as results show them, None for a loss that is not finite."""
        found = {"top1": self.top1, "top5": self.top5, "loss": self.loss}
        return {name: None if one is None or not math.isfinite(one) else round(one, 6) for name, one in found.items()}

    def doubts(self, names: Sequence[str]) -> list[str]:
        """Return what speaks against the network, a line each; `names` are those of the classes."""
        lines = []
        if self.one_class:
            lines.append(f"all {len(self)} images were taken for one class, {names[int(self.predictions[0])]!r}")
        if is_guess(self.loss, self.classes):
            guess = f"{guess_loss(self.classes):.3f} for {self.classes} classes"
            lines.append(f"the loss, {self.loss:.3f}, is no better than a guess's, {guess}")
        return lines


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What trained weights said of images: `scores` of each, the names of `classes`, and what lay in their folder.

    `remarks` say which images these are, which of them could not be read, and whether the weights may have been trained
    on some.
    """

    scores: Scores
    classes: tuple[str, ...]
    found: dict[str, Any] | None = None
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.scores)

    @property
    def top1(self) -> float:
        """The share of images whose first answer is right."""
        return self.scores.top1

    @property
    def top5(self) -> float | None:
        """The share of images whose class is among the first five answers; None for five classes or fewer."""
        return self.scores.top5

    @property
    def loss(self) -> float:
        """The mean cross-entropy, nats."""
        return self.scores.loss

    def __repr__(self) -> str:
        """Return the figures in a line."""
        figures = ", ".join(f"{name}={value}" for name, value in self.figures().items())
        return f"Evaluation(images={len(self)}, {figures})"

    def figures(self) -> dict[str, float | None]:
        """Return `top1`, `top5` and `loss`, rounded as results show them."""
        return self.scores.figures()

    def doubts(self) -> list[str]:
        """Return what speaks against the network, a line each."""
        return self.scores.doubts(self.classes)

    def by_class(self) -> list[dict[str, Any]]:
        """Return a row a class: its images, how many of them are found, and how many of those taken for it are it."""
        counts = self.scores.confusion()
        rows = []
        for number, name in enumerate(self.classes):
            right, images = int(counts[number, number]), int(counts[number].sum())
            taken = int(counts[:, number].sum())
            rows.append(
                {
                    "class": name,
                    "images": images,
                    "top1": round(right / images, 6) if images else None,
                    "precision": round(right / taken, 6) if taken else None,
                }
            )
        return rows

    def frame(self) -> pd.DataFrame:
        """Return `by_class` as a table."""
        import pandas as pd  # noqa: PLC0415 - slow to import

        return pd.DataFrame(self.by_class())

    def confusion(self) -> pd.DataFrame:
        """Return how often a class (row) was taken for another (column)."""
        import pandas as pd  # noqa: PLC0415 - slow to import

        return pd.DataFrame(self.scores.confusion().numpy(), index=self.classes, columns=self.classes)


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
    return Scores(classes, label[known].long(), prediction[known].long(), in_top5[known] > 0, loss[known])


def _rows(logits: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return label, first answer, whether the label is among the first five, and loss: float64 [n, 4]."""
    losses = functional.cross_entropy(logits, labels, reduction="none", ignore_index=UNKNOWN)
    best = logits.topk(min(_TOP, classes), dim=1).indices
    in_top5 = (best == labels[:, None]).any(1)
    return torch.stack([column.to(torch.float64) for column in (labels, logits.argmax(1), in_top5, losses)], dim=1)
