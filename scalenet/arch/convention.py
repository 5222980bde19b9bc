"""What `flops` are, in the words that stand in every file and table that holds them, and by fvcore's operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CONVENTION = "multiply-adds of conv, linear and matmul, batch 1"
OF_CONVNETS = "multiply-adds of conv and linear, batch 1"
"""The same, as configs have it in which nothing multiplies matrices."""

MATRIX_OPERATORS = (
    *("conv", "linear", "addmm", "bmm", "einsum", "matmul", "mm", "baddbmm", "addbmm", "mv", "addmv", "dot", "vdot"),
    *("inner", "tensordot", "chain_matmul", "linalg_matmul", "linalg_multi_dot", "linalg_vecdot", "bilinear"),
    *("scaled_dot_product_attention", "lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell"),
    *("rnn_tanh_cell", "rnn_relu_cell", "affine_grid_generator", "conv_tbc", "_int_mm", "matrix_power"),
    *("linalg_matrix_power", "cov", "corrcoef"),
)


def matrix_flops(operators: Mapping[str, int]) -> int:
    """Return the multiply-adds of convolutions, linear layers and matrix products among fvcore's operators.

    Operators of other libraries have their library's name (`library::operator`), and a registered formula.
    """
    return sum(count for operator, count in operators.items() if operator in MATRIX_OPERATORS or "::" in operator)
