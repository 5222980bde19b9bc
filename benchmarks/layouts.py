"""Which order of maps in memory trains faster on this CPU, and what does the rule say?

    python benchmarks/layouts.py [NETWORK:SIZE:BATCH …]

Prints for each network the weights of its dense convolutions for a value of its maps, the CPU time of a training step
in the default layout and with channels last (milliseconds an image on one thread), the median of the rounds' ratios
with their range (above 1: channels last is faster), and which the rule takes (`scalenet.training.numerics`). Rounds
alternate.
"""

from __future__ import annotations

import sys
import time
from statistics import median
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from scalenet import build, cost, load
from scalenet.training.numerics import dense_weights, memory_format
from scalenet.training.recipe import load_recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalenet.arch.spec import Architecture

ROUNDS = 6
LAYOUTS = {"default": torch.contiguous_format, "channels last": torch.channels_last}
NETWORKS = (
    *("resnet18:32:32", "resnet18:64:32", "resnet18:64:128", "resnet18:96:32", "resnet18:128:32", "resnet34:64:32"),
    *("resnet50:32:32", "resnet50:64:32", "resnet50:96:32", "small_resnet:22:32", "small_resnet:48:32"),
    *(
        "mobilenet_v1:32:8",
        "mobilenet_v2:32:32",
        "mobilenet_v2:96:32",
        "efficientnet_b0:32:32",
        "efficientnet_b0:96:32",
    ),
)


def step(architecture: Architecture, layout: torch.memory_format, batch: int) -> Callable[[], float]:
    """Return what takes a training step and says how many CPU seconds an image took."""
    network = build(architecture, classes=10).to(memory_format=layout)  # type: ignore[call-overload]
    images = torch.randn(batch, 3, *architecture.model.size).contiguous(memory_format=layout)
    labels = torch.arange(batch) % 10
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

    def measure() -> float:
        began = time.process_time()
        optimizer.zero_grad()
        functional.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return (time.process_time() - began) / batch

    return measure


def row(name: str, size: int, batch: int) -> None:
    """Print a row."""
    architecture = load(name).at(size)
    steps = [step(architecture, layout, batch) for layout in LAYOUTS.values()]
    rounds = [[one() for one in steps] for _ in range(ROUNDS + 1)][1:]
    network = build(architecture, classes=10)
    weights = dense_weights(network) / int(cost(architecture).activations)
    chosen = memory_format(load_recipe("small_images"), architecture.model, network)
    rule = next(name for name, layout in LAYOUTS.items() if layout == chosen)
    times = [1000 * median(column) for column in zip(*rounds, strict=True)]
    ratios = sorted(default / last for default, last in rounds)
    figures = (
        f"{weights:7.1f} {times[0]:9.2f} {times[1]:9.2f} {median(ratios):7.2f} {ratios[0]:6.2f} to {ratios[-1]:.2f}"
    )
    print(f"{name:16} {size:4} {batch:5} {figures}   {rule}", flush=True)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print(f"{'network':16} {'size':>4} {'batch':>5} weights   default      last   ratio   rounds        rule")
    for words in sys.argv[1:] or NETWORKS:
        name, size, batch = words.split(":")
        row(name, int(size), int(batch))


if __name__ == "__main__":
    main()
