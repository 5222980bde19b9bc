"""What candidates are ranked by: accuracy alone, or accuracy against cost."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from scalenet.arch.amounts import Whole
from scalenet.arch.records import Record

Goal: TypeAlias = Literal["accuracy", "accuracy-flops"]
Ceiling: TypeAlias = Literal["params", "activations"]

EXPONENT = -0.07
"""How much accuracy a doubling of the FLOPs must be worth (Tan & Le 2019, section 4, after MnasNet)."""


class Objective(Record):
    """What candidates are ranked by, and what none of them may cost more than.

    `accuracy-flops` is accuracy × (FLOPs / target)^-0.07, the target being the grid's product times the baseline's
    FLOPs (Tan & Le 2019, section 4). `latency` is in seconds, at batch 1 on the machine that began the search.
    """

    goal: Goal = "accuracy"
    ceilings: dict[Ceiling, Whole] = Field(default_factory=dict)
    latency: Annotated[float, Field(gt=0)] | None = None

    def factor(self, flops_ratio: float, *, target: float) -> float:
        """Return what an accuracy is multiplied by; both FLOPs are relative to the baseline's."""
        return 1.0 if self.goal == "accuracy" else float((flops_ratio / target) ** EXPONENT)
