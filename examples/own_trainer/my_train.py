"""A trainer that is not scalenet's: plain PyTorch, on images it makes itself. It takes a config, and prints JSON lines.

    scalenet grid-search --base net.yaml --grid shares --epochs 4 --seeds 2 \
        --evaluate 'python my_train.py --config {config} --epochs {budget} --seed {seed}'

Two lines of it know of scalenet: the one that builds the network, and the one that prints the result.
"""

from __future__ import annotations

import argparse
import json
import sys

import torch
from torch import Tensor, nn

import scalenet


def images(count: int, size: tuple[int, int], *, seed: int) -> tuple[Tensor, Tensor]:
    """Return noisy images [count, 3, height, width] with a bright quarter, and which quarter it is."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (count,), generator=draw)
    pixels = torch.randn(count, 3, *size, generator=draw)
    height, width = size[0] // 2, size[1] // 2
    for image, label in zip(pixels, labels.tolist(), strict=True):
        top, left = height * (label // 2), width * (label % 2)
        image[:, top : top + height, left : left + width] += 1.0
    return pixels, labels


def accuracy(network: nn.Module, pixels: Tensor, labels: Tensor) -> float:
    """Return the share of images that the network has right."""
    network.eval()
    with torch.no_grad():
        return float((network(pixels).argmax(1) == labels).float().mean())


def main() -> None:
    """Train the network of a config, and say after each epoch how good it is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()

    architecture = scalenet.load(arguments.config)  # a whole description: nothing else is needed
    torch.manual_seed(arguments.seed)
    network = scalenet.build(architecture)

    training = images(512, architecture.model.size, seed=1)
    held_out = images(256, architecture.model.size, seed=2)
    print(f"{architecture.name}: {len(training[1])} images", file=sys.stderr)  # goes to the job's log.txt
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(arguments.epochs):
        network.train()
        for batch in torch.randperm(len(training[1])).split(32):  # type: ignore[no-untyped-call]
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(training[0][batch]), training[1][batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        print(json.dumps({"epoch": epoch + 1, "accuracy": accuracy(network, *held_out)}), flush=True)
    print(json.dumps({"accuracy": accuracy(network, *held_out)}))


if __name__ == "__main__":
    main()
