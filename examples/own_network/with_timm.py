"""timm's RegNetY as a factory: where a library has other arguments, a function of width and depth calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from timm.models.regnet import RegNet, RegNetCfg

if TYPE_CHECKING:
    from torch import nn


def regnet(width: float = 1.0, depth: float = 1.0, classes: int = 1000) -> nn.Module:
    """Return RegNetY-400MF, or one of other widths and depth: block j of n has w0 + wa · j channels, quantised."""
    blocks = max(4, round(16 * depth))
    start, slope = max(8, 8 * round(6 * width)), 27.89 * width * 16 / blocks
    config = RegNetCfg(w0=start, wa=slope, wm=2.09, group_size=8, depth=blocks, se_ratio=0.25)
    network: nn.Module = RegNet(config, num_classes=classes)
    return network
