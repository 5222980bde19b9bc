"""What an operator does, by what it is to torch's dispatcher: multiply, or only move, map, reduce or draw elements.

The dispatcher sees composite operators decomposed, and an operator in place or with `out=` under the same name. What
neither has a rule here nor is known to be no work is unknown: nobody may take it for nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from scalenet.arch.convention import MATRIX_OPERATORS

if TYPE_CHECKING:
    from collections.abc import Callable

MOVES = """
    _conj _conj_physical _copy_from _copy_from_and_resize _efficientzerotensor _index_put_impl _lazy_clone
    _neg_view _pack_padded_sequence _pin_memory _reshape_alias _resize_output _stack _to_copy _to_dense _to_sparse
    _unsafe_index _unsafe_index_put _unsafe_masked_index _unsafe_masked_index_put_accumulate _unsafe_view alias
    as_strided as_strided_scatter block_diag bucketize cat channel_shuffle clone col2im complex constant_pad_nd
    contiguous copy detach diag_embed diagonal_scatter embedding embedding_renorm empty_like fill flip full_like
    gather im2col index index_add index_copy index_fill index_put index_reduce index_select lift lift_fresh
    masked_fill masked_scatter masked_select max_unpool2d max_unpool3d narrow_copy new_empty new_empty_strided
    new_full new_ones new_zeros nonzero nonzero_static ones_like pixel_shuffle pixel_unshuffle put
    reflection_pad1d reflection_pad2d reflection_pad3d repeat repeat_interleave replication_pad1d
    replication_pad2d replication_pad3d resize resize_as roll rot90 scatter scatter_add scatter_reduce
    searchsorted select_scatter set slice_scatter split_with_sizes stack take tril triu unfold unsafe_split
    unsafe_split_with_sizes where zero zeros_like
"""
MAPS = """
    _log_softmax _masked_softmax _prelu_kernel _safe_softmax _softmax _thnn_fused_gru_cell _thnn_fused_lstm_cell
    addr binary_cross_entropy binary_cross_entropy_with_logits cummax cummin cumprod cumsum elu glu hardswish
    huber_loss isin linalg_cross log_sigmoid_forward log_softmax logcumsumexp mse_loss native_dropout
    nll_loss2d_forward nll_loss_forward polar renorm rrelu_with_noise smooth_l1_loss soft_margin_loss softmax
"""
REDUCES = """
    _adaptive_avg_pool2d _adaptive_avg_pool3d _aminmax _cummax_helper _cummin_helper _embedding_bag
    _embedding_bag_forward_only _unique _unique2 adaptive_avg_pool1d adaptive_max_pool2d adaptive_max_pool3d
    allclose avg_pool1d avg_pool2d avg_pool3d bincount dist fractional_max_pool2d fractional_max_pool3d histc
    histogram kthvalue max_pool2d_with_indices max_pool3d_with_indices median mkldnn_max_pool2d mode nanmedian
    norm segment_reduce sort topk trace unique_consecutive unique_dim unique_dim_consecutive
"""
NORMS = """
    _batch_norm_no_update _batch_norm_with_update _batch_norm_with_update_functional _fused_rms_norm
    _native_batch_norm_legit _native_batch_norm_legit_functional _native_batch_norm_legit_no_training
    _weight_norm_interface cudnn_batch_norm miopen_batch_norm native_batch_norm native_group_norm
    native_layer_norm
"""
INTERPOLATES = """
    _grid_sampler_2d_cpu_fallback _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_lanczos2d_aa
    _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d cudnn_grid_sampler
    grid_sampler_2d grid_sampler_3d upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_nearest1d
    upsample_nearest2d upsample_nearest3d upsample_trilinear3d
"""
DRAWS = """
    bernoulli binomial cauchy exponential geometric log_normal multinomial normal poisson rand_like randint_like
    randn_like random uniform
"""
ASKS = """
    _assert_async _assert_tensor_metadata _fused_sdp_choice _has_same_storage_numel _is_all_true _is_any_true
    _linalg_check_errors _local_scalar_dense _nnz is_pinned is_same_size is_set_to item
"""
_KNOWN = " ".join((MOVES, MAPS, REDUCES, NORMS, INTERPOLATES, DRAWS, ASKS))
FREE = frozenset(f"aten::{name}" for name in _KNOWN.split())
"""Operators that only move, map, reduce, normalise, interpolate or draw elements, beside those that torch tags so."""
_ANSWERS = ("_local_scalar_dense", "equal", "allclose", "_is_all_true", "_is_any_true")
READS = frozenset(f"aten::{name}" for name in _ANSWERS)
"""Operators that hand values of a tensor to Python, or sizes that depend on values."""
_REPORTED = {
    "aten::_convolution": "conv",
    "aten::_scaled_dot_product_efficient_attention": "scaled_dot_product_attention",
    "aten::_scaled_dot_product_flash_attention": "scaled_dot_product_attention",
    "aten::_scaled_dot_product_flash_attention_for_cpu": "scaled_dot_product_attention",
    "aten::_trilinear": "bilinear",
    "aten::convolution": "conv",
    "aten::mkldnn_rnn_layer": "lstm",
}


def _rows(tensor: Tensor) -> int:
    return tensor.numel() // tensor.shape[-1]


def _trilinear(first: Tensor, weight: Tensor, second: Tensor, *_: Any) -> int:
    """Return the products of `einsum("bi,oij,bj->bo")` from left to right, which is what `nn.Bilinear` asks for."""
    rows = _rows(second)
    return rows * weight.numel() + rows * weight.numel() // first.shape[-1]


_OWN: dict[str, Callable[..., int]] = {
    "_addmm_activation": lambda _, left, right, *__: left.numel() * right.shape[1],
    "_int_mm": lambda left, right, *_: left.numel() * right.shape[1],
    "_scaled_dot_product_flash_attention_for_cpu": lambda query, key, value, *_: (
        query.numel() * key.shape[-2] + query.shape[:-1].numel() * key.shape[-2] * value.shape[-1]
    ),
    "_trilinear": _trilinear,
    "conv_tbc": lambda input, weight, _, pad=0: (
        (input.shape[0] + 2 * pad - weight.shape[0] + 1) * input.shape[1] * weight.numel()
    ),
    "addbmm": lambda _, left, right, *__: left.numel() * right.shape[-1],
    "addmv": lambda _, matrix, *__: matrix.numel(),
    "affine_grid_generator": lambda theta, size, *_: theta.shape[0] * math.prod(size[2:]) * theta[0].numel(),
    "dot": lambda left, _: left.numel(),
    "linear": lambda input, weight, *_: input.numel() * (weight.shape[0] if weight.dim() == 2 else 1),
    "mkldnn_rnn_layer": lambda input, one, two, *_: _rows(input) * (one.numel() + two.numel()),
    "mv": lambda matrix, _: matrix.numel(),
    "vdot": lambda left, _: left.numel(),
}
"""Multiply-adds of what torch's own counter has no formula for."""


def name_of(operator: Any) -> str:
    """Return the name of an operator without its overload, in place or not: `aten::addmm`."""
    name = str(operator.name()).partition(".")[0].removesuffix("::")
    if "::" not in name:
        return f"higher_order::{name}"
    space, _, plain = name.partition("::")
    return name if plain.startswith("__") else f"{space}::{plain.rstrip('_')}"


def reported(name: str) -> str:
    """Return an operator's name as fvcore has it, or in full where that is not among the matrix products."""
    plain = name.removeprefix("aten::")
    return _REPORTED.get(name, plain if plain in MATRIX_OPERATORS else name)


def formulas() -> dict[Any, Any]:
    """Return torch's own formulas and those that were registered with it, in operations: two a multiply-add."""
    return FlopCounterMode(display=False).flop_registry


def rule(operator: Any, formulas: dict[Any, Any]) -> Callable[..., int] | None:
    """Return what counts an operator's multiply-adds from its arguments and `out_val`, its result; None without one."""
    name = name_of(operator)
    space, _, plain = name.partition("::")
    if space == "aten" and plain in _OWN:
        own = _OWN[plain]
        return lambda *args, **_: own(*args)
    formula = formulas.get(getattr(getattr(torch.ops, space, None), plain, None), formulas.get(operator))
    if formula is None:
        return None
    return lambda *args, **named: int(formula(*args, **named)) // 2


def is_free(operator: Any) -> bool:
    """Return whether an operator is known to do no more than move, map, reduce or draw elements."""
    if name_of(operator) in FREE or not isinstance(operator, torch._ops.OpOverload):
        return name_of(operator) in FREE
    family = [getattr(operator.overloadpacket, name) for name in operator.overloadpacket.overloads()]
    tags = {tag for one in (operator, *family) for tag in one.tags}
    plain = {torch.Tag.pointwise, torch.Tag.reduction, torch.Tag.inplace_view, torch.Tag.view_copy}
    return operator.is_view or bool(tags & plain)


def is_free_by_name(name: str) -> bool:
    """Return whether the operator of this name (`aten::add_`) is known to do no more than move or map elements."""
    space, _, plain = name.partition("::")
    packet = getattr(getattr(torch.ops, space, None), plain, None)
    return packet is not None and any(is_free(getattr(packet, overload)) for overload in packet.overloads())


def is_dense(*values: Any) -> bool:
    """Return whether no tensor among the values is sparse or packed: of others a shape does not tell the products."""
    return all(value.layout == torch.strided for value in tree_leaves(values) if isinstance(value, Tensor))
