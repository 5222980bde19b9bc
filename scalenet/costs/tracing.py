"""fvcore's counts of a module, from one trace: operators, activations, modules, and what it left out.

fvcore stands on `torch.jit.trace`, and everything about that stays here: convolutions on the meta device, and rules of
ours where fvcore has none, or one that fails (vectors and broadcasts in products, einsum to the last digit, norms of
any shape, attention, recurrent layers). An operator without fvcore's rule is done again on meta tensors of the shapes
in the trace, and counted as the products that the dispatcher then sees.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from scalenet.arch.convention import MATRIX_OPERATORS
from scalenet.costs.observing import observing
from scalenet.costs.operators import formulas, rule
from scalenet.costs.running import Call, inner_name

if TYPE_CHECKING:
    from collections.abc import Callable

    Handle = Callable[[list[Any], list[Any]], Any]


@dataclass(frozen=True, slots=True)
class Trace:
    """What fvcore counted, by module and operator; `unsupported` are the operators that it left out, with how often."""

    flops: dict[str, dict[str, int]]
    activations: dict[str, int]
    unsupported: dict[str, int]
    uncalled: frozenset[str]


def traced(call: Call, tensors: list[Tensor]) -> Trace:
    """Trace a module and count it with fvcore."""
    from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis  # noqa: PLC0415

    analysis = FlopCountAnalysis(call, tuple(tensors))
    flops = {**analysis._op_handles, **_stand_ins(analysis._op_handles)}
    outputs = {**dict.fromkeys(_products(), _elements), **ActivationCountAnalysis(call, ())._op_handles}
    analysis.set_op_handle(**{kind: _both(kind, flops.get(kind), outputs.get(kind)) for kind in {**flops, **outputs}})
    with _RecordedConvolutions():
        by_module = dict(analysis.by_module_and_operator())
    del by_module["module"]  # the whole is the call, with what hooks of its module do
    counted = {inner_name(name): counts for name, counts in by_module.items()}
    return Trace(
        flops={name: _part(counts, "flops") for name, counts in counted.items()},
        activations={name: sum(_part(counts, "activations").values()) for name, counts in counted.items()},
        unsupported=dict(sorted(analysis.unsupported_ops().items())),
        uncalled=frozenset(map(inner_name, analysis.uncalled_modules())),
    )


def _both(kind: str, flops: Handle | None, outputs: Handle | None) -> Handle:
    """Return one handle for two of fvcore's, so that one trace answers both."""

    def handle(inputs: list[Any], results: list[Any]) -> Counter[Any]:
        counts = Counter[Any]()
        for what, count in (("flops", flops), ("activations", outputs)):
            found = count(inputs, results) if count else {}
            named = found if isinstance(found, dict) else {_reported(kind): found}
            counts.update({(what, operator): number for operator, number in named.items()})
        return counts

    return handle


def _reported(kind: str) -> str:
    """Return an operator's name as it is reported: in place or not, and what is not torch's with its library's."""
    return kind.removeprefix("aten::").rstrip("_").replace("_convolution_mode", "conv")


def _part(counts: Counter[Any], wanted: str) -> dict[str, int]:
    return {operator: int(count) for (what, operator), count in counts.items() if what == wanted}


def _stand_ins(known: dict[str, Handle]) -> dict[str, Handle]:
    """Return our rules: for all that fvcore has none for, and where its own fails or is wrong for some shapes."""
    again: dict[str, Handle] = {}
    for kind in _products():
        if kind in known and kind not in ("aten::matmul", "aten::einsum"):
            again[kind] = _or_else(known[kind], _done_again)
        else:
            again[kind] = _done_again
    again["aten::linear"] = _linear(known["aten::linear"])
    affine = {"layer_norm": 2, "group_norm": 2, "instance_norm": 1, "rms_norm": 2}
    return {**again, **{f"aten::{name}": _norm(place) for name, place in affine.items()}}


def _products() -> list[str]:
    """Return what multiplies matrices by its names in a trace, in place and not, and what has a registered formula."""
    own = [f"aten::{name}{end}" for name in MATRIX_OPERATORS for end in ("", "_")]
    others = (str(operator).replace(".", "::", 1) for operator in formulas())
    return ["aten::_convolution_mode", *own, *(kind for kind in others if not kind.startswith("aten"))]


def _linear(count: Handle) -> Handle:
    """Return fvcore's count of a linear layer, which takes the weights for a matrix; ours where they are a vector."""
    return lambda inputs, outputs: (count if len(_shape(inputs[1])) == 2 else _done_again)(inputs, outputs)


def _or_else(count: Handle, other: Handle) -> Handle:
    def handle(inputs: list[Any], outputs: list[Any]) -> Any:
        with suppress(Exception):
            return count(inputs, outputs)
        return other(inputs, outputs)

    return handle


def _norm(affine: int) -> Handle:
    """Return fvcore's count of a norm, 5 an element or 4 without weights, for tensors of any number of dimensions."""
    return lambda inputs, _: prod(_shape(inputs[0])) * (5 if inputs[affine].isCompleteTensor() else 4)


def _elements(_: list[Any], outputs: list[Any]) -> int:
    return prod(_shape(outputs[0]))


def _shape(value: Any) -> list[int]:
    return cast("list[int]", value.type().sizes())


def _done_again(inputs: list[Any], outputs: list[Any]) -> int:
    """Do an operator of a trace again on meta tensors, and count its products."""
    name = outputs[0].node().schema().partition("(")[0]
    space, _, rest = name.partition("::")
    packet, _, overload = rest.partition(".")
    operator = getattr(getattr(getattr(torch.ops, space), packet), overload or "default")
    arguments = list(zip(operator._schema.arguments, map(_argument, inputs), strict=True))
    positional = [value for argument, value in arguments if not argument.kwarg_only]
    named = {argument.name: value for argument, value in arguments if argument.kwarg_only}
    count = rule(operator, formulas())
    if count is not None:
        return count(*positional, **named, out_val=_argument(outputs[0]))
    with observing({}) as seen:
        operator(*positional, **named)
    return seen.total


def _argument(value: Any) -> Any:
    """Return what an operator of a trace was given: a constant, a list, or a meta tensor of the same shape."""
    if value.isCompleteTensor():
        kind = value.type()
        return torch.empty(kind.sizes(), dtype=kind.dtype(), device="meta")
    if value.node().kind() == "prim::ListConstruct":
        return [_argument(one) for one in value.node().inputs()]
    return value.toIValue()


class _RecordedConvolutions(TorchFunctionMode):
    """Keeps convolutions as `aten::_convolution`: fvcore knows it, and meta tensors answer it in a trace."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if function in _CONVOLUTIONS and (args[0] if args else named["input"]).is_meta:
            function = _CONVOLUTIONS[function]
        return function(*args, **named)


def _recorded(original: Any, dimensions: int, order: tuple[str, ...]) -> Callable[..., Tensor]:
    """Return a convolution that takes what `original` takes, in this order; named padding is left to `original`."""

    def convolution(input: Tensor, weight: Tensor, *args: Any, **named: Any) -> Tensor:
        given = {**_DEFAULTS, **dict(zip(order, args, strict=False)), **named}
        if isinstance(given["padding"], str):
            return cast("Tensor", original(input, weight, *args, **named))
        if input.dim() == dimensions + 1:  # one image without a batch
            return convolution(input.unsqueeze(0), weight, *args, **named).squeeze(0)
        stride, padding, dilation, extra = (
            _each(given[name], dimensions) for name in ("stride", "padding", "dilation", "output_padding")
        )
        sizes = (stride, padding, dilation, "output_padding" in order, extra, given["groups"])
        return torch._convolution(input, weight, given["bias"], *sizes, False, False, True, True)

    return convolution


def _each(value: Any, dimensions: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * dimensions if len(values) == 1 else values


_DEFAULTS = {"bias": None, "stride": 1, "padding": 0, "dilation": 1, "output_padding": 0, "groups": 1}
_ORDER = ("bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = ("bias", "stride", "padding", "output_padding", "groups", "dilation")
_CONVOLUTIONS = {
    function: _recorded(function, dimensions, order)
    for order, functions in (
        (_ORDER, (torch.conv1d, torch.conv2d, torch.conv3d)),
        (_TRANSPOSED, (torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d)),
    )
    for dimensions, function in enumerate(functions, 1)
}
