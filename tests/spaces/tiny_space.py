"""A space of a few hundred members, and all of them."""

from __future__ import annotations

import numpy as np

from scalenet.arch.config import read_record
from scalenet.spaces.space import Space

SMALL = """
schema: scalenet-space/1
name: tiny
rounding: fine
model:
  resolution: 16
  activation: relu
  norm: {kind: batchnorm}
  stem: {kind: conv, width: 8, kernel: 3, stride: 1}
  stages:
  - {block: [mnas_mbconv, basic], depth: [1, 2], width: [8, 12], stride: 2, kernel: [3, 5], expand: [2.0, 4.0]}
  - {block: mnas_conv, depth: 1, plus: [-1, 0, 1], width: 16, times: [0.5, 1.0], stride: 2, skip: [pool, none]}
  head: {kind: linear, classes: 4}
"""
"""Eight kinds less two (a basic block expands nothing), two widths, two depths; then two skips, widths and depths."""


def tiny(text: str = SMALL) -> Space:
    return read_record(Space, text, "tiny.yaml")


def every(space: Space) -> np.ndarray:
    return np.stack(np.unravel_index(np.arange(space.size), space.variants), axis=1)
