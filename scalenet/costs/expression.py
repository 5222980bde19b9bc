"""Numbers that are not known yet: polynomials over inputs and over what functions make of them.

The walk of the formula, done once with expressions in place of a network's numbers, gives the counts of all networks
of one description; `scalenet.costs.program` evaluates them. Sums and products are multiplied out, so that what cancels
is gone; functions of NumPy (`np.ceil` of half a side) and comparisons are kept as they are, by their operands. An
expression has no truth value: who asks for one gets TypeError.
"""

from __future__ import annotations

import operator
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Operand: TypeAlias = "Expression | float"
Monomial: TypeAlias = tuple["Atom", ...]


@dataclass(frozen=True, eq=False, slots=True)
class Atom:
    """An input, by its place, or a function of operands; `number` orders atoms by when they were made."""

    number: int
    function: Callable[..., Any] | None = None
    operands: tuple[Operand, ...] = ()


class Table:
    """The atoms and expressions of one program: what is equal is one object."""

    def __init__(self) -> None:
        self._atoms: dict[Any, Atom] = {}
        self._expressions: dict[Any, Expression] = {}

    def input(self, place: int) -> Expression:
        """Return an input; each place is one."""
        return self._of_atom(("input", place), None, ())

    def applied(self, function: Callable[..., Any], *operands: Operand) -> Expression:
        """Return what a function makes of expressions and numbers."""
        return self._of_atom((function, *operands), function, operands)

    def of(self, terms: dict[Monomial, float]) -> Expression:
        """Return the sum of terms: monomials by their coefficients."""
        terms = {monomial: count for monomial, count in terms.items() if count}
        key = frozenset(terms.items())
        if key not in self._expressions:
            self._expressions[key] = Expression(self, terms)
        return self._expressions[key]

    def _of_atom(self, key: Any, function: Callable[..., Any] | None, operands: tuple[Operand, ...]) -> Expression:
        if key not in self._atoms:
            self._atoms[key] = Atom(len(self._atoms), function, operands)
        return self.of({(self._atoms[key],): 1})


class Expression:
    """A sum of monomials."""

    __slots__ = ("table", "terms")

    def __init__(self, table: Table, terms: dict[Monomial, float]) -> None:
        self.table, self.terms = table, terms

    def __add__(self, other: Operand) -> Expression:
        terms = Counter(self.terms)
        for monomial, count in self._terms(other).items():
            terms[monomial] += count  # type: ignore[assignment]
        return self.table.of(dict(terms))

    def __mul__(self, other: Operand) -> Expression:
        products: Counter[Monomial] = Counter()
        for one, count in self.terms.items():
            for another, times in self._terms(other).items():
                monomial = tuple(sorted(one + another, key=lambda atom: atom.number))
                products[monomial] += count * times  # type: ignore[assignment]
        return self.table.of(dict(products))

    def __sub__(self, other: Operand) -> Expression:
        return self + other * -1

    def __rsub__(self, other: float) -> Expression:
        return self * -1 + other

    def __pow__(self, power: int) -> Expression:
        result = self
        for _ in range(power - 1):
            result = result * self
        return result

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Operand) -> Expression:
        return self.table.applied(operator.truediv, self, other)

    def __floordiv__(self, other: Operand) -> Expression:
        return self.table.applied(operator.floordiv, self, other)

    def __mod__(self, other: Operand) -> Expression:
        return self.table.applied(operator.mod, self, other)

    def __eq__(self, other: object) -> Any:
        return other is self or self.table.applied(operator.eq, self, other)  # type: ignore[arg-type]

    def __ne__(self, other: object) -> Any:
        return other is not self and self.table.applied(operator.ne, self, other)  # type: ignore[arg-type]

    def __lt__(self, other: Operand) -> Expression:
        return self.table.applied(operator.lt, self, other)

    def __gt__(self, other: Operand) -> Expression:
        return self.table.applied(operator.gt, self, other)

    def __le__(self, other: Operand) -> Expression:
        return self.table.applied(operator.le, self, other)

    def __ge__(self, other: Operand) -> Expression:
        return self.table.applied(operator.ge, self, other)

    def __hash__(self) -> int:
        return id(self)

    def __bool__(self) -> bool:
        raise TypeError("an expression has no truth value")

    def __array_ufunc__(self, function: Any, method: str, *operands: Any, **options: Any) -> Any:
        if method != "__call__" or options:
            return NotImplemented
        known = {"add": operator.add, "subtract": operator.sub, "multiply": operator.mul}.get(function.__name__)
        return known(*operands) if known else self.table.applied(function, *operands)

    def __array_function__(self, function: Any, types: Any, operands: Any, options: Any) -> Any:
        return NotImplemented if options else self.table.applied(function, *operands)

    def _terms(self, other: Operand) -> dict[Monomial, float]:
        return other.terms if isinstance(other, Expression) else {(): other}
