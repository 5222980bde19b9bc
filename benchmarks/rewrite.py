"""Rewrite 24 networks of timm at 1.5 and 0.5 times their width, and at 2 and 0.5 times their depth.

    OMP_NUM_THREADS=1 nice python benchmarks/rewrite.py [NAME …]

It needs torch-pruning, timm==1.0.31 and torchvision==0.28.0. Each row of Markdown is a network: the groups of channels
and the runs of siblings that can be changed, of those found, and its FLOPs by torch's own counter, relative to its own.
Exit code 1 if fewer than 17 can be changed in all of their width, or another one in none.
"""

from __future__ import annotations

import sys
import time
import warnings
from importlib import import_module
from typing import TYPE_CHECKING

import torch
from counting import load_torchvision
from torch.utils.flop_counter import FlopCounterMode

from scalenet.arch.errors import ScalenetError
from scalenet.model.rewriting import knobs

if TYPE_CHECKING:
    from torch import nn

NETWORKS = """
    resnet18 resnet50 efficientnet_b0 mobilenetv3_small_100 regnety_004 resnext50_32x4d densenet121 convnext_atto vgg11
    repvgg_a0 hrnet_w18_small mobilenetv4_conv_small starnet_s1 hardcorenas_a xception41 inception_v3 dla34
    ghostnet_100 cspresnet50 mixnet_s fasternet_t0 levit_128s resnest14d vit_tiny_patch16_224
"""
SIZES = ((1.5, 1.0), (0.5, 1.0), (1.0, 2.0), (1.0, 0.5))
"""Widths and depths that are made."""
WHOLE = 17


def make(name: str, device: str) -> nn.Module:
    """Return a network of timm with fresh weights, or without values."""
    with torch.device(device):
        module: nn.Module = import_module("timm").create_model(name)
    return module.eval()


def flops(module: nn.Module, size: int) -> int:
    """Return the multiply-adds of a network by torch's own counter, which takes one for two."""
    device = next(module.parameters()).device
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.eval()(torch.zeros(1, 3, size, size, device=device))
    return int(counter.get_total_flops()) // 2


def row(name: str) -> tuple[str, bool, bool]:
    """Return a network's row, and whether all of its width and any of it can be changed."""
    size = 299 if name == "inception_v3" else 224
    start = time.process_time()
    try:
        found = knobs(lambda: make(name, "cpu"), lambda: make(name, "meta"), torch.zeros(1, 3, size, size))
    except ScalenetError as error:
        return f"| {name} | {error} |", False, False
    seconds = time.process_time() - start
    own = flops(make(name, "meta"), size)
    made = (found.turn(make(name, "meta"), width=width, depth=depth) for width, depth in SIZES)
    ratios = " | ".join(f"{flops(module, size) / own:.2f}" for module in made)
    groups, runs = f"{len(found.groups)} of {found.found_groups}", f"{len(found.runs)} of {found.found_runs}"
    text = f"| {name} | {groups} | {runs} | {ratios} | {seconds:.1f} |"
    return text, len(found.groups) == found.found_groups, bool(found.groups)


def main(names: list[str]) -> int:
    """Print a table of the networks, and what they come to."""
    warnings.simplefilter("ignore")
    load_torchvision()
    print("| network | groups of channels | runs of siblings | width 1.5 | 0.5 | depth 2 | 0.5 | s |")
    print("|---|---|---|---|---|---|---|---|")
    whole, some, chosen = 0, 0, names or NETWORKS.split()
    for name in chosen:
        text, all_width, any_width = row(name)
        print(text, flush=True)
        whole, some = whole + all_width, some + any_width
    print(f"\n{whole} of {len(chosen)} can be changed in all of their width, {some} in some of it")
    return 0 if names or (whole >= WHOLE and some == len(chosen)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
