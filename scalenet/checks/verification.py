"""Verification of a config file: rebuild it, count it again, scale it again, and tell every difference."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from scalenet._version import __version__
from scalenet.arch.comparison import differences
from scalenet.arch.config import as_data
from scalenet.arch.errors import PlainError, ScalenetError, one_line
from scalenet.arch.factory import Factory
from scalenet.costs.network import cost_record, counted
from scalenet.scaling.rounding import rounding_set
from scalenet.scaling.scaler import rescale

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalenet.arch.config import Config, Scaling
    from scalenet.arch.spec import Buildable, Model
    from scalenet.costs.counter import Measurement


def verify(config: Config) -> list[str]:
    """Return one line for each difference between what a config says and what it gives today; none when all holds.

    Its costs are counted by formula and its recorded scaling is redone from its base; where both hold, the model is
    rebuilt and measured with fvcore. Baselines have no recorded cost or scaling; they are built and measured.
    What wrote the file is compared where it is this version: see `writer`.
    """
    lines: list[str] = []
    if config.cost is not None:
        lines += _compare(as_data(config.cost), as_data(cost_record(config.network)), "cost", "counted")
    if config.scaling is not None:
        lines += _rescaled(config, config.scaling)
    return lines or list(_measured(config.network))


def writer(config: Config) -> str | None:
    """Return the version of scalenet that wrote a config where it is another than this, which is no difference."""
    version = config.provenance.scalenet if config.provenance else __version__
    return None if version == __version__ else version


def _measured(model: Buildable) -> Iterator[str]:
    if isinstance(model, Factory):
        counted(model)  # which raises where it cannot be
        return
    try:
        measurement = measured(model)
    except PlainError:
        raise
    except Exception as error:
        yield f"model: cannot be built and measured: {one_line(error)}"
        return
    yield from disagreements(model, measurement)


def measured(model: Buildable) -> Measurement:
    """Build a network, a large one without values, and count it with fvcore."""
    if isinstance(model, Factory):
        return counted(model)[0]
    import torch  # noqa: PLC0415 - the formula's part of verification works without it

    from scalenet.costs.counter import is_large, measure  # noqa: PLC0415
    from scalenet.model.builder import build  # noqa: PLC0415

    large = is_large(cost_record(model).params, model.channels * prod(model.size))
    with torch.device("meta" if large else "cpu"):
        return measure(build(model), torch.zeros(1, model.channels, *model.size))


def disagreements(model: Model, measurement: Measurement) -> Iterator[str]:
    """Yield one line for each figure in which the formula and fvcore differ."""
    formula = cost_record(model)
    counted = {operator: count for operator, count in measurement.flops_by_operator.items() if count}
    pairs = {
        "flops": (formula.flops, measurement.flops),
        "params": (formula.params, measurement.params),
        "activations": (formula.activations, measurement.activations),
        **{
            f"flops_by_operator.{operator}": (formula.flops_by_operator.get(operator, 0), counted.get(operator, 0))
            for operator in {**formula.flops_by_operator, **counted}
        },
    }
    for key, (expected, found) in pairs.items():
        if expected != found:
            yield f"{key}: {expected} by formula, {found} by fvcore"


def _rescaled(config: Config, scaling: Scaling) -> Iterator[str]:
    rounding = scaling.rounding
    try:
        today = rounding_set(rounding.name).version
        again = rescale(scaling, name=config.name)
    except ScalenetError as error:
        yield f"scaling: cannot be redone: {error}"
        return
    if today != rounding.version:
        yield f"scaling.rounding: made with version {rounding.version} of {rounding.name}, this is version {today}"
    key = "factory" if isinstance(config.network, Factory) else "model"
    yield from _compare(as_data(config.network), as_data(again.network), key, "scaled again")
    if config.provenance is not None and again.provenance is not None and writer(config) is None:
        yield from _compare(as_data(config.provenance), as_data(again.provenance), "provenance", "by this version")
    if again.scaling is not None:
        recorded, redone = as_data(scaling), as_data(again.scaling)
        for key in ("asked", "nominal", "applied", "solution", "regularization"):
            yield from _compare(recorded.get(key), redone.get(key), f"scaling.{key}", "scaled again")


def _compare(recorded: Any, again: Any, place: str, how: str) -> Iterator[str]:
    for path, before, after in differences(recorded, again, place):
        yield f"{path}: {before} in the file, {after} {how}"
