"""Seconds and peak memory of measuring a network, against plain fvcore in the same run; and `scalenet check --fast`.

Run with `make bench`. Every measurement is a process of its own; seconds are of the measurement alone, in the same
process once more after it (`again`), and memory is the whole process's, torch and the network included.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

NETWORKS = ("efficientnet_b0", "efficientnet_b7", "resnet152")
ROOT = Path(__file__).parents[1]
_START = """
import logging, pathlib, time, warnings
import torch, scalenet
warnings.simplefilter("ignore")
from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
logging.getLogger("fvcore").setLevel(logging.ERROR)
network = scalenet.load("{name}")
images = torch.zeros(1, 3, *network.model.size)
"""
_END = """
times = []
for _ in range(2):
    start = time.perf_counter()
    work()
    times.append(time.perf_counter() - start)
peak = pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
print(*times, int(peak) / 2**20)
"""
WAYS = {
    "plain fvcore": """
module = scalenet.build(network)
def work():
    FlopCountAnalysis(module, images).by_module_and_operator()
    ActivationCountAnalysis(module, images).total()
""",
    "plain fvcore, eval, no_grad, 1 thread": """
torch.set_num_threads(1)
module = scalenet.build(network).eval()
def work():
    with torch.no_grad():
        FlopCountAnalysis(module, images).by_module_and_operator()
        ActivationCountAnalysis(module, images).total()
""",
    "measure, module on the CPU": """
module = scalenet.build(network)
def work():
    scalenet.measure(module, images)
""",
    "measure, config": """
from scalenet.checks.verification import measured
def work():
    measured(network.model)
""",
}


def main() -> None:
    """Print a line for each network and way, and one for the fast check."""
    print(f"{'':16} {'':38} {'s':>6} {'again':>6} {'GiB':>6}")
    for name in NETWORKS:
        for way, code in WAYS.items():
            first, again, peak = _measured(_START.format(name=name) + code + _END)
            print(f"{name:16} {way:38} {first:6.2f} {again:6.2f} {peak:6.2f}")
    print(f"scalenet check --fast, all baselines and presets, whole process: {median(map(_fast, range(7))):.2f} s")


def _measured(code: str) -> list[float]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def _fast(_: int) -> float:
    start = time.perf_counter()
    subprocess.run(
        [Path(sys.executable).parent / "scalenet", "check", "--fast"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
