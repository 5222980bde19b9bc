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
    from scalenet.arch.errors import ConfigError, PlainError, RunError, ScalenetError, UnknownNameError
    from scalenet.arch.spec import Architecture, Model
    from scalenet.checks.calls import check, lock
    from scalenet.checks.outcome import Locked, Report
    from scalenet.costs.counter import Measurement
    from scalenet.costs.formula import Cost
    from scalenet.costs.latency import Latency
    from scalenet.costs.memory import Memory
    from scalenet.exchange.exporting import ExportedWeights, export_weights
    from scalenet.exchange.importing import ImportedWeights, import_weights
    from scalenet.exchange.runtimes.calls import Exported, ExportedFile, export
    from scalenet.exchange.runtimes.quantizing import Int8Accuracy
    from scalenet.inheritance.inheriting import InheritedWeights, inherit
    from scalenet.library import (
        cost,
        explain,
        exponents,
        family,
        growth,
        largest_batch,
        memory,
        register_baseline,
        save,
        scale,
        scale_by,
        verify,
    )
    from scalenet.running import build, latency, measure
    from scalenet.scaling.comparators import Comparator, comparators
    from scalenet.scaling.difference import Difference, diff
    from scalenet.scaling.elasticity import Exponent, Growth
    from scalenet.scaling.explanation import Explanation
    from scalenet.scaling.listing import Listed, baselines
    from scalenet.scaling.request import How
    from scalenet.scaling.rules import Multipliers, compound
    from scalenet.scaling.scaler import load
    from scalenet.search.baseline.calls import baseline_search, open_baseline_search
    from scalenet.search.baseline.hunting import BaselineSearch
    from scalenet.search.calls import grid_search, open_search, searches
    from scalenet.search.search import Search
    from scalenet.spaces.latencies import Latencies
    from scalenet.spaces.timing import time_space
    from scalenet.studies.calls import open_study, study
    from scalenet.studies.definition import load_study
    from scalenet.studies.maps import ActivationMaps, cam
    from scalenet.studies.study import Study
    from scalenet.studies.transfer import Transfers, transfer
    from scalenet.training.calls import TrainingResult, evaluate, train
    from scalenet.training.recipe import Recipe, load_recipe
    from scalenet.training.scoring import Evaluation

_HOME = {
    "ActivationMaps": "scalenet.studies.maps",
    "Architecture": "scalenet.arch.spec",
    "BaselineSearch": "scalenet.search.baseline.hunting",
    "BudgetRule": "scalenet.arch.config",
    "CompoundRay": "scalenet.arch.config",
    "CompoundRule": "scalenet.arch.config",
    "Config": "scalenet.arch.config",
    "ConfigError": "scalenet.arch.errors",
    "Cost": "scalenet.costs.formula",
    "Difference": "scalenet.scaling.difference",
    "Evaluation": "scalenet.training.scoring",
    "Explanation": "scalenet.scaling.explanation",
    "Exponent": "scalenet.scaling.elasticity",
    "Exported": "scalenet.exchange.runtimes.calls",
    "ExportedFile": "scalenet.exchange.runtimes.calls",
    "ExportedWeights": "scalenet.exchange.exporting",
    "Growth": "scalenet.scaling.elasticity",
    "How": "scalenet.scaling.request",
    "ImportedWeights": "scalenet.exchange.importing",
    "Int8Accuracy": "scalenet.exchange.runtimes.quantizing",
    "InheritedWeights": "scalenet.inheritance.inheriting",
    "Latencies": "scalenet.spaces.latencies",
    "Latency": "scalenet.costs.latency",
    "Comparator": "scalenet.scaling.comparators",
    "Listed": "scalenet.scaling.listing",
    "Locked": "scalenet.checks.outcome",
    "Measurement": "scalenet.costs.counter",
    "Memory": "scalenet.costs.memory",
    "Model": "scalenet.arch.spec",
    "Multipliers": "scalenet.scaling.rules",
    "MultipliersRule": "scalenet.arch.config",
    "PlainError": "scalenet.arch.errors",
    "PresetRule": "scalenet.arch.config",
    "Recipe": "scalenet.training.recipe",
    "Report": "scalenet.checks.outcome",
    "RunError": "scalenet.arch.errors",
    "ScalenetError": "scalenet.arch.errors",
    "Search": "scalenet.search.search",
    "Study": "scalenet.studies.study",
    "SharesRay": "scalenet.arch.config",
    "SharesRule": "scalenet.arch.config",
    "TinyRay": "scalenet.arch.config",
    "TrainingResult": "scalenet.training.calls",
    "Transfers": "scalenet.studies.transfer",
    "UnknownNameError": "scalenet.arch.errors",
    "baseline_search": "scalenet.search.baseline.calls",
    "baselines": "scalenet.scaling.listing",
    "comparators": "scalenet.scaling.comparators",
    "build": "scalenet.running",
    "cam": "scalenet.studies.maps",
    "check": "scalenet.checks.calls",
    "compound": "scalenet.scaling.rules",
    "cost": "scalenet.library",
    "diff": "scalenet.scaling.difference",
    "evaluate": "scalenet.training.calls",
    "explain": "scalenet.library",
    "exponents": "scalenet.library",
    "export": "scalenet.exchange.runtimes.calls",
    "export_weights": "scalenet.exchange.exporting",
    "family": "scalenet.library",
    "grid_search": "scalenet.search.calls",
    "growth": "scalenet.library",
    "import_weights": "scalenet.exchange.importing",
    "inherit": "scalenet.inheritance.inheriting",
    "largest_batch": "scalenet.library",
    "latency": "scalenet.running",
    "load": "scalenet.scaling.scaler",
    "load_config": "scalenet.arch.config",
    "load_recipe": "scalenet.training.recipe",
    "load_study": "scalenet.studies.definition",
    "open_study": "scalenet.studies.calls",
    "study": "scalenet.studies.calls",
    "lock": "scalenet.checks.calls",
    "measure": "scalenet.running",
    "memory": "scalenet.library",
    "open_baseline_search": "scalenet.search.baseline.calls",
    "open_search": "scalenet.search.calls",
    "register_baseline": "scalenet.library",
    "register_block": "scalenet.arch.blocks",
    "save": "scalenet.library",
    "scale": "scalenet.library",
    "scale_by": "scalenet.library",
    "searches": "scalenet.search.calls",
    "time_space": "scalenet.spaces.timing",
    "train": "scalenet.training.calls",
    "transfer": "scalenet.studies.transfer",
    "verify": "scalenet.library",
}

_NAMES = {"register_block": "register"}
"""What is called otherwise at home."""

__all__ = [
    "ActivationMaps",
    "Architecture",
    "BaselineSearch",
    "BudgetRule",
    "Comparator",
    "CompoundRay",
    "CompoundRule",
    "Config",
    "ConfigError",
    "Cost",
    "Difference",
    "Evaluation",
    "Explanation",
    "Exponent",
    "Exported",
    "ExportedFile",
    "ExportedWeights",
    "Growth",
    "How",
    "ImportedWeights",
    "InheritedWeights",
    "Int8Accuracy",
    "Latencies",
    "Latency",
    "Listed",
    "Locked",
    "Measurement",
    "Memory",
    "Model",
    "Multipliers",
    "MultipliersRule",
    "PlainError",
    "PresetRule",
    "Recipe",
    "Report",
    "RunError",
    "ScalenetError",
    "Search",
    "SharesRay",
    "SharesRule",
    "Study",
    "TinyRay",
    "TrainingResult",
    "Transfers",
    "UnknownNameError",
    "__version__",
    "baseline_search",
    "baselines",
    "build",
    "cam",
    "check",
    "comparators",
    "compound",
    "cost",
    "diff",
    "evaluate",
    "explain",
    "exponents",
    "export",
    "export_weights",
    "family",
    "grid_search",
    "growth",
    "import_weights",
    "inherit",
    "largest_batch",
    "latency",
    "load",
    "load_config",
    "load_recipe",
    "load_study",
    "lock",
    "measure",
    "memory",
    "open_baseline_search",
    "open_search",
    "open_study",
    "register_baseline",
    "register_block",
    "save",
    "scale",
    "scale_by",
    "searches",
    "study",
    "time_space",
    "train",
    "transfer",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), _NAMES.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__") and name not in __all__)])
