"""A network and images so small that a training takes a second, and trainings in processes that can be killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from noisy_images import write_images

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
  - {block: mbconv, depth: 2, width: 4, stride: 2, kernel: 3, expand: 2, se: 0.25}
  head: {kind: linear, classes: 2}
  regularization: {dropout: 0.1, drop_path: 0.1}
"""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `net.yaml`, `images/` of two classes and `others/` of three, with train and val."""
    folder = tmp_path_factory.mktemp("training")
    (folder / "net.yaml").write_text(NETWORK)
    write_images(folder / "images", {"dark": 80, "light": 170}, 60, size=10)
    levels = {"black": 20, "grey": 120, "white": 230}
    write_images(folder / "others" / "train", levels, 20, size=10)
    write_images(folder / "others" / "val", levels, 5, size=10, seed=1)
    return folder
