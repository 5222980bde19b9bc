"""The paper's comparators: what table 2 prints of each, and what is computed of those that exist here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from scalenet.arch import registry, strict_yaml
from scalenet.arch.amounts import Amount
from scalenet.arch.records import Record
from scalenet.costs.formula import cost
from scalenet.scaling.presets import presets
from scalenet.scaling.scaler import find_config

if TYPE_CHECKING:
    from collections.abc import Sequence


class Printed(Record):
    """A row of Tan & Le 2019, table 2: accuracies on ImageNet in percent, costs as amounts (`5.3M`, `0.39B`).

    `name` is that of the network here, for those that may be one.
    """

    model: str
    name: str | None = None
    top1: float
    top5: float
    params: Amount
    flops: Amount | None = None


@dataclass(frozen=True, slots=True)
class Comparator:
    """A network of the paper's table 2, as printed there and as computed here: None where there is no such network.

    `top1` and `top5` are percent of ImageNet's validation images, as printed.
    """

    model: str
    name: str | None
    top1: float
    top5: float
    published_params: int
    params: int | None
    published_flops: int | None
    flops: int | None


def comparators() -> list[Comparator]:
    """Return the networks of the paper's table 2 (Tan & Le 2019, arXiv 1905.11946v5), in its order."""
    known = {*registry.installed_names(), *presets()}
    return [_compared(row, row.name if row.name in known else None) for row in _printed()]


def _compared(row: Printed, name: str | None) -> Comparator:
    counts = None if name is None else cost(find_config(name).model)
    return Comparator(
        model=row.model,
        name=name,
        top1=row.top1,
        top5=row.top5,
        published_params=row.params,
        params=None if counts is None else counts.params,
        published_flops=row.flops,
        flops=None if counts is None else counts.flops,
    )


@cache
def _printed() -> Sequence[Printed]:
    text = (resources.files("scalenet.scaling") / "comparators.yaml").read_text(encoding="utf-8")
    data, _ = strict_yaml.parse(text, "comparators.yaml")
    return [Printed.model_validate(row) for row in data]
