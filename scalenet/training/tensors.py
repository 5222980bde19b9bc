"""Tensors by name, as files hold them: parts of them, and whether they are those of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


def below(tensors: Mapping[str, Tensor], start: str) -> dict[str, Tensor]:
    """Return the tensors whose names have that start, without it."""
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def mismatch(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str | None:
    """Say what keeps tensors from taking the place of others: a name, shape or type, or values that are not finite."""
    if missing := [name for name in wanted if name not in given]:
        return f"no tensor {missing[0]}"
    if unknown := [name for name in given if name not in wanted]:
        return f"a tensor {unknown[0]} that the network does not have"
    for name, value in wanted.items():
        found, expected = _kind(given[name]), _kind(value)
        if found != expected:
            return f"{name} is {found}, not {expected}"
        if not bool(given[name].isfinite().all()):
            return f"{name} has values that are not finite"
    return None


def _kind(value: Tensor) -> str:
    shape = "×".join(map(str, value.shape)) or "one number"
    return f"{shape} of {str(value.dtype).removeprefix('torch.')}"
