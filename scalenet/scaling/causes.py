"""Why the achieved FLOPs of a scaling are not the asked ones, cause by cause and part by part."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from scalenet.arch.errors import ScalenetError
from scalenet.arch.spec import dimensions, layer_tree
from scalenet.costs.formula import walk
from scalenet.scaling.multiply import unrounded
from scalenet.scaling.rounding import rounding_set
from scalenet.scaling.scaler import asked_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalenet.arch.config import Config
    from scalenet.arch.layers import Network
    from scalenet.arch.spec import Architecture, Model
    from scalenet.scaling.rounding import Rounding
    from scalenet.scaling.rules import Multipliers


@dataclass(frozen=True, slots=True)
class Deviation:
    """A cause of achieved FLOPs that are not the asked ones: the factor it contributes, and the FLOPs it adds.

    `flops` are those added to stem, stages and head, in this order; negative where the cause saves.
    """

    cause: str
    factor: float
    flops: tuple[float, ...]

    @property
    def reason(self) -> str:
        """The cause in words."""
        return CAUSES[self.cause]


CAUSES = {
    "coefficients": "coefficients: d · w² · r² is not the asked ratio",
    "stem_head": "stem and head, which do not grow with d · w² · r²",
    "first_blocks": "first blocks of stages, and fixed depths, which do not grow with d",
    "squeeze_excite": "squeeze-excite, which does not grow with r²",
    "depthwise": "depthwise convolutions, and all else that does not grow with w²",
    "depths": "depths rounded",
    "widths": "widths rounded, those of stem and head too",
    "sizes": "input and feature-map sizes rounded",
    "description": "blocks and options that are not the base's",
}
"""Why achieved is not asked: what a `Deviation` names, in the order in which the causes are told apart."""


def deviations(base: Architecture, config: Config) -> list[Deviation]:
    """Return why the achieved FLOPs are not the asked ones: the factors multiply to, the FLOPs sum to the difference.

    From the FLOPs that the target asks of each part, each step puts in one thing more of the scaled network: first
    the nominal d · w² · r², then its own arithmetic at unrounded dimensions, then its rounded depths, widths and sizes.
    What the base itself has lost to rounding is no deviation.
    """
    if config.scaling is None:
        raise ScalenetError(f"{config.name} was not scaled", hint="only a scaled config has deviations")
    asked, target = asked_of(base, config.scaling)
    ladder = _ladder(base.model, config.model, rounding_set(config.scaling.rounding.name), asked, target)
    totals = [rung.sum() for rung in ladder]
    return [
        Deviation(cause, float(after / before), tuple(map(float, high - low)))
        for cause, (before, after), (low, high) in zip(CAUSES, pairwise(totals), pairwise(ladder), strict=True)
        if cause != "description" or any(high != low)
    ]


def _ladder(base: Model, model: Model, rounding: Rounding, asked: Multipliers, target: float) -> list[NDArray[Any]]:
    """Return the FLOPs of each part as asked, and with each of the `CAUSES` put in; the last are the model's."""
    # a head without a width counts as the base's: what it saves is no rounding
    rounded = dimensions(model).each(lambda after, before: after or before, dimensions(base))
    before = unrounded(base, rounding, depth=1.0, width=1.0, resolution=1.0)
    after = unrounded(base, rounding, **asked._asdict())
    grown = before._replace(depths=after.depths)
    deep = after._replace(depths=rounded.depths)
    wide = deep._replace(widths=rounded.widths)
    grown_layers, after_layers = layer_tree(base, grown), layer_tree(base, after)
    exact, real = _flops(layer_tree(base), smooth=False), _flops(after_layers)
    lost = _ratio(exact, _flops(layer_tree(base, before)))  # what rounding has cost the base
    gates = real - _flops(after_layers, gates=False)
    block = asked.width**2 * asked.resolution**2
    ends = np.array([True, *[False] * len(base.stages), True])
    return [
        exact * target,
        exact * asked.flops_ratio,
        np.where(ends, real * lost, exact * asked.flops_ratio),
        np.where(ends, real, _flops(grown_layers) * block) * lost,
        np.where(ends, real, _flops(grown_layers, gates=False) * block + gates) * lost,
        real * lost,
        _flops(layer_tree(base, deep)) * lost,
        _flops(layer_tree(base, wide)) * _ratio(exact, _flops(layer_tree(base))),
        _flops(layer_tree(base, rounded), smooth=False),
        _flops(layer_tree(model), smooth=False),
    ]


def _flops(layers: Network, *, smooth: bool = True, gates: bool = True) -> NDArray[Any]:
    """Return the FLOPs of each part; a fraction of one block costs that fraction of a stage's first block."""
    parts = list(walk(layers, smooth=smooth, gates=gates))
    deep = [part.cost.flops if part.depth >= 1 else part.runs[0].tally.flops * part.depth for part in parts]
    return np.array(deep, np.float64)


def _ratio(exact: NDArray[Any], smooth: NDArray[Any]) -> NDArray[Any]:
    """Return exact / smooth, and 1 for a part that costs nothing."""
    ratio: NDArray[Any] = np.divide(exact, smooth, out=np.ones_like(exact), where=smooth > 0)
    return ratio
