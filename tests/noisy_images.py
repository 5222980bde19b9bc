"""Images that a network of a few weights tells apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path


def write_images(folder: Path, levels: dict[str, int], count: int, *, size: int, seed: int = 0) -> None:
    """Write noisy squares of a brightness for each class."""
    draw = np.random.default_rng(seed)
    for name, level in levels.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.clip(draw.normal(level, 40, (size, size, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:03}.png")
