"""A second counter beside fvcore: what the dispatcher sees while a module runs, operator by operator, without a trace.

It knows what nobody can count, where values leave torch, and whether values were read. What it saw is told by module.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scalenet.costs.operators import READS, formulas, is_dense, is_free, name_of, rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Place = tuple[str, str]
"""An operator's name, and the module that it runs in."""
LEAVING = {getattr(Tensor, name): f"Tensor.{name}" for name in ("numpy", "__array__", "__dlpack__", "data_ptr")}
"""What hands a whole tensor to another library."""


@dataclass
class Observation:
    """What ran, by operator and module: multiply-adds, elements that products gave, and what nobody can count.

    `left` is where values left torch, `read` where Python looked at them; `ran` are the modules that were called.
    """

    flops: Counter[Place] = field(default_factory=Counter)
    activations: Counter[Place] = field(default_factory=Counter)
    unknown: Counter[Place] = field(default_factory=Counter)
    left: Counter[Place] = field(default_factory=Counter)
    read: Counter[Place] = field(default_factory=Counter)
    ran: set[nn.Module] = field(default_factory=set)

    @property
    def total(self) -> int:
        """Multiply-adds of all operators."""
        return self.flops.total()


@contextmanager
def observing(names: Mapping[nn.Module, str]) -> Iterator[Observation]:
    """Observe what runs; `names` are those of the modules, and what others do is their caller's."""
    seen = Observation()
    with ExitStack() as stack:
        places = stack.enter_context(_places(names, seen.ran))
        stack.enter_context(_Leaving(seen, places))
        stack.enter_context(_Dispatched(seen, places))
        yield seen


@contextmanager
def _places(names: Mapping[nn.Module, str], ran: set[nn.Module]) -> Iterator[list[str]]:
    """Keep the names of the modules that run, the innermost last."""
    places = [""]

    def enter(module: nn.Module, _: Any) -> None:
        ran.add(module)
        places.append(names.get(module, places[-1]))

    def leave(*_: Any) -> None:
        places.pop()

    entering = register_module_forward_pre_hook(enter)
    leaving = register_module_forward_hook(leave, always_call=True)
    try:
        yield places
    finally:
        entering.remove()
        leaving.remove()


class _Leaving(TorchFunctionMode):
    """Notes where Python, NumPy or another library gets at the values of a tensor."""

    def __init__(self, seen: Observation, places: list[str]) -> None:
        super().__init__()
        self._seen, self._places = seen, places

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in LEAVING:
            noted = self._seen.read if args[0].numel() == 1 else self._seen.left
            noted[LEAVING[function], self._places[-1]] += 1
        elif function is Tensor.tolist:
            self._seen.read["Tensor.tolist", self._places[-1]] += 1
        return function(*args, **(kwargs or {}))


class _Dispatched(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts each operator as the dispatcher meets it."""

    supports_higher_order_operators = True

    def __init__(self, seen: Observation, places: list[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seen, self._places = seen, places
        self._formulas = formulas()
        self._known: dict[Any, tuple[Callable[..., int] | None, bool]] = {}

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if operator not in self._known:
            self._known[operator] = rule(operator, self._formulas), is_free(operator)
        count, free = self._known[operator]
        if count is None and not free and isinstance(operator, torch._ops.OpOverload):
            with self:  # composite operators arrive whole in inference mode
                result = operator.decompose(*args, **named)
            if result is not NotImplemented:
                return result
        result = operator(*args, **named)
        self._note(operator, args, named, result)
        return result

    def _note(self, operator: Any, args: Any, named: Any, result: Any) -> None:
        count, free = self._known[operator]
        seen, name = self._seen, name_of(operator)
        place = name, self._places[-1]
        if name in READS or torch.Tag.dynamic_output_shape in getattr(operator, "tags", ()):
            seen.read[place] += 1
        if count is not None and is_dense(args, named):
            seen.flops[place] += count(*args, **named, out_val=result)
            seen.activations[place] += prod(next(_tensors(result)).shape)
        elif not free and next(_tensors((args, named)), None) is not None:
            seen.unknown[place] += 1


def _tensors(values: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor))
