"""What all tests share: reproducible examples, one torch thread, and an environment that forces no colours."""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING

import pytest
import torch
import typer.testing
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

for _name in ("GITHUB_ACTIONS", "FORCE_COLOR", "CLICOLOR_FORCE", "PY_COLORS", "TTY_COMPATIBLE", "SCALENET_DEBUG"):
    os.environ.pop(_name, None)

# `pytest --hypothesis-profile=explore` looks for new counterexamples; without it every run tries the same ones.
settings.register_profile("reproducible", deadline=None, derandomize=True, max_examples=40)
settings.register_profile("explore", deadline=None, max_examples=400)
settings.load_profile("reproducible")

typer.testing._get_command = functools.cache(typer.testing._get_command)  # the options of all take time to read
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start: each core has a test to run


@pytest.fixture(autouse=True)
def _same_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _nothing_runs_on() -> Iterator[None]:
    yield
    if "commands" in sys.modules:
        sys.modules["commands"].end()
