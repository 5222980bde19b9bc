"""A flat program of sums and products: what the walk of a layer tree comes to, for many networks at once.

A stage's cost is a polynomial in widths, areas and its depth. Multiplied out, it is put together again: a sum that was
needed before is taken as a whole (parameters are the weights that FLOPs multiply by areas), and of the rest what many
terms share is put before brackets, as in Horner's scheme. B0's counts take a quarter of the operations of the walk
itself. The steps are compiled as one Python function, so that a single network costs microseconds.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from functools import reduce
from operator import add, and_, eq, ge, gt, itemgetter, le, lt, mul, ne
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from scalenet.costs.expression import Expression, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

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


COMPARISONS = {eq, ne, lt, gt, le, ge}


class Program:
    """Steps that make outputs of inputs; equal parts of them are computed once."""

    def __init__(self, outputs: Sequence[Expression | float], inputs: int) -> None:
        """Compile expressions of so many inputs of one table."""
        self._places: dict[Any, int] = {}
        self._constants: dict[int, Any] = {}
        self._steps: list[tuple[Callable[..., Any], tuple[int, ...], int]] = []
        self._sums: list[Expression] = []
        self._floats: set[int] = set()
        self._size = self._inputs = inputs
        self._outputs = [self._compiled(output) for output in outputs]
        source = self._source()
        functions = {f"f{place}": function for function, _, place in self._steps}
        self.on_arrays = self._function(source, functions)
        self.on_numbers = self._function(source, {key: ON_NUMBERS.get(one, one) for key, one in functions.items()})

    def __len__(self) -> int:
        """Return how many steps it has."""
        return len(self._steps)

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        """Return the outputs: of numbers alone numbers, of numbers and arrays of one length float64."""
        if all(isinstance(value, int | float) for value in inputs):
            return self.on_numbers(*inputs)
        return self.on_arrays(*(np.asarray(value, np.float64) for value in inputs))

    def _source(self) -> str:
        """Return the steps as a Python function: `v` are values, `c` constants, `f` functions, each by its place."""
        names = {place: f"{'c' if place in self._constants else 'v'}{place}" for place in range(self._size)}
        lines = [f"def counted({', '.join(names[place] for place in range(self._inputs))}):"]
        for step, gone in zip(self._steps, self._last_uses(), strict=True):
            lines += self._lines(names, *step, gone)
        return "\n".join([*lines, f"    return [{', '.join(names[place] for place in self._outputs)}]"])

    def _lines(
        self,
        names: dict[int, str],
        function: Callable[..., Any],
        operands: tuple[int, ...],
        place: int,
        gone: list[int],
    ) -> list[str]:
        """Return the lines of a step, made in place of a value that no later step needs; others such are deleted."""
        sign, given = SIGNS.get(function), [names[operand] for operand in operands]
        replaced = [names[operand] for operand in gone if operand in self._floats] if sign else []
        if replaced:
            own = names[place] = replaced[0]
            made = f"{own} {sign}= {given[1] if given[0] == own else given[0]}"
        else:
            made = f"{names[place]} = " + (f" {sign} ".join(given) if sign else f"f{place}({', '.join(given)})")
        return [f"    {made}", *(f"    del {names[one]}" for one in gone if names[one] != names[place])]

    def _function(self, source: str, functions: dict[str, Callable[..., Any]]) -> Callable[..., list[Any]]:
        names: dict[str, Any] = {**functions, **{f"c{place}": one for place, one in self._constants.items()}}
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
        """Return the place of a sum: a multiple of a smaller one, or one that is there and a rest, or products."""
        count = _common_count(value)
        if count > 1:
            return self._times(count, value.table.of({terms: own // count for terms, own in value.terms.items()}))
        times, known = self._known(value)
        place = self._factored(value) if known is None else self._with(self._times(times, known), value - known * times)
        if len(value.terms) > 2:
            self._sums.append(value)
        return place

    def _known(self, value: Expression) -> tuple[int, Expression | None]:
        """Return the sum that is there already whose multiple has most of a value's terms, and the multiple."""
        best: tuple[int, int, Expression | None] = (1, 1, None)
        for known in self._sums:
            shared = Counter(value.terms[terms] / own for terms, own in known.terms.items() if terms in value.terms)
            times, alike = max(shared.items(), key=itemgetter(1), default=(0.0, 0))
            spared = alike - (len(known.terms) - shared.total()) - (times != 1)
            if times == int(times) and spared > best[0]:
                best = spared, int(times), known
        return best[1:]

    def _factored(self, value: Expression) -> int:
        """Return the place of a sum of which the factors that spare most products stand before brackets."""
        factors, inside, outside = _brackets(value)
        if not factors:
            return self._chained(add, [self._product(*term) for term in value.terms.items()])
        product = self._step(mul, self._chained(mul, [self._atom(atom) for atom in factors]), self._compiled(inside))
        return self._with(product, outside)

    def _times(self, count: int, value: Expression) -> int:
        place = self._compiled(value)
        return place if count == 1 else self._step(mul, place, self._constant(count))

    def _with(self, place: int, rest: Expression) -> int:
        return self._step(add, place, self._compiled(rest)) if rest.terms else place

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
            if function not in COMPARISONS and any(one < self._inputs or one in self._floats for one in operands):
                self._floats.add(self._places[key])
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


def _common_count(value: Expression) -> int:
    """Return the greatest number that divides all coefficients of a sum, or 1."""
    counts = value.terms.values()
    whole = len(counts) > 1 and all(isinstance(count, int) for count in counts)
    return math.gcd(*cast("Iterable[int]", counts)) if whole else 1


def _brackets(value: Expression) -> tuple[Monomial, Expression, Expression]:
    """Return `factors`, `inside` and `outside` of a value that is factors · inside + outside; none where none spare."""
    holding: defaultdict[Atom, list[Monomial]] = defaultdict(list)
    for monomial in value.terms:
        for atom in set(monomial):
            holding[atom].append(monomial)
    shared = {atom: reduce(and_, map(Counter, monomials)) for atom, monomials in holding.items()}
    spared = {atom: (len(holding[atom]) - 1) * factors.total() for atom, factors in shared.items()}
    best = max(spared, key=lambda atom: (spared[atom], atom.number), default=None)
    if best is None or not spared[best]:
        return (), value, value
    factors = shared[best]
    inside = {_product(Counter(monomial) - factors): value.terms[monomial] for monomial in holding[best]}
    outside = {monomial: count for monomial, count in value.terms.items() if best not in monomial}
    return _product(factors), value.table.of(inside), value.table.of(outside)


def _product(factors: Counter[Atom]) -> Monomial:
    return tuple(factors.elements())


def inputs(count: int) -> list[Expression]:
    """Return so many inputs of a new table, for a program that takes them in this order."""
    table = Table()
    return [table.input(place) for place in range(count)]
