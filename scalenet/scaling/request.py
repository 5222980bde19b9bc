"""What a scaling is asked for: from what people write to rules, as `scalenet.scale_by` and `scalenet scale` take it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, cast

from scalenet.arch.config import (
    BudgetRule,
    CompoundRay,
    CompoundRule,
    MultipliersRule,
    PresetRule,
    SharesRay,
    SharesRule,
    TinyRay,
)
from scalenet.arch.errors import ScalenetError, UnknownNameError
from scalenet.arch.factory import Factory
from scalenet.arch.quantities import parse_amounts, parse_bytes, parse_seconds
from scalenet.costs.memory import memory
from scalenet.costs.network import cost
from scalenet.scaling.budgets import binding, first_met
from scalenet.scaling.factories import crossing
from scalenet.scaling.rounding import rounding_set
from scalenet.scaling.rules import PAPER_COEFFICIENTS, SHARES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scalenet.arch.config import Metric, Ray, Rule
    from scalenet.arch.spec import Architecture
    from scalenet.scaling.rounding import Rounding

Amount: TypeAlias = "int | str | Iterable[int | str]"
"""A cost, as 4_000_000_000, "4G" or "8x" the baseline's; several are a family."""

RULES = ("compound", *SHARES, "tiny")
LARGEST_PHI = 100
"""2^100 times the FLOPs."""

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

_NEEDS = (
    ({"tolerance", "sizes", "per_stage"}, {*_AMOUNTS[0], "exact"}, "a budget", "flops 4G, or exact and phi 3"),
    ({"batch"}, {"memory", "latency"}, "a limit of memory or latency", "memory 2GiB, or latency 20ms"),
    ({"training"}, {"memory"}, "a limit of memory", "memory 2GiB"),
    ({"device"}, {"latency"}, "a limit of latency", "latency 20ms"),
)
"""What says how a limit is met, the limits that it is for, what these are called, and examples."""


class How(TypedDict, total=False):
    """How `scale_by` and `family` scale: in one direction, and so far. Directions are

    - `alpha`, `beta`, `gamma`: bases of depth, width and resolution, by default the paper's, or `coefficients`, which a
      search wrote or gave;
    - `rule`: `depth`, `width` or `resolution` alone, `dwr` (mostly width), `tiny` (for networks smaller than the base);
    - `shares` of depth, width and resolution in the extra FLOPs, which add up to 1;
    - `depth`, `width`, `resolution`: the multipliers themselves; or `preset`, a published member.

    How far: `phi`, by default 1; with `exact`, 2^phi times the FLOPs are hit; or costs, of which the ray meets one
    first and the others are ceilings: `flops`, `params`, `activations` (4_000_000_000, "4G", "8x" the baseline's),
    `memory` ("2GiB": peak bytes of a `batch`, for inference or `training`), `latency` ("20ms" or seconds, measured on
    `device`).

    A budget is met within `tolerance`; `sizes` are the input sizes it may have: multiples of a number of pixels, or
    "tight"; with `per_stage` one stage's width may be a step off the uniform multiple.
    """

    phi: float | Iterable[float]
    alpha: float
    beta: float
    gamma: float
    coefficients: str | Path | Mapping[str, float] | Any
    shares: tuple[float, float, float]
    depth: float
    width: float
    resolution: float
    preset: str
    flops: Amount
    params: Amount
    activations: Amount
    memory: Amount
    latency: float | str | Iterable[float]
    exact: bool
    tolerance: float
    sizes: int | Literal["tight"]
    per_stage: bool
    batch: int
    training: bool
    device: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """A whole request, with all defaults: see `How`."""

    rule: str = "compound"
    phi: float | Iterable[float] | None = None
    alpha: float | None = None
    beta: float | None = None
    gamma: float | None = None
    coefficients: Mapping[str, float] | None = None
    shares: tuple[float, float, float] | None = None
    depth: float | None = None
    width: float | None = None
    resolution: float | None = None
    preset: str | None = None
    flops: Amount | None = None
    params: Amount | None = None
    activations: Amount | None = None
    memory: Amount | None = None
    latency: float | str | Iterable[float] | None = None
    exact: bool = False
    tolerance: float = 0.01
    sizes: int | Literal["tight"] | None = None
    per_stage: bool = False
    batch: int = 1
    training: bool = False
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Refuse what says in two ways how to scale, or how far, and what is of budgets where there is none."""
        if self.rule not in RULES:
            raise UnknownNameError("rule", str(self.rule), RULES, listing=f"known: {', '.join(RULES)}")
        given = {one.name for one in fields(self) if _differs(getattr(self, one.name), one.default)}
        complete = [way & given for way in _WAYS[:2] if way & given]
        for ways in (_WAYS, (*complete, *_AMOUNTS)):
            chosen = [sorted(way & given)[0] for way in ways if way & given]
            if len(chosen) > 1:
                raise ScalenetError(f"{' and '.join(chosen)} exclude each other", hint="give one of them")
        if self.exact and (_AMOUNTS[0] & given or complete):
            raise ScalenetError("exact goes with phi: its target is 2^φ times the baseline's FLOPs")
        for options, limits, what, example in _NEEDS:
            alone = sorted(options & given)
            if alone and not (limits & given or (self.rule == "tiny" and "exact" in limits)):
                raise ScalenetError(f"{' and '.join(alone)} without {what}", hint=f"give one: {example}")

    def capped(self) -> bool:
        """Return whether a count is limited beside the latency."""
        return any(getattr(self, name) is not None for name in ("flops", "params", "activations", "memory"))

    def seconds(self) -> list[float]:
        """Return the latencies asked for."""
        if isinstance(self.latency, str):
            return parse_seconds(self.latency)
        found = [] if self.latency is None else _listed(self.latency)
        for one in found:
            if not (isinstance(one, int | float) and 0 < one < math.inf):
                raise ScalenetError(f"latency {one!r} is not a time", hint="write 0.02 or 20ms")
        return found

    def rules(self, base: Architecture, rounding: str | None) -> list[Rule]:
        """Return the rule of each network that is asked for."""
        if self.preset is not None:
            return [PresetRule(name=self.preset.replace("-", "_"))]
        factors = {name: getattr(self, name) for name in ("depth", "width", "resolution")}
        if any(factor is not None for factor in factors.values()):
            return [MultipliersRule(**{name: 1.0 if one is None else one for name, one in factors.items()})]
        ray, phis = self._ray(), self._phis()
        amounts = self._amounts(base, phis)
        if amounts:
            return self._budgets(base, ray, amounts, rounding)
        return [_point(ray, phi) for phi in phis]

    def _ray(self) -> Ray:
        if self.rule == "tiny":
            return TinyRay()
        if self.rule == "compound" and self.shares is None:
            given = {name: getattr(self, name) for name in PAPER_COEFFICIENTS if getattr(self, name) is not None}
            return CompoundRay(**{**PAPER_COEFFICIENTS, **(self.coefficients or {}), **given})
        split = SHARES[self.rule] if self.shares is None else self.shares
        try:
            depth, width, resolution = split
        except (TypeError, ValueError):
            raise ScalenetError(f"shares {split!r} are not three numbers", hint="depth, width, resolution") from None
        return SharesRay(depth=depth, width=width, resolution=resolution)

    def _phis(self) -> list[float]:
        phis = _listed(1.0 if self.phi is None else self.phi)
        for phi in phis:
            if not isinstance(phi, int | float) or math.isnan(phi):
                raise ScalenetError(f"phi {phi!r} is not a number")
            if abs(phi) > LARGEST_PHI:
                raise ScalenetError(f"phi {phi!r} is too large to scale by", hint="each step doubles the FLOPs")
        return phis

    def _amounts(self, base: Architecture, phis: list[float]) -> dict[Metric, list[int]]:
        """Return what each limit asks for; where none does, 2^φ times the FLOPs if φ is to be hit, or all of them."""
        counts = cost(base)
        own: dict[Metric, int] = {"flops": counts.flops, "params": counts.params, "activations": counts.activations}
        found = {
            metric: _read(getattr(self, metric), own[metric]) for metric in own if getattr(self, metric) is not None
        }
        if self.memory is not None:
            peak = memory(base, batch=self.batch, training=self.training).peak
            found["memory"] = _read(self.memory, peak, in_bytes=True)
        if not found and (self.exact or self.rule == "tiny"):
            found["flops"] = [round(2.0**phi * counts.flops) for phi in phis]
        if not found and self.latency is not None:
            found["flops"] = [counts.flops]
        return found

    def _budgets(
        self, base: Architecture, ray: Ray, amounts: dict[Metric, list[int]], rounding: str | None
    ) -> list[Rule]:
        """Return a budget for each amount; of several limits the ray meets one first, the others are ceilings."""
        several = [metric for metric, values in amounts.items() if len(values) > 1]
        if len(several) > 1:
            raise ScalenetError(f"{' and '.join(several)}: only one may have several values")
        chosen = rounding_set(rounding or base.rounding)
        rules: list[Rule] = []
        for values in product(*amounts.values()):
            (metric, value), *ceilings = zip(amounts, values, strict=True)
            budget = BudgetRule(
                ray=ray,
                metric=metric,
                value=value,
                ceilings=dict(ceilings),
                tolerance=self.tolerance,
                sizes=chosen.resolution_multiple if self.sizes is None else self.sizes,
                per_stage=self.per_stage,
                batch=self.batch,
                training=self.training,
            )
            rules.append(_binding(base, budget, chosen))
        return rules


def _binding(base: Architecture, budget: BudgetRule, rounding: Rounding) -> BudgetRule:
    """Return a budget with that of its limits in the first place which the ray meets first."""
    if isinstance(base.network, Factory):
        return first_met(budget, partial(crossing, base.network, rounding=rounding))
    return binding(base.network, budget, rounding)


def _several(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str)


def _differs(value: Any, default: Any) -> bool:
    """Return whether a value is another than the default; several are, and are not compared one by one."""
    return _several(value) or bool(value != default)


def _listed(value: Any) -> list[Any]:
    """Return one value, or all of several, as a list; a text is one, and numbers of NumPy are plain ones."""
    value = _plain(value)
    found = [_plain(one) for one in value] if _several(value) else [value]
    if not found:
        raise ScalenetError("an empty list of values says nothing of how far to scale", hint="give one value or more")
    return found


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _read(value: Amount, own: int, *, in_bytes: bool = False) -> list[int]:
    """Return amounts as numbers; `x` is times the baseline's `own`."""
    found = []
    for one in _listed(value):
        if isinstance(one, str):
            found += parse_amounts(one, own, unit=parse_bytes if in_bytes else None)
        elif isinstance(one, int | float) and 1 <= one < math.inf:
            found.append(round(one))
        else:
            raise ScalenetError(
                f"{one!r} is not an amount", hint="write 4_000_000_000, 4G, or 8x for 8 times the baseline"
            )
    return found


def _point(ray: Ray, phi: float) -> Rule:
    kind = CompoundRule if isinstance(ray, CompoundRay) else SharesRule
    return cast("Rule", kind(**ray.model_dump(), phi=phi))
