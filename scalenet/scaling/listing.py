"""Which baselines and presets there are, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from scalenet.arch import registry
from scalenet.arch.errors import ScalenetError
from scalenet.costs.formula import cost
from scalenet.scaling.presets import presets as published
from scalenet.scaling.scaler import find_config

if TYPE_CHECKING:
    from scalenet.arch.config import Config


@dataclass(frozen=True, slots=True)
class Listed:
    """A registered network: its input in pixels, FLOPs and parameters, its rounding set, and where it comes from."""

    name: str
    kind: str
    resolution: int | tuple[int, int]
    flops: int
    params: int
    rounding: str
    source: str | None


def baselines(pattern: str = "*", *, presets: bool = True) -> list[Listed]:
    """Return the registered baselines, then the presets, whose names match: `resnet*`, or a part of a name.

    `pandas.DataFrame(scalenet.baselines())` is a table of them. Raise ScalenetError where none matches.
    """
    pattern = pattern.replace("-", "_").lower()
    matching = [
        name for name in _names(presets=presets) if fnmatchcase(name.lower(), pattern) or pattern in name.lower()
    ]
    if not matching:
        raise ScalenetError(f"no baseline or preset matches {pattern!r}", hint="`scalenet baselines` lists all")
    return [_listed(name, find_config(name)) for name in matching]


def _names(*, presets: bool) -> list[str]:
    return list(dict.fromkeys([*registry.names(), *(published() if presets else ())]))


def _listed(name: str, config: Config) -> Listed:
    counts = cost(config.model)
    baseline, preset = config.baseline, published().get(name)
    of_base = None if preset is None else f"of {preset.base}"
    return Listed(
        name=name,
        kind="preset" if name not in registry.names() else "baseline",
        resolution=config.model.resolution,
        flops=counts.flops,
        params=counts.params,
        rounding=config.architecture().rounding,
        source=of_base if baseline is None else baseline.source,
    )
