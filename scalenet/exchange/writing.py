"""Expressions of Python: calls with numbers in them, which a function that makes them all has as parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDEST = 100
_INDENT = "    "


class Code(str):
    """Text that stands in a file as it is."""

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True)
class Number:
    """A number, what it is called where it becomes a parameter, and the value at which it is left out."""

    value: object
    name: str
    usual: object = None


@dataclass(frozen=True, slots=True)
class Call:
    """A call: its arguments are text, numbers or calls, with a keyword or with an empty one."""

    name: str
    arguments: tuple[tuple[str, Expression], ...]


Expression: TypeAlias = str | Number | Call


def numbers(expression: Expression) -> Iterator[Number]:
    """Yield the numbers of an expression in their order."""
    if isinstance(expression, Number):
        yield expression
    elif isinstance(expression, Call):
        for _, argument in expression.arguments:
            yield from numbers(argument)


def structure(expression: Expression) -> Expression:
    """Return an expression without the values of its numbers: those of equal structure one function makes."""
    if isinstance(expression, Number):
        return Number(None, expression.name, expression.usual)
    if isinstance(expression, Call):
        return Call(expression.name, tuple((key, structure(one)) for key, one in expression.arguments))
    return expression


def parameters(expressions: list[Expression]) -> tuple[list[str | None], dict[str, list[object]]]:
    """Return for each number of equal structures the parameter that it is, and each parameter's values.

    None stands for a number that is the same in all. Numbers that are equal to each other everywhere are one parameter.
    """
    columns = list(zip(*(numbers(one) for one in expressions), strict=True))
    names: list[str | None] = []
    found: dict[tuple[object, ...], str] = {}
    for column in columns:
        values = tuple(one.value for one in column)
        if len(set(values)) == 1:
            names.append(None)
            continue
        if values not in found:
            taken = list(found.values())
            same = [one for one in taken if one.rstrip("0123456789") == column[0].name]
            found[values] = f"{column[0].name}{len(same) + 1}" if same else column[0].name
        names.append(found[values])
    return names, {name: list(values) for values, name in found.items()}


def written(expression: Expression, names: list[str | None] | None = None) -> Expression:
    """Return an expression of text alone: numbers as parameters where they have a name, left out where usual."""
    left = iter(names or [])

    def text(one: Expression) -> Expression | None:
        if isinstance(one, Number):
            name = next(left, None)
            return name or (None if one.value == one.usual else repr(one.value))
        if isinstance(one, Call):
            pairs = [(key, text(argument)) for key, argument in one.arguments]
            return Call(one.name, tuple((key, argument) for key, argument in pairs if argument is not None))
        return one

    return text(expression) or ""


def lines(expression: Expression, *, depth: int = 0, before: str = "", after: str = "") -> list[str]:
    """Return the lines of an expression, one argument a line where it is too long for one."""
    indent = _INDENT * depth
    whole = f"{indent}{before}{inline(expression)}{after}"
    if len(whole) <= WIDEST or not isinstance(expression, Call) or not expression.arguments:
        return [whole]
    result = [f"{indent}{before}{expression.name}("]
    for key, argument in expression.arguments:
        result += lines(argument, depth=depth + 1, before=_keyword(key), after=",")
    return [*result, f"{indent}){after}"]


def inline(expression: Expression) -> str:
    """Return an expression on one line."""
    if isinstance(expression, Call):
        arguments = ", ".join(f"{_keyword(key)}{inline(one)}" for key, one in expression.arguments)
        return f"{expression.name}({arguments})"
    return str(expression)


def _keyword(key: str) -> str:
    return f"{key}=" if key else ""
