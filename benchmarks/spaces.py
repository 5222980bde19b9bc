"""How fast members of spaces are costed, and how many meet a band.

    python benchmarks/spaces.py --speed

Prints a row a space: seconds to count all stages, members costed a second on one core, the share inside the band, and
seconds to draw 50 members of it.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from scalenet.spaces.costs import tables_of
from scalenet.spaces.limits import read_limits
from scalenet.spaces.members import Membership
from scalenet.spaces.space import load_space

BANDS = {"mnasnet": "400M±2%", "small_images": "5M±2%"}
MEMBERS = 1_000_000


def speed(name: str, band: str) -> str:
    """Return a row of Markdown about a space and a band."""
    space, random = load_space(name), np.random.default_rng(0)
    began = time.perf_counter()
    tables = tables_of(space)
    counted = time.perf_counter()
    drawn = np.column_stack([random.integers(number, size=MEMBERS) for number in space.variants])
    start = time.perf_counter()
    costs = tables.costs(drawn)
    seconds = time.perf_counter() - start
    members = Membership(space, read_limits(flops=band), tables)
    start = time.perf_counter()
    members.draw(50, random)
    took = time.perf_counter() - start
    share = float((members.limits.violations(costs) <= 0).mean())
    return f"| {name} | {counted - began:.2f} | {MEMBERS / seconds:,.0f} | {band} | {100 * share:.1f} % | {took:.4f} |"


def main() -> None:
    """Print what was asked for."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--speed", action="store_true", help="how fast members are costed")
    options.parse_args()
    for name, band in BANDS.items():
        print(speed(name, band), flush=True)


if __name__ == "__main__":
    main()
