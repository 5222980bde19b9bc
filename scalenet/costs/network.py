"""What any network costs: a description by formula, a factory's by fvcore, without values where that goes.

A factory's costs follow from its call, and are counted once a process for each.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from scalenet.arch.config import CostRecord, as_data
from scalenet.arch.convention import CONVENTION, OF_CONVNETS, matrix_flops
from scalenet.arch.errors import ScalenetError
from scalenet.arch.factory import Factory
from scalenet.costs import formula
from scalenet.costs.formula import Cost
from scalenet.costs.tables import stage_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn

    from scalenet.arch.spec import Architecture, Buildable
    from scalenet.costs.counter import Measurement

T = TypeVar("T")


class ModulePart(NamedTuple):
    """A top module, `(itself)` for what none does: its class, parameters, activations, and fvcore's operators."""

    name: str
    kind: str
    params: int
    activations: int
    operators: dict[str, int]

    @property
    def flops(self) -> int:
        """Multiply-adds of convolutions, linear layers and matrix products."""
        return matrix_flops(self.operators)


class Figures(NamedTuple):
    """What a scaling may be held to."""

    flops: int
    params: int
    activations: int


def cost(network: Architecture | Buildable) -> Cost:
    """Count a network for a batch of one; a factory's has no `parts`."""
    buildable = getattr(network, "network", network)
    if not isinstance(buildable, Factory):
        return formula.cost(buildable)
    found, _ = counted(buildable)
    return Cost(found.flops, _present(found.flops_by_operator), found.params, found.activations)


def cost_record(network: Buildable) -> CostRecord:
    """Return the counts of a network as a config file holds them."""
    if not isinstance(network, Factory):
        return formula.cost_record(network)
    counts = cost(network)
    products = set(counts.flops_by_operator) - {"conv", "linear"}
    return CostRecord(
        flops=counts.flops,
        flops_by_operator=counts.flops_by_operator,
        params=counts.params,
        activations=counts.activations,
        convention=CONVENTION if matrix_flops(dict.fromkeys(products, 1)) else OF_CONVNETS,
    )


_known: dict[tuple[str, str], Any] = {}


def _once(what: str, factory: Factory, count: Callable[[], T]) -> T:
    """Return what was counted of a factory before, or count it now."""
    key = what, json.dumps(as_data(factory), sort_keys=True)
    if key not in _known:
        _known[key] = count()
    found: T = _known[key]
    return found


def counted(factory: Factory) -> tuple[Measurement, tuple[ModulePart, ...]]:
    """Return fvcore's counts of what a factory makes, and its top modules; raise ScalenetError where none is whole."""
    return _once("counts", factory, lambda: _counted(factory))


def _counted(factory: Factory) -> tuple[Measurement, tuple[ModulePart, ...]]:
    from scalenet.costs.counter import measure  # noqa: PLC0415 - runs the network

    return _on_image(factory, lambda module, image: _with_parts(module, measure(module, image)))


def _with_parts(module: nn.Module, found: Measurement) -> tuple[Measurement, tuple[ModulePart, ...]]:
    return found, tuple(module_parts(module, found))


def figures(factory: Factory) -> Figures:
    """Return the costs of a factory in a third of the time, as torch's dispatcher sees them, without a witness."""
    return _once("figures", factory, lambda: _on_image(factory, _seen))


def _seen(module: nn.Module, image: Any) -> Figures:
    import torch  # noqa: PLC0415

    from scalenet.costs.observing import observing  # noqa: PLC0415

    with torch.no_grad(), observing({}) as seen:
        module.eval()(image)
    params = sum(parameter.numel() for parameter in module.parameters())
    return Figures(seen.total, params, seen.activations.total())


def _on_image(factory: Factory, count: Callable[[nn.Module, Any], T]) -> T:
    """Count a network and an image without values; with values where it reads them, or cannot be made without."""
    import torch  # noqa: PLC0415

    from scalenet.model.factories import made_empty, made_whole, not_run  # noqa: PLC0415

    for made in (made_empty, made_whole):
        module = made(factory)
        device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
        image = torch.zeros(1, factory.channels, *factory.size, device=device)
        try:
            return count(module, image)
        except Exception as error:
            problem = error
    if isinstance(problem, ScalenetError):
        raise ScalenetError(f"{factory}: {problem.message}", hint=problem.hint) from None
    raise not_run(factory, problem) from None


def module_parts(module: nn.Module, measurement: Measurement) -> Iterator[ModulePart]:
    """Yield the counts of each top module, and as `(itself)` what no top module does.

    A top container that holds containers, as the stages of most networks do, stands for what it holds.
    """
    tops = list(_tops(module))
    params = dict.fromkeys([*tops, ""], 0)
    for name, parameter in module.named_parameters():
        params[next((top for top in tops if name.startswith(f"{top}.")), "")] += parameter.numel()
    rest, activations = dict(measurement.flops_by_operator), measurement.activations
    for top in tops:
        own, made = measurement.flops_by_module.get(top, {}), measurement.activations_by_module.get(top, 0)
        kind = type(module.get_submodule(top)).__name__
        yield ModulePart(top, kind, params[top], made, _present(own))
        rest = {operator: count - own.get(operator, 0) for operator, count in rest.items()}
        activations -= made
    yield ModulePart("(itself)", type(module).__name__, params[""], activations, _present(rest))


def part_rows(factory: Factory) -> list[dict[str, Any]]:
    """Return a row a top module that costs something."""
    _, parts = counted(factory)
    return [
        {
            "stage": part.name,
            "operator": part.kind,
            "flops": part.flops,
            "params": part.params,
            "activations": part.activations,
        }
        for part in parts
        if part.params or part.activations or part.operators
    ]


def rows_of(network: Buildable) -> list[dict[str, Any]]:
    """Return a row a part of a network: stem, stages and head of a description, top modules of a factory's."""
    return part_rows(network) if isinstance(network, Factory) else stage_rows(network)


def _present(operators: dict[str, int]) -> dict[str, int]:
    return {operator: count for operator, count in sorted(operators.items()) if count}


def _tops(module: nn.Module) -> Iterator[str]:
    from torch import nn  # noqa: PLC0415

    for name, child in module.named_children():
        inner = list(child.named_children()) if isinstance(child, nn.Sequential | nn.ModuleList) else []
        if any(isinstance(one, nn.Sequential | nn.ModuleList) for _, one in inner):
            yield from (f"{name}.{below}" for below, _ in inner)
        else:
            yield name
