"""A flat program of sums and products: what the walk of a layer tree comes to, for many networks at once.

A stage's cost is a polynomial in widths, areas and its depth. Multiplied out and put together again with what most
terms share before brackets (Horner's scheme, one factor at a time), B0's counts take a third of the operations of the
walk itself. The steps are compiled as one Python function, so that a single network costs microseconds.
"""

from __future__ import annotations

import math
from collections import Counter
from operator import add, mul
from typing import TYPE_CHECKING, Any

import numpy as np

from scalenet.costs.expression import Expression, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scalenet.costs.expression import Atom, Monomial


SIGNS = {add: "+", mul: "*"}
ON_NUMBERS: dict[Callable[..., Any], Callable[..., Any]] = {
    np.ceil: math.ceil,
    np.floor: math.floor,
    np.round: round,
    np.rint: round,
    np.where: lambda condition, yes, no: yes if condition else no,
    np.maximum: max,
    np.minimum: min,
}
"""What counts single numbers as ints, in place of NumPy's functions, which are slower there and make floats."""


class Program:
    """Steps that make outputs of inputs; equal parts of them are computed once."""

    def __init__(self, outputs: Sequence[Expression | float], inputs: int) -> None:
        """Compile expressions of so many inputs of one table."""
        self._places: dict[Any, int] = {}
        self._constants: dict[int, Any] = {}
        self._steps: list[tuple[Callable[..., Any], tuple[int, ...], int]] = []
        self._size = self._inputs = inputs
        self._outputs = [self._compiled(output) for output in outputs]
        source = self._source()
        functions = {f"f{place}": function for function, _, place in self._steps}
        self.on_arrays = self._function(source, functions)
        self.on_numbers = self._function(source, {key: ON_NUMBERS.get(one, one) for key, one in functions.items()})

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        """Return the outputs: numbers, or arrays as the inputs are."""
        single = all(isinstance(value, int | float) for value in inputs)
        return (self.on_numbers if single else self.on_arrays)(*inputs)

    def _source(self) -> str:
        """Return the steps as a Python function: `v` are values, `c` constants, `f` functions, each by its place.

        A value that no later step needs is deleted, which leaves the cache to others.
        """
        lines = [f"def counted({', '.join(self._name(place) for place in range(self._inputs))}):"]
        for (function, operands, place), gone in zip(self._steps, self._last_uses(), strict=True):
            names = [self._name(operand) for operand in operands]
            sign = SIGNS.get(function)
            made = f" {sign} ".join(names) if sign else f"f{place}({', '.join(names)})"
            lines.append(f"    v{place} = {made}")
            lines += [f"    del {self._name(operand)}" for operand in gone]
        outputs = ", ".join(self._name(place) for place in self._outputs)
        return "\n".join([*lines, f"    return [{outputs}]"])

    def _name(self, place: int) -> str:
        return f"c{place}" if place in self._constants else f"v{place}"

    def _function(self, source: str, functions: dict[str, Callable[..., Any]]) -> Callable[..., list[Any]]:
        names: dict[str, Any] = {**functions, **{self._name(place): one for place, one in self._constants.items()}}
        exec(source, names)
        return names["counted"]  # type: ignore[no-any-return]

    def _compiled(self, value: Expression | Any) -> int:
        """Return the place where a value will be."""
        if not isinstance(value, Expression):
            return self._constant(value)
        if value not in self._places:
            self._places[value] = self._sum(value)
        return self._places[value]

    def _sum(self, value: Expression) -> int:
        shared = Counter(atom for monomial in value.terms for atom in set(monomial))
        atom, uses = max(shared.items(), key=lambda item: (item[1], item[0].number), default=(None, 0))
        if atom is None or uses < 2:
            return self._chained(add, [self._product(*term) for term in value.terms.items()])
        inside, outside = _factored(value, atom)
        product = self._step(mul, self._atom(atom), self._compiled(inside))
        return self._step(add, product, self._compiled(outside)) if outside.terms else product

    def _product(self, monomial: Monomial, count: float) -> int:
        factors = [self._atom(atom) for atom in monomial]
        return self._chained(mul, factors if count == 1 and factors else [*factors, self._constant(count)])

    def _atom(self, atom: Atom) -> int:
        if atom not in self._places:
            operands = [self._compiled(operand) for operand in atom.operands]
            self._places[atom] = self._step(atom.function, *operands) if atom.function else int(atom.number)
        return self._places[atom]

    def _chained(self, function: Callable[..., Any], places: list[int]) -> int:
        if not places:
            return self._constant(0)
        first, *others = places
        for other in others:
            first = self._step(function, first, other)
        return first

    def _constant(self, value: Any) -> int:
        key = ("constant", type(value), value)
        if key not in self._places:
            self._places[key] = self._new()
            self._constants[self._places[key]] = value
        return self._places[key]

    def _step(self, function: Callable[..., Any], *operands: int) -> int:
        key = (function, operands)
        if key not in self._places:
            self._places[key] = self._new()
            self._steps.append((function, operands, self._places[key]))
        return self._places[key]

    def _new(self) -> int:
        self._size += 1
        return self._size - 1

    def _last_uses(self) -> list[list[int]]:
        """Return which values no later step needs, step by step: what is gone leaves the cache to others."""
        kept = {*self._outputs, *self._constants}
        gone: list[list[int]] = []
        for _, operands, _ in reversed(self._steps):
            gone.append([operand for operand in set(operands) if operand not in kept])
            kept |= set(operands)
        return gone[::-1]


def _factored(value: Expression, atom: Atom) -> tuple[Expression, Expression]:
    """Return `inside` and `outside` where the value is atom · inside + outside."""
    inside, outside = {}, {}
    for monomial, count in value.terms.items():
        if atom in monomial:
            place = monomial.index(atom)
            inside[monomial[:place] + monomial[place + 1 :]] = count
        else:
            outside[monomial] = count
    return value.table.of(inside), value.table.of(outside)


def inputs(count: int) -> list[Expression]:
    """Return so many inputs of a new table, for a program that takes them in this order."""
    table = Table()
    return [table.input(place) for place in range(count)]
