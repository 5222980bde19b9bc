"""Width and depth of any module: what there is to scale in it, tried before it is relied on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from scalenet.arch.errors import PlainError, ScalenetError, one_line
from scalenet.arch.words import number
from scalenet.model.channels import Group, groups_of, widen
from scalenet.model.siblings import Siblings, deepen, siblings_of

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_TRIED = (2.0, 0.5)
"""How much wider or deeper a module must run."""
_LONGEST = 300
_WRAP = "write a function of width and depth that makes it"


def _of(some: int, found: int, what: str) -> str:
    return number(found, what) if some == found else f"{some} of {number(found, what)}"


@dataclass(frozen=True, slots=True)
class Knobs:
    """What there is to scale in a module."""

    groups: tuple[Group, ...]
    runs: tuple[Siblings, ...]
    found_groups: int
    found_runs: int

    def __str__(self) -> str:
        width = _of(len(self.groups), self.found_groups, "group")
        return f"width: {width} of channels; depth: {_of(len(self.runs), self.found_runs, 'run')} of siblings"

    def turn(self, module: nn.Module, *, width: float, depth: float) -> nn.Module:
        """Rewrite a module in place, and return it; raise ScalenetError where its layers cannot have these sizes."""
        try:
            widen(module, self.groups, width)
            deepen(module, self.runs, depth)
        except ScalenetError:
            raise
        except Exception as error:
            raise ScalenetError(f"cannot be rewritten: {one_line(error)[:_LONGEST]}", hint=_WRAP) from None
        return module


def knobs(make: Callable[[], nn.Module], empty: Callable[[], nn.Module], image: Tensor) -> Knobs:
    """Return what there is to scale in the modules that `make` gives, and `empty` without values where that goes.

    All groups of channels are widened and narrowed together, and all runs of siblings doubled; where the module does
    not run then, those that do not go alone are left as they are. Raise ScalenetError where the rest does not run.
    """
    try:
        groups, runs = groups_of(make(), image), siblings_of(make())
    except PlainError:
        raise
    except Exception as error:
        raise ScalenetError(f"its channels cannot be followed: {one_line(error)[:_LONGEST]}", hint=_WRAP) from None
    trial = _Trial(empty, image)
    own_groups = trial.working(groups, widen)
    own_runs = trial.working(runs, deepen)
    return Knobs(own_groups, own_runs, len(groups), len(runs))


class _Trial:
    """Runs rewritten modules: one works whose output is shaped as before."""

    def __init__(self, make: Callable[[], nn.Module], image: Tensor) -> None:
        self.make, self.image = make, image
        self.expected = self._shapes(make())

    def working(self, knobs: tuple[T, ...], turn: Callable[[nn.Module, tuple[T, ...], float], None]) -> tuple[T, ...]:
        """Return all knobs where they can be turned together, or else those that can be turned alone, if together."""
        if self._works(knobs, turn):
            return knobs
        alone = tuple(one for one in knobs if self._works((one,), turn))
        return alone if self._works(alone, turn) else ()

    def _works(self, knobs: tuple[T, ...], turn: Callable[[nn.Module, tuple[T, ...], float], None]) -> bool:
        try:
            for factor in _TRIED:
                module = self.make()
                turn(module, knobs, factor)
                if self._shapes(module) != self.expected:
                    return False
        except Exception:
            return False
        return True

    def _shapes(self, module: nn.Module) -> list[torch.Size]:
        device = next((one.device for one in module.parameters()), self.image.device)
        with torch.no_grad():
            output = module.eval()(self.image.to(device))
        return [leaf.shape for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
