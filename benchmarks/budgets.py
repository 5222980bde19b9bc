"""How exactly and how fast are budgets met, beside the open-loop rule?

    python benchmarks/budgets.py

Scales every registered baseline by every rule to 2^φ times its FLOPs, φ = -3 … 7 in steps of ½, and prints a row a rule
as Markdown: the worst and mean miss of the rule itself and of the budget, the mean distance from the ray, and CPU
seconds a budget. The same for parameters and activations, whose targets the open-loop rule does not know.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from statistics import mean, median
from typing import TYPE_CHECKING

import numpy as np

from scalenet.arch import registry
from scalenet.arch.config import BudgetRule, CompoundRay, CompoundRule, SharesRay, SharesRule, TinyRay
from scalenet.arch.errors import ScalenetError
from scalenet.costs.formula import cost
from scalenet.scaling.rules import PAPER_COEFFICIENTS, SHARES
from scalenet.scaling.scaler import scale_by

if TYPE_CHECKING:
    from scalenet.arch.config import Metric, Ray
    from scalenet.arch.spec import Architecture

SHARE_RAYS = {
    name: SharesRay(depth=depth, width=width, resolution=resolution)
    for name, (depth, width, resolution) in SHARES.items()
}
RAYS: dict[str, Ray] = {"compound": CompoundRay.model_validate(PAPER_COEFFICIENTS), **SHARE_RAYS, "tiny": TinyRay()}
PHIS = np.arange(-3, 7.5, 0.5).tolist()


@dataclass
class Row:
    """What was measured of one rule: misses as factors from what was asked, never below 1."""

    open_loop: list[float] = field(default_factory=list)
    budget: list[float] = field(default_factory=list)
    distance: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    impossible: int = 0

    def text(self, name: str) -> str:
        """Return the row as Markdown."""
        loose = [f"{100 * (value(self.open_loop) - 1):.1f} %" if self.open_loop else "–" for value in (mean, max)]
        return " | ".join(
            [
                f"| {name}",
                str(len(self.budget)),
                *loose,
                *(f"{100 * (value - 1):.2f} %" for value in (mean(self.budget), max(self.budget))),
                f"{mean(self.distance):.2f}",
                *(f"{1e3 * value:.0f} ms" for value in (median(self.seconds), max(self.seconds))),
                f"{self.impossible} |",
            ]
        )


def miss(achieved: float, asked: float) -> float:
    """Return by what factor a cost lies off."""
    return max(achieved / asked, asked / achieved)


def measure(row: Row, base: Architecture, ray: Ray, metric: Metric, phi: float) -> None:
    """Meet one budget, and note how the rule itself does where it can be asked."""
    own = getattr(cost(base), metric)
    rule = BudgetRule(ray=ray, metric=metric, value=round(2**phi * own))
    start = time.process_time()
    try:
        config = scale_by(base, rule)
    except ScalenetError:
        row.impossible += 1
        return
    row.seconds.append(time.process_time() - start)
    assert config.scaling is not None
    assert config.scaling.solution is not None
    if not config.scaling.solution.met:
        row.impossible += 1
        return
    row.budget.append(miss(config.scaling.solution.achieved, 2**phi * own))
    row.distance.append(config.scaling.solution.distance)
    if metric == "flops" and not isinstance(ray, TinyRay):
        loose = CompoundRule if isinstance(ray, CompoundRay) else SharesRule
        row.open_loop.append(miss(cost(scale_by(base, loose(**ray.model_dump(), phi=phi)).model).flops, 2**phi * own))


def main() -> None:
    """Print the tables."""
    bases = [registry.load(name) for name in registry.names()]
    metrics: tuple[Metric, ...] = ("flops", "params", "activations")
    for metric in metrics:
        print(f"\n{metric}\n")
        print(
            "| rule | budgets | rule: mean miss | worst "
            "| budget: mean miss | worst | distance | median | slowest | not met |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|")
        for name, ray in RAYS.items():
            row = Row()
            for base in bases:
                for phi in (phi for phi in PHIS if phi < 0 or not isinstance(ray, TinyRay)):
                    measure(row, base, ray, metric, phi)
            if row.budget:
                print(row.text(name))


if __name__ == "__main__":
    main()
