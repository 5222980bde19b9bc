"""A network and images so small that a search over them takes seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

NETWORK = """\
schema: scalenet/1
name: tiny
model:
  resolution: 8
  activation: relu
  norm: {kind: batchnorm}
  stem: {kind: conv, width: 4, kernel: 3, stride: 1}
  stages:
  - {block: basic, depth: 1, width: 4, stride: 2}
  head: {kind: linear, classes: 2}
"""

GRID = """\
schema: scalenet-grid/1
name: three
points: {kind: list, values: [[2, 1, 1], [1, 1.5, 1], [1, 1, 1.5]]}
include: []
rounding: fine
"""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `net.yaml`, `grid.yaml` and `images/`: dark and light squares with noise."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "net.yaml").write_text(NETWORK)
    (folder / "grid.yaml").write_text(GRID)
    draw = np.random.default_rng(0)
    for name, level in (("dark", 90), ("light", 160)):
        (folder / "images" / name).mkdir(parents=True)
        for number in range(60):
            pixels = np.clip(draw.normal(level, 40, (8, 8, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "images" / name / f"{number:03}.png")
    return folder
