"""Networks that are not scalenet's, as baselines: factories of a width and a depth."""

from __future__ import annotations

from torch import Tensor, nn


class Block(nn.Module):
    """A residual block of plain PyTorch: depthwise 5×5, then two 1×1 with a GELU between them."""

    def __init__(self, channels: int, expand: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.widen = nn.Conv2d(channels, expand * channels, 1)
        self.act = nn.GELU()
        self.narrow = nn.Conv2d(expand * channels, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        change: Tensor = self.narrow(self.act(self.widen(self.norm(self.mix(maps)))))
        return maps + change


class Mixer(nn.Module):
    """Three stages of blocks; each begins by halving the maps."""

    def __init__(self, widths: list[int], depths: list[int], classes: int) -> None:
        super().__init__()
        stages = []
        for entering, width, depth in zip([3, *widths], widths, depths, strict=False):
            halve = nn.Conv2d(entering, width, 3, stride=2, padding=1)
            stages.append(nn.Sequential(halve, *(Block(width, expand=3) for _ in range(depth))))
        self.stages = nn.Sequential(*stages)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [images, classes]."""
        logits: Tensor = self.head(self.stages(images))
        return logits


def mixer(width: float = 1.0, depth: float = 1.0, classes: int = 10) -> nn.Module:
    """Return the network with its channels and blocks multiplied, rounded as it likes to be."""
    widths = [max(8, 8 * round(channels * width / 8)) for channels in (32, 64, 128)]
    depths = [max(1, round(blocks * depth)) for blocks in (2, 3, 2)]
    return Mixer(widths, depths, classes)
