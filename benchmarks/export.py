"""Sizes, differences and times of exported files at full size, in single precision and in eight bits, beside PyTorch.

Weights are drawn, with factors, offsets and statistics as training might leave them.
Accuracy is not measured here. `python benchmarks/export.py [NAME…]`; needs the extra `onnx`.
"""

from __future__ import annotations

import sys

import torch

from scalenet.arch.words import seconds_text
from scalenet.costs.latency import Setup, latencies
from scalenet.exchange.runtimes import onnx_files, programs
from scalenet.exchange.runtimes.compared import BATCHES, compare
from scalenet.exchange.runtimes.programs import Axes
from scalenet.exchange.runtimes.quantizing import quantized
from scalenet.exchange.runtimes.subject import find_subject

NAMES = ("efficientnet_b0", "resnet50", "mobilenet_v2")
HEADER = "| network | MB | difference, of the spread | opset, IR | PyTorch | onnxruntime | int8 MB | int8 |"


def row(name: str) -> str:
    """Return a network's line of the table."""
    subject, axes = find_subject(name), Axes.named("batch")
    images = subject.images(subject.model.size, 32)
    program = programs.traced(subject.network, images[:2], axes)
    with subject.stirred():
        content = onnx_files.converted(program, axes, subject.record(), None)
        session = onnx_files.Session(content)
        compared = compare(subject.network, session, [images[: sum(BATCHES)]], BATCHES)
        small = quantized(content, iter(torch.split(images, 8)))
        networks = [(one, images[:1]) for one in (subject.network, session, onnx_files.Session(small))]
        times = [seconds_text(one.median) for one in latencies(networks, Setup())]
    versions = onnx_files.versions(content)
    cells = [
        f"{len(content) / 1e6:.1f}",
        f"{compared.difference:.1e}",
        f"{versions['opset']}, {versions['ir']}",
        *times[:2],
        f"{len(small) / 1e6:.1f}",
        times[2],
    ]
    return f"| `{name}` | {' | '.join(cells)} |"


def main() -> None:
    """Print a table: medians of 20 runs in turns, batch 1, one thread."""
    print(HEADER)
    print("|---|--:|--:|---|--:|--:|--:|--:|")
    for name in sys.argv[1:] or NAMES:
        print(row(name), flush=True)


if __name__ == "__main__":
    main()
