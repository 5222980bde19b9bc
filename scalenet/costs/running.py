"""Running others' modules to count them: any form of input, evaluation mode, one thread, and no trace afterwards.

Whatever a module can reach (attributes, lists, plain tensors, what its hooks and closures hold) is noted before it runs
and put back afterwards, values of tensors included, and so are the states of torch's, NumPy's and Python's random
numbers.
"""

from __future__ import annotations

import logging
import random
import sys
import warnings
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import is_dataclass
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from scalenet.arch.errors import ScalenetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch.utils._pytree import TreeSpec

Input: TypeAlias = Tensor | tuple[Any, ...] | dict[str, Any]


class Call(nn.Module):
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

    def names(self) -> dict[nn.Module, str]:
        """Return the first name of each module inside, `""` for the one that is called."""
        return {module: inner_name(name) for name, module in self.named_modules()}


def inner_name(name: str) -> str:
    """Return a module's name without the `module` of its call."""
    return name.removeprefix("module").removeprefix(".")


def _tensors(output: Any) -> Iterator[Tensor]:
    """Yield the tensors in lists, tuples, dictionaries and dataclasses."""
    for leaf in tree_leaves(output):
        if isinstance(leaf, Tensor):
            yield leaf
        elif is_dataclass(leaf) or isinstance(leaf, Mapping):
            yield from _tensors(dict(leaf) if isinstance(leaf, Mapping) else vars(leaf))


def as_call(module: nn.Module, input: Input) -> tuple[Call, list[Tensor]]:
    """Return a module with its input as `Call` takes it; raise ScalenetError for what cannot be counted at all."""
    module = unwrapped(module)
    for name, child in module.named_modules():
        place = f"module {name!r}" if name else "the module"
        if isinstance(child, torch.jit.ScriptModule):
            raise ScalenetError(
                f"{place} is scripted: a scripted module cannot be counted", hint="count the one that it was made from"
            )
        if any(map(is_lazy, [*child._parameters.values(), *child._buffers.values()])):
            raise ScalenetError(f"{place} is lazy and has no shapes yet", hint="run it once before it is counted")
    tensors, form = tree_flatten(arguments(input))
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise ScalenetError(f"an input is {type(tensor).__name__}, not a tensor")
    return Call(module, form), tensors


def arguments(input: Input) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return what a module is called with, by place and by name."""
    if isinstance(input, dict):
        return (), input
    return (input if isinstance(input, tuple) else (input,)), {}


def unwrapped(module: nn.Module) -> nn.Module:
    """Return what `torch.compile`, DataParallel or DistributedDataParallel wrap; any other module as it is."""
    inner = getattr(module, "_orig_mod", None)
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        inner = module.module
    return module if inner is None else unwrapped(inner)


@contextmanager
def prepared(call: Call, device: torch.device | None = None) -> Iterator[None]:
    """Prepare a module to be run for its count, on `device` if one is given; afterwards everything is as before."""
    with ExitStack() as stack:
        for context in (_as_before(call, device), _calm(), torch.no_grad(), _one_thread(), same_random_state()):
            stack.enter_context(context)
        for child in call.modules():
            with suppress(NotImplementedError):  # exported modules have no mode
                child.train(mode=False)
        for child in list(call.modules()):
            vars(child).pop("_compiled_call_impl", None)
            for name, inner in child._modules.items():
                child._modules[name] = None if inner is None else unwrapped(inner)
        yield


@contextmanager
def _as_before(module: nn.Module, device: torch.device | None) -> Iterator[None]:
    """Put back what a module can reach, contents and values; on `device` it reaches stand-ins meanwhile."""
    reached = list(_reached(module))
    contents = [
        (one, dict(one) if isinstance(one, dict) else list(one))
        for one in reached
        if isinstance(one, dict | list | set | deque)
    ]
    tensors = [one for one in reached if isinstance(one, Tensor)]
    values = [(tensor, tensor.data, tensor.detach().clone()) for tensor in tensors if not device and _is_plain(tensor)]
    if device:
        stand_ins = {id(tensor): _stand_in(tensor, device) for tensor in tensors}
        for live, _ in contents:
            _replace(live, stand_ins)
    try:
        yield
    finally:
        for live, content in contents:
            _refill(live, content)
        for tensor, data, value in values:
            tensor.data = data
            if not torch.equal(data, value):
                data.copy_(value)


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not (tensor.is_quantized or tensor.is_meta or tensor.is_inference())


def _reached(start: nn.Module) -> Iterator[Any]:
    """Yield everything that can be reached from a module, each once: modules, containers, tensors, other objects."""
    seen: set[int] = set()
    queue: list[Any] = [start]
    while queue:
        one = queue.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            queue.extend(_within(one))


def _within(one: Any) -> Iterator[Any]:
    """Yield what an object holds; of the standard library's and of torch's objects only containers and modules tell."""
    if isinstance(one, dict):
        yield from one.values()
    elif isinstance(one, list | tuple | set | frozenset | deque):
        yield from one
    elif isinstance(one, MethodType):
        yield one.__self__
    elif isinstance(one, FunctionType):
        yield from (cell.cell_contents for cell in one.__closure__ or () if _is_filled(cell))
    elif isinstance(one, partial):
        yield from (one.func, one.args, one.keywords)
    elif isinstance(one, nn.Module):
        yield vars(one)
        for kind in _own_classes(one):
            yield from (value for value in vars(kind).values() if isinstance(value, list | dict))
    elif not isinstance(one, type | ModuleType | Tensor) and hasattr(one, "__dict__") and _is_others(type(one)):
        yield vars(one)


def _is_filled(cell: Any) -> bool:
    with suppress(ValueError):
        cell.cell_contents  # noqa: B018 - an empty cell raises
        return True
    return False


def _is_others(kind: type) -> bool:
    root = kind.__module__.partition(".")[0]
    return root not in sys.stdlib_module_names and root != "torch"


def _own_classes(module: nn.Module) -> list[type]:
    return [kind for kind in type(module).__mro__ if _is_others(kind)]


def _stand_in(tensor: Tensor, device: torch.device) -> Tensor:
    moved = tensor.detach().to(device)
    return nn.Parameter(moved, requires_grad=False) if isinstance(tensor, nn.Parameter) else moved


def _replace(live: Any, stand_ins: dict[int, Tensor]) -> None:
    pairs = live.items() if isinstance(live, dict) else enumerate(live) if isinstance(live, list) else ()
    for key, value in list(pairs):
        if isinstance(value, Tensor) and id(value) in stand_ins:
            live[key] = stand_ins[id(value)]


def _refill(live: Any, content: Any) -> None:
    """Give a container its content back, if it has another."""
    same = len(live) == len(content) and all(one is two for one, two in zip(live, content, strict=True))
    if isinstance(live, dict):
        same = same and all(one is two for one, two in zip(live.values(), content.values(), strict=True))
    if not same:
        live.clear()
        (live.update if isinstance(live, dict | set) else live.extend)(content)


class RandomStates:
    """The states of torch's, NumPy's and Python's random numbers, NumPy's where it is loaded."""

    def __init__(self) -> None:
        self._torch = [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if _cuda() else ())]
        self._python = random.getstate()
        self._numpy = sys.modules["numpy"].random.get_state(legacy=False) if "numpy" in sys.modules else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RandomStates) and self._comparable() == other._comparable()

    __hash__ = None  # type: ignore[assignment]

    def _comparable(self) -> tuple[Any, ...]:
        numbers = [leaf.tobytes() if hasattr(leaf, "tobytes") else leaf for leaf in tree_leaves(self._numpy)]
        return ([state.tolist() for state in self._torch], self._python, numbers)

    def restore(self) -> None:
        """Put the states back."""
        torch.set_rng_state(self._torch[0])
        if _cuda():
            torch.cuda.set_rng_state_all(self._torch[1:])
        random.setstate(self._python)
        if self._numpy is not None:
            sys.modules["numpy"].random.set_state(self._numpy)


def _cuda() -> bool:
    return torch.cuda.is_initialized()  # type: ignore[no-untyped-call, no-any-return]


def seed_all(seed: int) -> None:
    """Seed torch's, NumPy's and Python's random numbers."""
    torch.manual_seed(seed)
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)


@contextmanager
def same_random_state() -> Iterator[None]:
    """Put all random states back afterwards."""
    states = RandomStates()
    try:
        yield
    finally:
        states.restore()


@contextmanager
def _calm() -> Iterator[None]:
    """Silence fvcore and the notices of torch.jit's end, and have attention and compiled functions run as written."""
    logger = logging.getLogger("fvcore")
    level = logger.level
    logger.setLevel(logging.ERROR)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operator that nobody counts, on some devices only
    try:
        with warnings.catch_warnings(), _uncompiled():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        torch.backends.mha.set_fastpath_enabled(fast_path)


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Run compiled functions as what they were made from; where none was made, the compiler is not loaded for it."""
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
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
