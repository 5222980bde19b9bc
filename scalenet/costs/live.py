"""Memory by measurement: what is held between operators while a module runs, weights included.

The module runs once, in evaluation mode and without gradients, with a look after each operator at which tensors are
alive. That is what `memory` follows by formula, and for networks of descriptions they are equal; on the meta device,
where large modules run, normalisations make a few empty statistics more. What a kernel takes for itself and gives back
is not seen, nor what the allocator rounds.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from scalenet.costs.counter import is_large
from scalenet.costs.running import arguments

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from scalenet.costs.running import Input


def peak_memory(module: nn.Module, input: Input) -> int:
    """Return the most bytes that are alive at once while a module runs: parameters, buffers, inputs and maps.

    `input` is what `scalenet.measure` takes. A copy of the module runs; what cannot run on the meta device runs where
    it is.
    """
    call = arguments(input)
    if is_large(_elements(module.parameters()), _elements(tree_leaves(call))):
        with suppress(Exception):  # a module that reads values
            return _peak(deepcopy(module).to("meta"), tree_map_only(Tensor, lambda tensor: tensor.to("meta"), call))
    return _peak(deepcopy(module), call)


def _elements(tensors: Iterable[Any]) -> int:
    return sum(tensor.numel() for tensor in tensors if isinstance(tensor, Tensor))


def _peak(module: nn.Module, call: tuple[Any, Any]) -> int:
    held = _Held()
    held.see((call, list(module.parameters()), list(module.buffers())))
    with torch.no_grad(), held:
        module.eval()(*call[0], **call[1])
    return held.peak


class _Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps account of the storages that are alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sizes: dict[int, int] = {}
        self.now = self.peak = 0

    def see(self, tree: Any) -> None:
        """Take account of the tensors in a tree."""
        for tensor in tree_leaves(tree):
            if isinstance(tensor, Tensor):
                self._hold(tensor.untyped_storage())

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key = id(storage)
        if key in self.sizes:
            return
        self.sizes[key] = storage.nbytes()
        self.now += self.sizes[key]
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._let_go, key).atexit = False

    def _let_go(self, key: int) -> None:
        self.now -= self.sizes.pop(key)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.see(result)
        return result
