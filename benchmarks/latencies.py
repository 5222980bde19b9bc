"""How well does a table of latencies tell what whole networks take? Beside FLOPs, parameters and activations.

    python benchmarks/latencies.py [--space small_images] [--resolution 32] [--flops 5M±5%] [--members 40]

Measures a table as `scalenet latency --space` does, draws random members of a band, and runs them as a whole in turns,
the fastest of 20 runs each. Every predictor is brought to the scale of latencies by the median of the ratios; what is
printed is its rank correlation with them, and by how much it is off. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy import stats

from scalenet import time_space
from scalenet.costs.latency import Setup, latencies
from scalenet.spaces.limits import read_limits
from scalenet.spaces.members import Membership
from scalenet.spaces.space import load_space


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--space", default="small_images")
    options.add_argument("--resolution", type=int, default=32)
    options.add_argument("--flops", default="5M±5%")
    options.add_argument("--members", type=int, default=40)
    options.add_argument("--device", default="cpu")
    asked = options.parse_args()
    space = load_space(asked.space).changed_to(resolution=asked.resolution, classes=10)
    began = time.monotonic()
    table = time_space(space, device=asked.device)
    print(f"measured in {time.monotonic() - began:.0f} s; {table}; whole networks take {table.ratio} of their sums\n")
    members = Membership(space, read_limits(flops=asked.flops), latencies=table)
    drawn = members.draw(asked.members, np.random.default_rng(1)).members
    networks = [space.network(member) for member in drawn.tolist()]
    taken = np.array([one.minimum for one in latencies(networks, Setup(device=asked.device))])
    print(f"{len(taken)} members of {asked.flops}: {1e3 * taken.min():.3g} to {1e3 * taken.max():.3g} ms\n")
    print("| by | rank correlation | off, median | off, most |")
    print("|---|---|---|---|")
    for name, values in members.counts(drawn).items():
        ratios = taken / values
        off = np.abs(ratios / np.median(ratios) - 1)
        if name == "latency":
            off = np.abs(taken / (values / 1e9) - 1)  # it is in seconds as it stands
        print(f"| {name} | {stats.spearmanr(values, taken)[0]:.2f} | {np.median(off):.0%} | {off.max():.0%} |")


if __name__ == "__main__":
    main()
