"""A flat program of sums and products: what the walk of a layer tree comes to, for many networks at once.

A stage's cost is a polynomial in widths, areas and its depth. Multiplied out and put together again with what most
terms share before brackets (Horner's scheme, one factor at a time), B0's counts take a third of the operations of the
walk itself.
"""

from __future__ import annotations

from collections import Counter
from operator import add, mul
from typing import TYPE_CHECKING, Any

from scalenet.costs.expression import Expression, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scalenet.costs.expression import Atom, Monomial


class Program:
    """Steps that make outputs of inputs; equal parts of them are computed once."""

    def __init__(self, outputs: Sequence[Expression | float], inputs: int) -> None:
        """Compile expressions of so many inputs of one table."""
        self._places: dict[Any, int] = {}
        self._constants: dict[int, float] = {}
        self._steps: list[tuple[Callable[..., Any], tuple[int, ...], int]] = []
        self._size = self._inputs = inputs
        self._outputs = [self._compiled(output) for output in outputs]
        self._gone = self._last_uses()

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        """Return the outputs: numbers, or arrays as the inputs are."""
        values: list[Any] = [*inputs, *[None] * (self._size - self._inputs)]
        for place, constant in self._constants.items():
            values[place] = constant
        for (function, operands, place), gone in zip(self._steps, self._gone, strict=True):
            values[place] = function(*[values[operand] for operand in operands])
            for operand in gone:
                values[operand] = None
        return [values[place] for place in self._outputs]

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
        kept = {*self._outputs}
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
