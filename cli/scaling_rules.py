"""How `scalenet scale` reads its options: rules, rays and budgets."""

from __future__ import annotations

from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalenet.arch.quantities import parse_amounts, parse_bytes

from .options import checked, parse_shares, parse_sizes
from .output import note

if TYPE_CHECKING:
    from scalenet.arch.config import Metric, Ray, Rule
    from scalenet.arch.spec import Architecture


class RuleName(StrEnum):
    """Rules that take φ."""

    compound = "compound"
    depth = "depth"
    width = "width"
    resolution = "resolution"
    dwr = "dwr"
    tiny = "tiny"


_WAYS = (
    {"preset"},
    {"depth", "width", "resolution"},
    {"shares"},
    {"rule"},
    {"coefficients"},
    {"alpha", "beta", "gamma"},
)
_AMOUNTS = (
    {"flops", "params", "activations", "memory", "latency"},
    {"phi"},
)


def check_ways(options: dict[str, Any]) -> None:
    """Refuse options that say in two ways how to scale, or how far, and those of budgets where there is none."""
    from scalenet.arch.errors import ScalenetError

    given = set(options)
    complete = [way & given for way in _WAYS[:2] if way & given]
    for ways in (_WAYS, (*complete, *_AMOUNTS)):
        chosen = [sorted(way & given)[0] for way in ways if way & given]
        if len(chosen) > 1:
            words = " and ".join(f"--{way}" for way in chosen)
            raise ScalenetError(f"{words} exclude each other", hint="give one of them")
    if "exact" in given and (_AMOUNTS[0] & given or complete):
        raise ScalenetError("--exact goes with --phi: its target is 2^φ times the baseline's FLOPs")
    of_budgets = {"sizes", "per_stage"} & given
    budget = ({"exact"} | _AMOUNTS[0]) & given or options.get("rule") is RuleName.tiny
    if of_budgets and not budget:
        words = " and ".join(f"--{option.replace('_', '-')}" for option in sorted(of_budgets))
        raise ScalenetError(f"{words} without a budget", hint="give one: --flops 4G, or --exact --phi 3")


def preset_rule(name: str) -> Rule:
    from scalenet.arch.config import PresetRule

    return PresetRule(name=name.replace("-", "_"))


def multipliers_rule(**factors: float | None) -> Rule:
    from scalenet.arch.config import MultipliersRule

    return checked(MultipliersRule, **{name: 1.0 if factor is None else factor for name, factor in factors.items()})


def ray_of(rule: RuleName, shares: str | None, file: Path | None, given: dict[str, float | None], *, base: str) -> Ray:
    from scalenet.arch.config import CompoundRay, SharesRay, TinyRay
    from scalenet.scaling.rules import PAPER_COEFFICIENTS, SHARES

    if rule is RuleName.tiny:
        return TinyRay()
    if rule is RuleName.compound and shares is None:
        found = PAPER_COEFFICIENTS if file is None else _found(file, base)
        return checked(CompoundRay, **{**found, **{name: value for name, value in given.items() if value is not None}})
    split = SHARES[rule.value] if shares is None else parse_shares(shares)
    return checked(SharesRay, **dict(zip(("depth", "width", "resolution"), split, strict=True)))


def phi_rule(ray: Ray, phi: float) -> Rule:
    from scalenet.arch.config import CompoundRay, CompoundRule, SharesRule

    kind: type[CompoundRule | SharesRule] = CompoundRule if isinstance(ray, CompoundRay) else SharesRule
    return checked(kind, **ray.model_dump(), phi=phi)


def _found(file: Path, base: str) -> dict[str, float]:
    """Return the coefficients of a search, and say so where they were found for another baseline."""
    from scalenet.search.answer.coefficients import load_coefficients

    coefficients = load_coefficients(file)
    if coefficients.evidence is not None and coefficients.evidence.base != base:
        note(f"{file} was found for {coefficients.evidence.base}, not for {base}")
    return coefficients.multipliers()


def amounts(
    base: Architecture, limits: dict[str, str | None], phis: list[float] | None, *, batch: int, training: bool
) -> dict[Metric, list[int]]:
    """Return what each limit asks for; where none does, 2^φ times the FLOPs if `phis` are to be hit, or all of them."""
    from scalenet.costs.formula import cost
    from scalenet.costs.memory import memory

    counts = cost(base)
    own: dict[Metric, int] = {"flops": counts.flops, "params": counts.params, "activations": counts.activations}
    found = {metric: parse_amounts(text, own[metric]) for metric in own if (text := limits[metric]) is not None}
    if (text := limits["memory"]) is not None:
        peak = memory(base, batch=batch, training=training).peak
        found["memory"] = parse_amounts(text, peak, unit=parse_bytes)
    if not found and phis is not None:
        found["flops"] = [round(2.0**phi * counts.flops) for phi in phis]
    if not found and limits["latency"] is not None:
        found["flops"] = [counts.flops]
    return found


def budget_rules(
    base: Architecture,
    ray: Ray,
    amounts: dict[Metric, list[int]],
    rounding: str | None,
    *,
    sizes: str | None,
    **options: Any,
) -> list[Rule]:
    """Return a budget for each amount; of several limits the ray meets one first, the others are ceilings."""
    from scalenet.arch.config import BudgetRule
    from scalenet.arch.errors import ScalenetError
    from scalenet.scaling.budgets import binding
    from scalenet.scaling.rounding import rounding_set

    several = [f"--{metric}" for metric, values in amounts.items() if len(values) > 1]
    if len(several) > 1:
        raise ScalenetError(f"{' and '.join(several)}: only one may have several values")
    chosen = rounding_set(rounding or base.rounding)
    step = chosen.resolution_multiple if sizes is None else parse_sizes(sizes)
    rules: list[Rule] = []
    for values in product(*amounts.values()):
        (metric, value), *ceilings = zip(amounts, values, strict=True)
        limits = {"metric": metric, "value": value, "ceilings": dict(ceilings)}
        rules.append(binding(base.model, checked(BudgetRule, ray=ray, **limits, sizes=step, **options), chosen))
    return rules
