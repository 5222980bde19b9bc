"""Other libraries, where they are installed: no test needs them."""

from __future__ import annotations

import warnings
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
import torch


def neighbour(library: str, module: str = "") -> Any:
    """Return a module of another library, or skip the test where it is not installed."""
    if find_spec(library) is None or (library == "timm" and find_spec("torchvision") is None):
        pytest.skip(f"{library} is not installed")
    for operator in ("nms", "qnms"):  # what torchvision wants and the CPU build of torch cannot load
        if not hasattr(torch.ops.torchvision, operator):
            schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{operator}", schema)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(f"{library}{module}")
