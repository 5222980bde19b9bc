"""About how long trainings take here, measured before the first one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from scalenet.costs.network import cost
from scalenet.model.builder import build
from scalenet.model.threads import on_threads

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scalenet.arch.spec import Buildable

_WORK = 3e9
"""FLOPs of the forward passes of a step that is timed on a CPU: a second or two on one core."""

_LONG = 1.0
"""Seconds of a step that tell enough by themselves: warming up is little of them, and deep networks take their time."""


def seconds_an_image(models: Iterable[Buildable], *, batch: int, device: str, threads: int) -> float:
    """Return about how many seconds a network of these learns from one image, in their mean.

    Times a step of the middle one by FLOPs, on noise: forward, backward and a change of the weights. On a CPU the batch
    is smaller where the network is large. What reading and changing images takes is not in it.
    """
    ordered = sorted((int(cost(model).flops), number, model) for number, model in enumerate(models))
    flops, _, model = ordered[len(ordered) // 2]
    mean = sum(each for each, _, _ in ordered) / len(ordered)
    if device == "cpu":
        batch = max(2, min(batch, int(_WORK / flops)))
    with on_threads(threads), torch.random.fork_rng(devices=[]):
        return _seconds_a_step(model, batch, device) / batch * mean / flops


def _seconds_a_step(model: Buildable, batch: int, device: str) -> float:
    module = build(model).to(device).train()
    images = torch.randn(batch, model.channels, *model.size, device=device)
    labels = torch.zeros(batch, dtype=torch.long, device=device)
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3)
    seconds = []
    for _ in range(3):  # the first one warms up
        began = time.perf_counter()
        optimizer.zero_grad()
        loss = functional.cross_entropy(module(images), labels)
        torch.autograd.backward(loss)
        optimizer.step()
        if device != "cpu":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
        if seconds[-1] > _LONG:
            break
    return min(seconds[1:] or seconds)
