"""What `flops` are, in the words that stand in every file and table that holds them, and by fvcore's operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CONVENTION = "multiply-adds of conv and linear, batch 1"
MATRIX_OPERATORS = ("conv", "linear", "addmm", "bmm", "einsum", "matmul", "mm")


def matrix_flops(operators: Mapping[str, int]) -> int:
    """Return the multiply-adds of convolutions, linear layers and matrix products among fvcore's operators."""
    return sum(count for operator, count in operators.items() if operator in MATRIX_OPERATORS)
