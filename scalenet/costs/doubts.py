"""Why a count may not be whole, in words: the operator, the module that it runs in, and the next step."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scalenet.arch.convention import matrix_flops
from scalenet.costs.operators import is_free_by_name, reported

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from scalenet.costs.observing import Observation, Place


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a count may not be whole: the operators in question, the module that they run in, and what to do."""

    operators: tuple[str, ...]
    module: str
    message: str
    hint: str

    def __str__(self) -> str:
        return self.message


def place(module: str) -> str:
    """Return a module's name for a message."""
    return f"module {module!r}" if module else "the module itself"


def unknown(seen: Observation, besides: Observation | None = None) -> Iterator[Doubt]:
    """Yield a doubt for each operator without a rule, by module, but those that another run had."""
    others = {} if besides is None else besides.unknown
    for (operator, module), times in seen.unknown.items():
        if (operator, module) in others:
            continue
        what = f"{operator} in {place(module)} has no rule for its multiply-adds"
        own = operator.startswith("aten::")
        ways = [] if own else ["give it one with torch.utils.flop_counter.register_flop_formula"]
        hint = " or ".join([*ways, f"count it as nothing with {accepting((operator,))}"])
        yield Doubt((operator,), module, f"{what}, and runs {times} times" if times > 1 else what, hint)


def left(seen: Observation) -> Iterator[Doubt]:
    """Yield a doubt for each way in which values left torch, by module."""
    for what, module in seen.left:
        message = f"{what} in {place(module)} hands values out of torch, and what becomes of them is not counted"
        yield Doubt((what,), module, message, f"do it in torch, or count it as nothing with {accepting((what,))}")


def unsteady(name: str, what: str, seen: Observation, again: Observation) -> Doubt:
    """Return the doubt of two runs that differ, with one operator that does."""
    both = {**seen.flops, **again.flops}
    operator, module = min(where for where in both if seen.flops[where] != again.flops[where])
    message = (
        f"the count depends on {what}: {operator} in {place(module)} has {seen.flops[operator, module]:,} "
        f"or {again.flops[operator, module]:,} multiply-adds"
    )
    return Doubt((name,), module, message, f"count the parts by themselves, or take one with {accepting((name,))}")


def within(module: str, counts: Counter[Place]) -> Counter[str]:
    """Return the counts by operator of a module and all that is below it."""
    found = Counter[str]()
    for (operator, where), count in counts.items():
        if not module or where == module or where.startswith(f"{module}."):
            found[reported(operator)] += count
    return found


def differences(
    fvcore: Mapping[str, Mapping[str, int]], unsupported: Iterable[str], seen: Observation
) -> Iterator[Doubt]:
    """Yield a doubt where fvcore's counts and what was seen differ, for the innermost module in which they do."""
    pairs = {name: (matrix_flops(counts), within(name, seen.flops).total()) for name, counts in fvcore.items()}
    if pairs[""][0] == pairs[""][1]:
        return
    differing = [name for name, (one, other) in pairs.items() if one != other]
    module = max(differing, key=lambda name: (name.count("."), len(name)))
    operators = tuple(sorted({operator for operator, where in seen.flops if where == module})) or ("counters",)
    one, other = pairs[module]
    message = (
        f"fvcore counts {one:,} multiply-adds in {place(module)}, torch's dispatcher {other:,}, "
        f"there of {', '.join(operators)}"
    )
    uncounted = [name.removeprefix("aten::") for name in unsupported if not is_free_by_name(name)]
    way = (
        f"fvcore has no rule for {', '.join(uncounted)}: write it with matmul"
        if uncounted
        else "a result that nothing depends on is not in fvcore's trace: return it or leave it out"
    )
    yield Doubt(operators, module, message, f"{way}, or take fvcore's count with {accepting(operators)}")


def accepting(operators: tuple[str, ...]) -> str:
    """Return how a project file accepts operators."""
    return f"accept = {json.dumps(operators)}"
