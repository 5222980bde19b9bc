"""Several processes as one training: started by `torchrun`, each trains on its part of every batch."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class World:
    """The processes of a training: this one is `rank` of `size`, and trains on `device`."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def part(self, values: Tensor) -> Tensor:
        """Return this process's part of what lies along the first axis."""
        return torch.tensor_split(values, self.size)[self.rank]

    def total(self, values: Tensor) -> Tensor:
        """Return the sum over all processes."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def agree(self, module: nn.Module) -> None:
        """Give all processes the first one's running statistics."""
        if self.size > 1:
            for values in module.buffers():
                distributed.broadcast(values, 0)

    def gathered(self, values: Tensor) -> list[Tensor]:
        """Return the values of all processes, by rank, on the CPU; all have one shape."""
        if self.size == 1:
            return [values]
        values = values.to(self.device)  # GPUs do not exchange what lies on the CPU
        found = [torch.empty_like(values) for _ in range(self.size)]
        distributed.all_gather(found, values)
        return [one.cpu() for one in found]


SINGLE = World()


@contextmanager
def world(device: str) -> Iterator[World]:
    """Join the processes that `torchrun` started, or be alone; of several GPUs each process takes its own.

    In a world there is only itself.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(device=device)
        return
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    if distributed.is_initialized():
        yield World(distributed.get_rank(), size, device)
        return
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield World(distributed.get_rank(), size, device)
    finally:
        distributed.destroy_process_group()


class _Sum(torch.autograd.Function):
    """The sum over all processes; so is its gradient, as each process has a part of the loss."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: ARG004 - as torch calls it
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004 - as torch calls it
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return total


class SyncedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation with the statistics of all processes, on any device (torch's own is for GPUs only).

    Without gradients each process takes its own: statistics are estimated from the same images in all of them.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the input's shape."""
        if not (self.training and torch.is_grad_enabled()):
            return super().forward(x)
        values = x.to(self.weight.dtype)  # not the shorter one of autocast
        sums = torch.cat(
            (values.sum((0, 2, 3)), values.square().sum((0, 2, 3)), values.new_tensor([values[:, 0].numel()]))
        )
        sums = _Sum.apply(sums)  # type: ignore[no-untyped-call]
        count = sums[-1].detach()
        mean, square = sums[:-1].view(2, -1) / count
        variance = (square - mean.square()).clamp_min(0)
        self._track(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * (variance + self.eps).rsqrt()
        out: Tensor = values * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]
        return out.to(x.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def synchronise(module: nn.Module) -> None:
    """Make all batch norms of a network take the statistics of all processes, with the same parameters."""
    for layer in module.modules():
        for name, inner in layer.named_children():
            if isinstance(inner, _BatchNorm):
                synced = SyncedBatchNorm(inner.num_features, eps=inner.eps, momentum=inner.momentum)
                synced.to(inner.weight.device, inner.weight.dtype).load_state_dict(inner.state_dict())
                setattr(layer, name, synced)
