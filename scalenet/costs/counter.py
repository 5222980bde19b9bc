"""Costs by measurement: fvcore on a module.

fvcore is the reference that the formula is tested against. It leaves evaluation mode and gradients to its caller, so
both are set here, and everything is as before afterwards.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.modules.module import register_module_forward_pre_hook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Measurement:
    """What fvcore counted for one input; `flops` are convolutions, linear layers and matrix products.

    `flops_by_module` has fvcore's operators for each module that ran, by name (`""` is the whole). `unsupported` are
    operators that fvcore met and counted as nothing, with how often; `uncalled` are modules that never ran.
    """

    flops: int
    flops_by_operator: dict[str, int]
    params: int
    activations: int
    flops_by_module: dict[str, dict[str, int]]
    unsupported: dict[str, int]
    uncalled: tuple[str, ...]


_MATRIX_OPERATORS = ("conv", "linear", "addmm", "bmm", "einsum", "matmul", "mm")


def measure(module: nn.Module, input: Tensor | tuple[Tensor, ...]) -> Measurement:
    """Count a module with fvcore in evaluation mode; mode, gradients and threads are as before afterwards.

    `input` is a tensor, or a tuple of the tensors that `forward` takes; for images [N, channels, height, width].
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fvcore traces with torch.jit, which announces its end with every call
        from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis  # noqa: PLC0415

        with _quiet(module), torch.no_grad(), _one_thread(), _running_modules() as ran:
            flops = FlopCountAnalysis(module, input).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            activations = ActivationCountAnalysis(module, input)
            activations = activations.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            by_module = {
                name: {operator: int(count) for operator, count in counts.items()}
                for name, counts in flops.by_module_and_operator().items()
            }
            operators = by_module[""]
            return Measurement(
                flops=matrix_flops(operators),
                flops_by_operator=dict(sorted(operators.items())),
                params=sum(parameter.numel() for parameter in module.parameters()),
                activations=int(activations.total()),
                flops_by_module=by_module,
                unsupported=dict(sorted(flops.unsupported_ops().items())),
                uncalled=tuple(
                    sorted(name for name in flops.uncalled_modules() if module.get_submodule(name) not in ran)
                ),
            )


def matrix_flops(operators: dict[str, int]) -> int:
    """Return the multiply-adds of convolutions, linear layers and matrix products among fvcore's operators."""
    return sum(count for operator, count in operators.items() if operator in _MATRIX_OPERATORS)


@contextmanager
def _quiet(module: nn.Module) -> Iterator[None]:
    """Hold a module in evaluation mode; each submodule has its own mode back afterwards."""
    modes = {child: child.training for child in module.modules()}
    logger = logging.getLogger("fvcore")
    level = logger.level
    module.eval()
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        for child, mode in modes.items():
            child.training = mode


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
def _one_thread() -> Iterator[None]:
    """Run torch on one thread: on a busy machine a trace is ten times faster so."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
