"""Statistics of images, and of what batch norms see of them."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from scalenet.training.feed import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from scalenet.training.feed import Feed

ARRIVAL = 10.0
"""The batches, times its momentum, after which a batch norm's running statistics count: e^-10 of their start is left.

At 3, 5 % of the variance is still the 1 that it started from, which is much where the true one is small: MobileNetV2
took all images for one class there (`benchmarks/statistics.py`).
"""

LEAST, MOST = 256, 1024
"""Statistics are estimated from a tenth of the training images, but from at least and at most so many."""

_CHUNK = 64


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


def batch_norms(module: nn.Module) -> dict[str, _BatchNorm]:
    """Return the batch norms that keep running statistics, by name."""
    layers = dict(module.named_modules())
    return {name: one for name, one in layers.items() if isinstance(one, _BatchNorm) and one.running_mean is not None}


def arrival(norm: _BatchNorm) -> float:
    """Return how many training batches a norm needs until its running statistics are those of what it sees.

    Each batch moves them by the momentum. The plain mean over a whole training (momentum None) never gets there.
    """
    return ARRIVAL / norm.momentum if norm.momentum else math.inf


def sample_size(images: int) -> int:
    """Return how many of a training's images its statistics are estimated from."""
    return min(images, max(LEAST, min(MOST, images // 10)))


def estimate(module: nn.Module, norms: Sequence[_BatchNorm], batches: Iterable[Tensor]) -> None:
    """Set the running statistics of some batch norms of a module to their mean over batches of inputs.

    Only these norms leave evaluation mode: dropout stays off, as it will be when the statistics are used. A batch of
    one image has no spread and is passed over; without any other the statistics stay as they are.
    """
    module.eval()
    momenta = [norm.momentum for norm in norms]
    usable = (images for images in batches if len(images) > 1)
    try:
        for number, images in enumerate(usable):
            if number == 0:
                _start(norms)
            with torch.no_grad():
                module(images)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        module.eval()


def _start(norms: Sequence[_BatchNorm]) -> None:
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()


class NormStatistics:
    """The batch-norm statistics that a training's networks are judged with.

    Running ones count once they have arrived; before that, statistics are estimated from a sample of the training
    images, always the same one. Norms that stay in evaluation mode while the module trains are frozen and keep theirs.
    """

    def __init__(self, module: nn.Module, data: Feed, *, prepare: Callable[[Tensor], Tensor], seed: int) -> None:
        """Find the frozen norms; `prepare` makes a batch of `data`, the training images, the network's input."""
        before = {name for name, norm in batch_norms(module).items() if module.training and not norm.training}
        module.train()
        self.frozen = before | {name for name, norm in batch_norms(module).items() if not norm.training}
        self.module, self.data, self.prepare, self.seed = module, data, prepare, seed
        self.sample = sample_size(len(data.labels))
        self._known: tuple[nn.Module, int, list[Tensor]] = module, -1, []

    def train(self) -> None:
        """Put the module into training mode, but for the frozen norms."""
        self.module.train()
        for name, norm in batch_norms(self.module).items():
            norm.train(name not in self.frozen)

    def free(self, module: nn.Module) -> list[_BatchNorm]:
        """Return the norms of a module that are not frozen."""
        return [norm for name, norm in batch_norms(module).items() if name not in self.frozen]

    def late(self, module: nn.Module, batches: int) -> list[_BatchNorm]:
        """Return the norms whose running statistics do not count yet after training on some batches."""
        return [norm for norm in self.free(module) if batches < arrival(norm)]

    def estimate(self, module: nn.Module, norms: Sequence[_BatchNorm], images: int | None = None) -> None:
        """Set the running statistics of some norms from so many training images; random numbers are left alone."""
        if norms:
            with torch.random.fork_rng(devices=[]):  # loaders draw a seed
                estimate(module, norms, self._batches(images or self.sample))

    @contextmanager
    def judged(self, module: nn.Module, norms: Sequence[_BatchNorm], *, step: int) -> Iterator[None]:
        """Have the statistics of some norms estimated for a while, once a step.

        In the end all layers have their own statistics and mode again.
        """
        modes = [(layer, layer.training) for layer in module.modules()]
        buffers = [buffer for norm in norms for buffer in norm.buffers(recurse=False)]
        before = _copies(buffers)
        try:
            if self._known[:2] != (module, step):
                self.estimate(module, norms)
                self._known = module, step, _copies(buffers)
            _fill(buffers, self._known[2])
            yield
        finally:
            _fill(buffers, before)
            for layer, mode in modes:
                layer.training = mode

    def remark(self, batches: int) -> str | None:
        """Say so where a training of so many batches ends before all running statistics count."""
        late = self.late(self.module, batches)
        if not late:
            return None
        slowest = max(late, key=arrival)
        why = "are of the whole training"
        if slowest.momentum:
            need = f"{math.ceil(arrival(slowest)):,} batches at momentum {slowest.momentum:g}"
            why = f"need {need}, and there are {batches:,}"
        images = f"{self.sample:,} training images"
        return f"batch-norm statistics are estimated from {images} before each evaluation: the running ones {why}"

    def _batches(self, count: int) -> Iterator[Tensor]:
        draws = torch.Generator().manual_seed(self.seed)
        chosen = torch.randperm(len(self.data.labels), generator=draws)[:count]
        for images, labels in self.data.plain(chosen):
            yield self.prepare(images if bool((labels != UNKNOWN).all()) else images[labels != UNKNOWN])


def _copies(buffers: Sequence[Tensor]) -> list[Tensor]:
    return [buffer.clone() for buffer in buffers]


def _fill(buffers: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for buffer, value in zip(buffers, values, strict=True):
        buffer.copy_(value)
