"""Compound model scaling for ConvNets, after EfficientNet (Tan & Le 2019).

A network is data; scaling is a function from data to data; a network's module, cost, table and file are
interpretations of one description. Names are imported on first use, so that `import scalenet` loads nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from scalenet._version import __version__

if TYPE_CHECKING:
    from scalenet.arch.blocks import register as register_block
    from scalenet.arch.config import (
        BudgetRule,
        CompoundRay,
        CompoundRule,
        Config,
        MultipliersRule,
        PresetRule,
        SharesRay,
        SharesRule,
        TinyRay,
        load_config,
    )
    from scalenet.arch.errors import PlainError, RunError, ScalenetError, UnknownNameError
    from scalenet.arch.spec import Architecture
    from scalenet.costs.counter import Measurement
    from scalenet.costs.formula import Cost
    from scalenet.costs.latency import Latency
    from scalenet.costs.memory import Memory
    from scalenet.library import cost, largest_batch, memory, save, scale, scale_by
    from scalenet.running import build, latency, measure
    from scalenet.scaling.rules import Multipliers, compound
    from scalenet.scaling.scaler import load

_HOME = {
    "Architecture": "scalenet.arch.spec",
    "BudgetRule": "scalenet.arch.config",
    "CompoundRay": "scalenet.arch.config",
    "CompoundRule": "scalenet.arch.config",
    "Config": "scalenet.arch.config",
    "Cost": "scalenet.costs.formula",
    "Latency": "scalenet.costs.latency",
    "Measurement": "scalenet.costs.counter",
    "Memory": "scalenet.costs.memory",
    "Multipliers": "scalenet.scaling.rules",
    "MultipliersRule": "scalenet.arch.config",
    "PlainError": "scalenet.arch.errors",
    "PresetRule": "scalenet.arch.config",
    "RunError": "scalenet.arch.errors",
    "ScalenetError": "scalenet.arch.errors",
    "SharesRay": "scalenet.arch.config",
    "SharesRule": "scalenet.arch.config",
    "TinyRay": "scalenet.arch.config",
    "UnknownNameError": "scalenet.arch.errors",
    "build": "scalenet.running",
    "compound": "scalenet.scaling.rules",
    "cost": "scalenet.library",
    "largest_batch": "scalenet.library",
    "latency": "scalenet.running",
    "load": "scalenet.scaling.scaler",
    "load_config": "scalenet.arch.config",
    "measure": "scalenet.running",
    "memory": "scalenet.library",
    "register_block": "scalenet.arch.blocks",
    "save": "scalenet.library",
    "scale": "scalenet.library",
    "scale_by": "scalenet.library",
}

_NAMES = {"register_block": "register"}
"""What is called otherwise at home."""

__all__ = [
    "Architecture",
    "BudgetRule",
    "CompoundRay",
    "CompoundRule",
    "Config",
    "Cost",
    "Latency",
    "Measurement",
    "Memory",
    "Multipliers",
    "MultipliersRule",
    "PlainError",
    "PresetRule",
    "RunError",
    "ScalenetError",
    "SharesRay",
    "SharesRule",
    "TinyRay",
    "UnknownNameError",
    "__version__",
    "build",
    "compound",
    "cost",
    "largest_batch",
    "latency",
    "load",
    "load_config",
    "measure",
    "memory",
    "register_block",
    "save",
    "scale",
    "scale_by",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), _NAMES.get(name, name))
    globals()[name] = value
    return value
