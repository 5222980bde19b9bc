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
    from scalenet.arch.config import Config, load_config, save
    from scalenet.arch.errors import PlainError, RunError, ScalenetError, UnknownNameError
    from scalenet.arch.spec import Architecture
    from scalenet.costs.counter import Measurement, measure
    from scalenet.costs.formula import Cost, cost
    from scalenet.costs.latency import Latency, latency
    from scalenet.costs.memory import Memory, largest_batch, memory
    from scalenet.model.builder import build
    from scalenet.scaling.rules import Multipliers, compound
    from scalenet.scaling.scaler import load, scale

_HOME = {
    "Architecture": "scalenet.arch.spec",
    "Config": "scalenet.arch.config",
    "Cost": "scalenet.costs.formula",
    "Latency": "scalenet.costs.latency",
    "Measurement": "scalenet.costs.counter",
    "Memory": "scalenet.costs.memory",
    "Multipliers": "scalenet.scaling.rules",
    "PlainError": "scalenet.arch.errors",
    "RunError": "scalenet.arch.errors",
    "ScalenetError": "scalenet.arch.errors",
    "UnknownNameError": "scalenet.arch.errors",
    "build": "scalenet.model.builder",
    "compound": "scalenet.scaling.rules",
    "cost": "scalenet.costs.formula",
    "largest_batch": "scalenet.costs.memory",
    "latency": "scalenet.costs.latency",
    "load": "scalenet.scaling.scaler",
    "load_config": "scalenet.arch.config",
    "measure": "scalenet.costs.counter",
    "memory": "scalenet.costs.memory",
    "register_block": "scalenet.arch.blocks",
    "save": "scalenet.arch.config",
    "scale": "scalenet.scaling.scaler",
}

_NAMES = {"register_block": "register"}
"""What is called otherwise at home."""

__all__ = [
    "Architecture",
    "Config",
    "Cost",
    "Latency",
    "Measurement",
    "Memory",
    "Multipliers",
    "PlainError",
    "RunError",
    "ScalenetError",
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
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), _NAMES.get(name, name))
    globals()[name] = value
    return value
