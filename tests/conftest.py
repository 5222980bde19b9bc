"""What all tests share: reproducible examples, one torch thread, and an environment that forces no colours."""

from __future__ import annotations

import os

import pytest
import torch
from hypothesis import settings

for _name in ("GITHUB_ACTIONS", "FORCE_COLOR", "CLICOLOR_FORCE", "PY_COLORS", "TTY_COMPATIBLE", "SCALENET_DEBUG"):
    os.environ.pop(_name, None)

# `pytest --hypothesis-profile=explore` looks for new counterexamples; without it every run tries the same ones.
settings.register_profile("reproducible", deadline=None, derandomize=True, max_examples=40)
settings.register_profile("explore", deadline=None, max_examples=400)
settings.load_profile("reproducible")

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _same_seed() -> None:
    torch.manual_seed(0)
