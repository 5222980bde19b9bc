"""The formula of peak memory against what PyTorch allocates, for every baseline, or for those named.

    python benchmarks/memory.py [--device cuda] [NAME…]

At batch 1 and 32, inference and training; on the CPU some minutes and 6 GB. Prints Markdown: the formula's peak,
and by how much it is above (+) or below (−) what is allocated, in all and between kernels (CPU only).
"""

from __future__ import annotations

import argparse

from scalenet import load
from scalenet.arch import registry
from scalenet.costs.allocation import allocated
from scalenet.costs.memory import memory


def main() -> None:
    """Print a row for each network, step and batch."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=list(registry.names()))
    parser.add_argument("--device", default="cpu")
    wanted = parser.parse_args()
    print("| network | step | batch | formula, MB | error | error between kernels |\n|---|---|---|---|---|---|")
    for name in wanted.names:
        for training in (False, True):
            for batch in (1, 32):
                print(f"| {row(name, batch, training, wanted.device)} |", flush=True)


def row(name: str, batch: int, training: bool, device: str) -> str:
    """Return one row of the table."""
    architecture = load(name)
    found = allocated(architecture, batch=batch, training=training, device=device)
    formula = memory(architecture, batch=batch, training=training).peak
    errors = (found.peak, found.between_kernels)
    shown = ("–" if real is None else f"{100 * (formula / real - 1):+.2f} %" for real in errors)
    return " | ".join((name, "training" if training else "inference", str(batch), f"{formula / 1e6:.1f}", *shown))


if __name__ == "__main__":
    main()
