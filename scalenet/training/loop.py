"""Train one candidate from scratch and say how good it is on held-out images.

All candidates share this code, and all their random numbers: the order of the images, the augmentation and the
dropout stream follow from the seed alone, so that two candidates differ by their architecture and nothing else.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel

from scalenet.training.data import ImageSet, Splits, resample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scalenet.training.recipe import Recipe

SHIFT = 0.125
"""The largest shift of an augmented image, as a share of its side."""

_EVALUATION_BATCH = 256
_CHUNK = 1024
_EPOCH_STRIDE = 1_000_003
_STATISTICS_STREAM = 999_983


class DivergedError(ValueError):
    """Report a training whose loss is no longer a finite number."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Say after each step how far a training is.

    ``step`` of ``steps`` are done; epochs count from 1; ``loss`` is the mean of the epoch so far, ``seconds`` the
    wall time.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Hold what a training came to.

    ``accuracy`` is the held-out top-1 fraction, ``loss`` the held-out mean cross-entropy in nats, ``correct`` a bool
    [N] on the CPU that says which held-out images were right (for paired comparisons), ``seconds`` the wall time of
    training and evaluation, ``images`` the number of training images seen (repetitions counted), ``curve`` one
    record an epoch: epoch, loss and accuracy on the training images as seen, learning_rate, seconds.
    """

    accuracy: float
    loss: float
    correct: Tensor
    seconds: float
    images: int
    curve: list[dict[str, float]]


def train(
    module: nn.Module,
    splits: Splits,
    *,
    recipe: Recipe,
    resolution: tuple[int, int],
    seed: int,
    progress: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Train an initialised module in place and evaluate it on the held-out images.

    ``resolution`` is (height, width) in pixels. Runs on the device of the module's parameters; on the CPU the result
    is the same bit for bit for one seed, thread count and library version. Raise ``DivergedError`` when the loss is
    not finite.
    """
    device = next(module.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        run = _Run(module, splits, recipe=recipe, resolution=resolution, seed=seed, progress=progress)
        return run.result()


class _Run:
    """Hold the state of one training."""

    def __init__(
        self,
        module: nn.Module,
        splits: Splits,
        *,
        recipe: Recipe,
        resolution: tuple[int, int],
        seed: int,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.started = time.perf_counter()
        self.device = next(module.parameters()).device
        # A quarter faster than the default layout on CPUs, and the same numbers for every candidate.
        self.module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        mean, deviation = channel_statistics(splits.train.images)
        self.scale, self.offset = (1.0 / deviation).to(self.device), (-mean / deviation).to(self.device)
        self.data = self._prepared(splits.train, resolution)
        self.held_out = self._prepared(splits.validation, resolution)
        self.recipe = recipe
        self.batches = max(1, len(self.data) // recipe.batch_size)
        self.steps = recipe.epochs * self.batches
        self.seed = seed
        self.progress = progress
        self.optimizer = _optimizer(module, recipe)
        self.averaged: AveragedModel | None = None

    def result(self) -> Outcome:
        curve = [self._epoch(epoch) for epoch in range(self.recipe.epochs)]
        self._finish()
        correct, loss = self._evaluate()
        return Outcome(
            accuracy=correct.to(torch.float64).mean().item(),
            loss=loss,
            correct=correct,
            seconds=time.perf_counter() - self.started,
            images=self.steps * min(self.recipe.batch_size, len(self.data)),
            curve=curve,
        )

    def _prepared(self, images: ImageSet, resolution: tuple[int, int]) -> ImageSet:
        pixels = resample(images.images, *resolution).to(self.device)
        return ImageSet(pixels.contiguous(memory_format=torch.channels_last), images.labels.to(self.device))

    def _epoch(self, epoch: int) -> dict[str, float]:
        self.module.train()
        draws = torch.Generator().manual_seed(self.seed * _EPOCH_STRIDE + epoch)
        size = self.recipe.batch_size
        order = torch.randperm(len(self.data), generator=draws)[: self.batches * size]
        loss = right = seen = 0.0
        for batch, chosen in enumerate(torch.split(order, size)):
            step = epoch * self.batches + batch
            value, hits = self._step(step, chosen, draws)
            loss, right, seen = loss + value * len(chosen), right + hits, seen + len(chosen)
            self._report(step, epoch, loss / seen)
        return {
            "epoch": epoch + 1,
            "loss": loss / seen,
            "accuracy": right / seen,
            "learning_rate": self.recipe.rate(step, self.steps),
            "seconds": time.perf_counter() - self.started,
        }

    def _step(self, step: int, chosen: Tensor, draws: torch.Generator) -> tuple[float, int]:
        """Take one step on the chosen images; return its loss and how many images it had right."""
        images = augment(self._normalised(self.data.images[chosen]), self.recipe.augmentation, draws)
        labels = self.data.labels[chosen]
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate(step, self.steps)
        logits = self.module(images)
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
        value = self._finite(loss.item(), step)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self._average(step)
        return value, int((logits.detach().argmax(1) == labels).sum())

    def _finite(self, loss: float, step: int) -> float:
        if math.isfinite(loss):
            return loss
        raise DivergedError(
            f"training diverged at step {step + 1} of {self.steps}: the loss is {loss}; "
            f"try a learning rate below {self.recipe.learning_rate:g}"
        )

    def _average(self, step: int) -> None:
        if self.steps - step > round(self.recipe.average * self.steps):
            return
        if self.averaged is None:
            self.averaged = AveragedModel(self.module)
        self.averaged.update_parameters(self.module)

    def _finish(self) -> None:
        """Put the averaged weights into the module and fit its batch-norm statistics to them."""
        if self.averaged is not None:
            with torch.no_grad():
                for last, mean in zip(self.module.parameters(), self.averaged.module.parameters(), strict=True):
                    last.copy_(mean)
        if self.recipe.statistics_images:
            draws = torch.Generator().manual_seed(self.seed * _EPOCH_STRIDE + _STATISTICS_STREAM)
            chosen = torch.randperm(len(self.data), generator=draws)[: self.recipe.statistics_images]
            estimate_statistics(self.module, self._batches(self.data.images[chosen]))

    def _evaluate(self) -> tuple[Tensor, float]:
        """Return which held-out images are right, bool [N] on the CPU, and their mean loss."""
        self.module.eval()
        with torch.no_grad():
            logits = torch.cat([self.module(images) for images in self._batches(self.held_out.images)])
            loss = functional.cross_entropy(logits, self.held_out.labels).item()
        return (logits.argmax(1) == self.held_out.labels).cpu(), loss

    def _batches(self, images: Tensor) -> Iterator[Tensor]:
        # Parts of equal size: a small last one would weigh too much in batch-norm statistics, or have none.
        for part in torch.tensor_split(images, -(-len(images) // _EVALUATION_BATCH)):
            yield self._normalised(part)

    def _normalised(self, images: Tensor) -> Tensor:
        return images.to(torch.float32).mul_(self.scale).add_(self.offset)

    def _report(self, step: int, epoch: int, loss: float) -> None:
        if self.progress is not None:
            self.progress(
                Progress(
                    step=step + 1,
                    steps=self.steps,
                    epoch=epoch + 1,
                    epochs=self.recipe.epochs,
                    loss=loss,
                    seconds=time.perf_counter() - self.started,
                )
            )


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel of uint8 images [N, 3, H, W], both [1, 3, 1, 1], 0 to 255."""
    total = torch.zeros(2, images.shape[1], dtype=torch.float64)
    for part in torch.split(images, _CHUNK):
        values = part.to(torch.float32)
        total[0] += values.mean(dim=(0, 2, 3), dtype=torch.float64) * len(part)
        total[1] += values.square_().mean(dim=(0, 2, 3), dtype=torch.float64) * len(part)
    mean, square = total / len(images)
    # Images of one flat colour have no deviation to divide by.
    deviation = (square - mean.square()).clamp_min(1.0).sqrt()
    return mean.to(torch.float32).view(1, -1, 1, 1), deviation.to(torch.float32).view(1, -1, 1, 1)


def augment(images: Tensor, kind: str, draws: torch.Generator) -> Tensor:
    """Return images [N, 3, H, W] flipped from side to side, shifted, both or neither.

    ``kind`` is ``Recipe.augmentation``. Shifts are drawn as shares of the side, so that images of any resolution are
    shifted alike; what comes in is black after normalisation, that is the mean colour.
    """
    if "flip" in kind:
        flipped = torch.rand(len(images), generator=draws) < 0.5
        images = torch.where(flipped.to(images.device)[:, None, None, None], images.flip(3), images)
    if "shift" in kind:
        images = _shifted(images, torch.rand(len(images), 2, generator=draws).to(images.device))
    return images


def _shifted(images: Tensor, shares: Tensor) -> Tensor:
    """Shift images by shares ([N, 2] for rows and columns, 0 to 1) of the range that ``SHIFT`` allows."""
    height, width = images.shape[2:]
    rows, columns = round(SHIFT * height), round(SHIFT * width)
    padded = functional.pad(images, (columns, columns, rows, rows)).permute(0, 2, 3, 1)
    device = images.device
    top = (shares[:, 0] * (2 * rows + 1)).long()[:, None] + torch.arange(height, device=device)
    left = (shares[:, 1] * (2 * columns + 1)).long()[:, None] + torch.arange(width, device=device)
    everyone = torch.arange(len(images), device=device)
    return padded[everyone[:, None, None], top[:, :, None], left[:, None, :]].permute(0, 3, 1, 2)


def estimate_statistics(module: nn.Module, batches: Iterator[Tensor]) -> None:
    """Set the running statistics of all batch norms to their mean over some batches.

    Only the batch norms leave evaluation mode: dropout stays off, as it will be when the statistics are used.
    """
    norms = [layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    if not norms:
        return
    module.eval()
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    with torch.no_grad():
        for images in batches:
            module(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.eval()


def _optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            module.parameters(),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.momentum > 0,
            weight_decay=recipe.weight_decay,
        )
    return torch.optim.RMSprop(
        module.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        alpha=0.9,  # the official EfficientNet's decay
        weight_decay=recipe.weight_decay,
    )
