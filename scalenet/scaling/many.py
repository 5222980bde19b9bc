"""Many scaled networks at once: arrays of multipliers in, arrays of counts out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from scalenet.arch.errors import ScalenetError
from scalenet.costs import network
from scalenet.costs.formula import Cost, cost_many
from scalenet.scaling.multiply import scale_dimensions
from scalenet.scaling.rounding import rounding_set
from scalenet.scaling.rules import LEAST, MOST
from scalenet.scaling.scaler import scale

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from scalenet.arch.spec import Architecture

Factor: TypeAlias = "float | ArrayLike"
"""A multiplier, or an array of them."""


def cost(
    architecture: Architecture,
    *,
    depth: Factor = 1.0,
    width: Factor = 1.0,
    resolution: Factor = 1.0,
    rounding: str | None = None,
) -> Cost:
    """Count a network, or what multipliers make of it: every figure is an exact integer, equal to fvcore's.

    Arrays of multipliers are broadcast against each other, and the figures are int64 arrays of the common shape, as of
    `scale` for each element. `rounding` is as in `scale`. Raise ScalenetError for multipliers outside 1e-6 … 1e6, for
    shapes that do not fit, and for counts of 2⁵³ or more in arrays.
    """
    factors = {"depth": depth, "width": width, "resolution": resolution}
    arrays = {name: _numbers(name, factor) for name, factor in factors.items()}
    if all(array.ndim == 0 for array in arrays.values()):
        if rounding is None and all(array == 1 for array in arrays.values()):
            return network.cost(architecture)
        numbers = {name: float(array) for name, array in arrays.items()}
        return network.cost(scale(architecture, **numbers, rounding=rounding))
    return _many(architecture, _broadcast(arrays), rounding)


def _numbers(name: str, factor: Any) -> NDArray[np.float64]:
    try:
        array = np.asarray(factor, np.float64)
    except (TypeError, ValueError):
        raise ScalenetError(f"{name}: {type(factor).__name__} is no array of numbers") from None
    wrong = array[~((array >= LEAST) & (array <= MOST))]
    if wrong.size:
        raise ScalenetError(f"multipliers out of range: {name} {wrong.flat[0]:g}", hint="1e-6 to 1e6 are possible")
    return array


def _broadcast(arrays: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    try:
        return dict(zip(arrays, np.broadcast_arrays(*arrays.values()), strict=True))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ScalenetError(f"shapes do not fit: {shapes}", hint="arrays of one length, or that broadcast") from None


def _many(architecture: Architecture, candidates: dict[str, NDArray[np.float64]], rounding: str | None) -> Cost:
    shape = candidates["depth"].shape
    chosen = rounding_set(rounding or architecture.rounding)
    flat = {name: values.ravel() for name, values in candidates.items()}
    numbers = scale_dimensions(architecture.model, chosen, **flat)
    try:
        found = cost_many(architecture.model, numbers)
    except OverflowError as error:
        raise ScalenetError(str(error), hint="smaller multipliers, or one network at a time") from None
    return Cost(
        flops=found.flops.reshape(shape),
        flops_by_operator={name: values.reshape(shape) for name, values in found.flops_by_operator.items()},
        params=found.params.reshape(shape),
        activations=found.activations.reshape(shape),
        candidates=candidates,
    )
