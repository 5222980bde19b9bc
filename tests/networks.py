"""Baselines that tests which run them need not take all of."""

from __future__ import annotations

from scalenet.arch import registry

DEEP = {"resnet34", "resnet101", "resnet152"}
"""Others have the same blocks, fewer times: to run these takes long and shows nothing else."""

SMALL = [name for name in registry.names() if name not in DEEP]
