"""Costs by measurement: fvcore on a module, and torch's own counter as its witness.

fvcore is the reference that the formula is tested against. It stands on `torch.jit.trace`, and everything about that
stays behind `measure`: evaluation mode, gradients, threads, and convolutions on the meta device. Afterwards the module
and torch's state are as before.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, is_dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from scalenet.arch.convention import matrix_flops
from scalenet.arch.errors import ScalenetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch.utils._pytree import TreeSpec

T = TypeVar("T")
Input: TypeAlias = Tensor | tuple[Any, ...] | dict[str, Any]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What fvcore counted for one input; `flops` are convolutions, linear layers and matrix products.

    `flops_by_module` has fvcore's operators for each module that ran, by name (`""` is the whole), and
    `activations_by_module` its activations. What a module does in a child's `forward`, without calling the child, is
    its own. `unsupported` are operators that fvcore met and counted as nothing, with how often; `uncalled` are modules
    that were never called.
    """

    flops: int
    flops_by_operator: dict[str, int]
    params: int
    activations: int
    flops_by_module: dict[str, dict[str, int]]
    activations_by_module: dict[str, int]
    unsupported: dict[str, int]
    uncalled: tuple[str, ...]

    @property
    def uncounted_work(self) -> tuple[str, ...]:
        """Operators that were counted as nothing although they multiply matrices, convolve or normalise."""
        return tuple(sorted(filter(_carries_work, self.unsupported)))


_WORK = re.compile(
    r".*conv(?!ert).*|.*mm|.*mv|.*dot|inner|outer|ger|addr|bilinear|_trilinear|cdist|chain_matmul|fft_.*"
    r"|linalg_(?!norm|vector_norm).*|lstm.*|gru.*|rnn_.*|.*attention.*|_transformer_.*|.*rms_norm|native_.*_norm"
)
_LARGE = 10**13
"""Parameters times input elements: ResNet-152 has less and is as quick on the CPU, EfficientNet-B7 has more.

The first network on the meta device costs a second more than the next: torch then loads what it answers shapes with.
"""


def measure(module: nn.Module, input: Input) -> Measurement:
    """Count a module with fvcore in evaluation mode; the module and torch's state are as before afterwards.

    `input` is a tensor, or a tuple of the tensors that `forward` takes, or a dictionary of those that it takes by name;
    for images [N, channels, height, width]. What is large is counted on the meta device, in less time and memory and
    with the same figures. Compiled modules are counted as what they were made from; scripted ones raise ScalenetError.
    """
    return _run(_counted, module, input)


def witness(module: nn.Module, input: Input) -> int:
    """Return the multiply-adds of convolutions and matrix products by torch's own counter, without a trace."""
    return _run(_witnessed, module, input)


def _carries_work(operator: str) -> bool:
    """Return whether an operator without a count does more than move or map elements; what nobody knows may do so."""
    space, _, name = operator.partition("::")
    return _WORK.fullmatch(name) is not None or space not in ("aten", "prim", "torchvision")


def _run(count: Callable[[_Call, list[Tensor]], T], module: nn.Module, input: Input) -> T:
    call, tensors = _as_call(module, input)
    if _belongs_on_meta(module, tensors):
        with suppress(Exception):  # a module that reads values, or brings tensors of its own, runs on its own device
            return _on(torch.device("meta"), count, call, tensors)
    return _on(None, count, call, tensors)


def _on(
    device: torch.device | None, count: Callable[[_Call, list[Tensor]], T], call: _Call, tensors: list[Tensor]
) -> T:
    with ExitStack() as stack:
        for context in (_as_before(call), _calm(), torch.no_grad(), _one_thread(), _same_random_state()):
            stack.enter_context(context)
        call.eval()
        _lay_bare(call, device)
        if device is not None:
            stack.enter_context(_RecordedConvolutions())
            tensors = [tensor.to(device) for tensor in tensors]
        return count(call, tensors)


def is_large(parameters: int, elements: int) -> bool:
    """Return whether so many parameters and elements of the input are quicker to count on the meta device."""
    return parameters * elements >= _LARGE


def _belongs_on_meta(module: nn.Module, tensors: list[Tensor]) -> bool:
    parameters = list(module.parameters())
    sizes = (sum(parameter.numel() for parameter in parameters), sum(tensor.numel() for tensor in tensors))
    return is_large(*sizes) or any(parameter.is_meta for parameter in parameters)


class _Call(nn.Module):
    """A module and the form of its input, as fvcore takes modules: tensors in, tensors out."""

    def __init__(self, module: nn.Module, form: TreeSpec) -> None:
        super().__init__()
        self.module, self.form = module, form

    def forward(self, *tensors: Tensor) -> list[Tensor]:
        positional, named = tree_unflatten(tensors, self.form)
        results = list(_tensors(self.module(*positional, **named)))
        if not results:  # the tracer drops what no result depends on, and that would be everything
            raise ScalenetError("the module returns no tensor, so that nothing of it can be counted")
        return results


def _tensors(output: Any) -> Iterator[Tensor]:
    """Yield the tensors in lists, tuples, dictionaries and dataclasses."""
    for leaf in tree_leaves(output):
        if isinstance(leaf, Tensor):
            yield leaf
        elif is_dataclass(leaf) or isinstance(leaf, Mapping):
            yield from _tensors(dict(leaf) if isinstance(leaf, Mapping) else vars(leaf))


def _as_call(module: nn.Module, input: Input) -> tuple[_Call, list[Tensor]]:
    module = unwrapped(module)
    if any(isinstance(child, torch.jit.ScriptModule) for child in module.modules()):
        raise ScalenetError("a scripted module cannot be counted", hint="count the module that it was made from")
    named = input if isinstance(input, dict) else {}
    positional = () if isinstance(input, dict) else input if isinstance(input, tuple) else (input,)
    tensors, form = tree_flatten((positional, named))
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise ScalenetError(f"an input is {type(tensor).__name__}, not a tensor")
    return _Call(module, form), tensors


def unwrapped(module: nn.Module) -> nn.Module:
    """Return what `torch.compile`, DataParallel or DistributedDataParallel wrap; any other module as it is."""
    inner = getattr(module, "_orig_mod", None)
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        inner = module.module
    return module if inner is None else unwrapped(inner)


def _counted(call: _Call, tensors: list[Tensor]) -> Measurement:
    from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis  # noqa: PLC0415

    analysis = FlopCountAnalysis(call, tuple(tensors))
    flops, outputs = analysis._op_handles, ActivationCountAnalysis(call, ())._op_handles
    analysis.set_op_handle(**{kind: _both(kind, flops.get(kind), outputs.get(kind)) for kind in {**flops, **outputs}})
    with _running_modules() as ran:
        by_module = {_inner(name): counts for name, counts in analysis.by_module_and_operator().items()}
    flops_by_module = {name: _part(counts, "flops") for name, counts in by_module.items()}
    activations = {name: sum(_part(counts, "activations").values()) for name, counts in by_module.items()}
    return Measurement(
        flops=matrix_flops(flops_by_module[""]),
        flops_by_operator=dict(sorted(flops_by_module[""].items())),
        params=sum(parameter.numel() for parameter in call.parameters()),
        activations=activations[""],
        flops_by_module=flops_by_module,
        activations_by_module=activations,
        unsupported=dict(sorted(analysis.unsupported_ops().items())),
        uncalled=tuple(
            sorted(_inner(name) for name in analysis.uncalled_modules() if call.get_submodule(name) not in ran)
        ),
    )


def _both(kind: str, flops: Callable[..., Any] | None, outputs: Callable[..., Any] | None) -> Callable[..., Any]:
    """Return one handle for two of fvcore's, so that one trace answers both."""

    def handle(inputs: list[Any], results: list[Any]) -> Counter[Any]:
        counts = Counter[Any]()
        for what, count in (("flops", flops), ("activations", outputs)):
            found = count(inputs, results) if count else {}
            named = found if isinstance(found, dict) else {kind.partition("::")[2]: found}
            counts.update({(what, operator): number for operator, number in named.items()})
        return counts

    return handle


def _part(counts: Counter[Any], wanted: str) -> dict[str, int]:
    return {operator: int(count) for (what, operator), count in counts.items() if what == wanted}


def _inner(name: str) -> str:
    """Return a module's name without the `module` of its call."""
    return name.removeprefix("module").removeprefix(".")


def _witnessed(call: _Call, tensors: list[Tensor]) -> int:
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415

    with FlopCounterMode(display=False) as counter:
        call(*tensors)
    return int(counter.get_total_flops()) // 2


@contextmanager
def _as_before(module: nn.Module) -> Iterator[None]:
    """Give each submodule its attributes, parameters, buffers, hooks and mode back afterwards."""
    kept = [(vars(child), dict(vars(child))) for child in module.modules()]
    dictionaries = [(value, dict(value)) for _, state in kept for value in state.values() if isinstance(value, dict)]
    try:
        yield
    finally:
        for live, content in (*kept, *dictionaries):
            live.clear()
            live.update(content)


def _lay_bare(module: nn.Module, device: torch.device | None) -> None:
    """Put compiled children's originals in their place, and stand-ins on `device` for tensors that would change."""
    stand_ins: dict[Tensor, Tensor] = {}
    for child in list(module.modules()):
        vars(child).pop("_compiled_call_impl", None)
        for name, inner in child._modules.items():
            child._modules[name] = None if inner is None else unwrapped(inner)
        for tensors in (child._buffers, child._parameters) if device else (child._buffers,):
            for name, tensor in tensors.items():
                if tensor is not None:
                    tensors[name] = cast("Any", stand_ins.setdefault(tensor, _stand_in(tensor, device)))


def _stand_in(tensor: Tensor, device: torch.device | None) -> Any:
    if device is None:
        return tensor.clone()
    moved = tensor.detach().to(device)
    return nn.Parameter(moved, requires_grad=False) if isinstance(tensor, nn.Parameter) else moved


class _RecordedConvolutions(TorchFunctionMode):
    """Keeps convolutions as `aten::_convolution`: fvcore knows it, and meta tensors answer it in a trace."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _CONVOLUTIONS.get(function, function)(*args, **(kwargs or {}))


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


@contextmanager
def _running_modules() -> Iterator[set[nn.Module]]:
    """Collect the modules that run: fvcore takes one that runs no operator, as drop-path here, for uncalled."""
    ran: set[nn.Module] = set()
    handle = register_module_forward_pre_hook(lambda module, _: ran.add(module))
    try:
        yield ran
    finally:
        handle.remove()


@contextmanager
def _calm() -> Iterator[None]:
    """Silence fvcore and the notices of torch.jit's end, and have attention run as it is written."""
    logger = logging.getLogger("fvcore")
    level = logger.level
    logger.setLevel(logging.ERROR)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operator that nobody counts, on some devices only
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        torch.backends.mha.set_fastpath_enabled(fast_path)


@contextmanager
def _same_random_state() -> Iterator[None]:
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices):
        yield


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch on one thread: on a busy machine a trace is ten times faster so."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
