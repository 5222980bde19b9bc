"""Memory by measurement: what PyTorch allocates in one step, to hold the formula of `scalenet.costs.memory` against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import cross_entropy
from torch.profiler import ProfilerActivity, profile

from scalenet.arch.spec import Architecture, Model
from scalenet.model.builder import build

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn

_KERNELS = (
    "aten::convolution",
    "aten::convolution_backward",
    "aten::native_batch_norm",
    "aten::native_batch_norm_backward",
)


@dataclass(frozen=True, slots=True)
class Allocation:
    """Peak bytes of one step, weights included.

    `between_kernels` leaves out what convolutions and normalisations allocate for themselves and release before they
    return; it is None on a GPU, whose allocator reports the peak alone.
    """

    peak: int
    between_kernels: int | None


def allocated(
    architecture: Architecture | Model, *, batch: int = 1, training: bool = False, device: str = "cpu"
) -> Allocation:
    """Run one step, forward or forward and backward, on zeros; the random state is as before afterwards."""
    model = architecture.model if isinstance(architecture, Architecture) else architecture
    on_gpu = torch.device(device).type == "cuda"

    def subject() -> tuple[nn.Module, Tensor, Tensor | None]:
        module = build(model).to(device).train(training)
        images = torch.zeros(batch, model.channels, *model.size, device=device)
        return module, images, torch.zeros(batch, dtype=torch.long, device=device) if training else None

    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        if on_gpu:
            _step(*subject())  # libraries take workspaces in the first step of a process, and keep them
            before = torch.cuda.memory_allocated(device)
        module, images, labels = subject()
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(device)
            _step(module, images, labels)
            return Allocation(torch.cuda.max_memory_allocated(device) - before, None)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            _step(module, images, labels)
    tensors = [*module.parameters(), *module.buffers(), images]
    held = sum(tensor.nbytes for tensor in tensors)
    assert profiler.profiler is not None
    assert profiler.profiler.kineto_results is not None
    peak, between = _peaks(profiler.profiler.kineto_results.events())
    return Allocation(held + peak, held + between)


def _step(module: nn.Module, images: Tensor, labels: Tensor | None) -> None:
    if labels is None:
        with torch.inference_mode():
            module(images)
    else:
        torch.autograd.backward(cross_entropy(module(images), labels))


def _peaks(events: Iterable[Any]) -> tuple[int, int]:
    """Return the highest level of all, and the highest outside the kernels named above."""
    level = peak = between = kernel_ends = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        if event.start_ns() > kernel_ends:
            between = max(between, level)
            if event.name() in _KERNELS:
                kernel_ends = event.start_ns() + event.duration_ns()
        if event.name() == "[memory]":
            level += event.nbytes()
            peak = max(peak, level)
    return peak, max(between, level)
