"""Renames: which target of the base a new one was, so that the base's limits still hold for it.

A new target that costs what a gone one did, stage by stage, is that one. Else the pair that is most alike is taken, in
its counts or description, in the text of its callable, and in its name, where no other pair is nearly as much alike.
What stays unclear is no rename: the project file says it (`was`), or that the target is new.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from scalenet.arch.factory import names_callable
from scalenet.checks.git import file_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from scalenet.checks.lock import TargetCost

_ALIKE = 0.6
"""How much alike a renamed target is at least; `tests/checks/test_renames.py` has pairs on both sides."""
_CLEAR = 0.05
"""By how much the right pair is more alike than any other."""


@dataclass(frozen=True, slots=True)
class Renames:
    """What each new target was, and those of which that is `unclear`, with what they may have been."""

    was: dict[str, str] = field(default_factory=dict)
    unclear: dict[str, list[str]] = field(default_factory=dict)


def find_renames(
    gone: Mapping[str, TargetCost], new: Mapping[str, TargetCost], sources: Sources, *, said: Mapping[str, str]
) -> Renames:
    """Pair new targets with gone ones; what the project file has `said` holds, and one may have become several."""
    was = {name: said[name] for name in new if said.get(name) in gone}
    was |= {name: same for name in new.keys() - was if (same := _same(name, new[name], gone)) is not None}
    open_new, open_old = sorted(new.keys() - was), sorted(gone.keys() - set(was.values()))
    scores = {
        (name, old): score
        for name in open_new
        for old in open_old
        if (score := likeness(name, new[name], old, gone[old], sources)) >= _ALIKE
    }
    unclear: dict[str, list[str]] = {}
    while scores:
        best = max(scores, key=lambda pair: scores[pair])
        rivals = [pair for pair in scores if scores[pair] > scores[best] - _CLEAR and _share(pair, best)]
        if len(rivals) == 1:
            was[best[0]] = best[1]
        for name, old in rivals if len(rivals) > 1 else ():
            unclear.setdefault(name, []).append(old)
        scores = {pair: score for pair, score in scores.items() if not any(_share(pair, one) for one in rivals)}
    return Renames(was, unclear)


def _share(pair: tuple[str, str], other: tuple[str, str]) -> bool:
    return pair[0] == other[0] or pair[1] == other[1]


def _same(name: str, cost: TargetCost, gone: Mapping[str, TargetCost]) -> str | None:
    """Return the gone target that costs the same in every stage, of several the one with the nearest name."""
    same = [old for old, before in gone.items() if (before.input, before.stages) == (cost.input, cost.stages)]
    return max(same, key=lambda old: _ratio(name, old), default=None)


def likeness(name: str, cost: TargetCost, old: str, before: TargetCost, sources: Sources) -> float:
    """Return how much alike two targets are, from 0 to 1."""
    if (cost.model is None) != (before.model is None):
        return 0
    content = _dice(set(_traits(cost)), set(_traits(before)))
    texts = sources.text(name, now=True), sources.text(old, now=False)
    if texts[0] is not None and texts[1] is not None:
        content = (content + _ratio(texts[0], texts[1])) / 2
    return 0.8 * content + 0.2 * _ratio(name, old)


def _traits(cost: TargetCost) -> Iterator[tuple[Any, ...]]:
    """Yield what a target is made of: the values of its description, or the stages of a module with their counts."""
    if cost.model is not None:
        yield from _leaves(cost.model, ())
        return
    for name, stage in cost.stages.items():
        yield name, stage.params
        for operator, count in stage.operators.items():
            yield from ((name, operator), (name, operator, count))


def _leaves(value: Any, place: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if children is None:
        yield (*place, value)
        return
    for key, child in children:
        yield from _leaves(child, (*place, key))


def _dice(one: set[Any], other: set[Any]) -> float:
    return 2 * len(one & other) / max(1, len(one) + len(other))


def _ratio(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other, autojunk=False).ratio()


@dataclass(frozen=True, slots=True)
class Sources:
    """The texts of callables: as they are in the project's folder, and as they were in a commit. Nothing is run."""

    folder: Path
    commit: str
    modules: Mapping[str, str]
    """What today's targets name: package.module:name, by target."""

    def text(self, target: str, *, now: bool) -> str | None:
        """Return the text of a target's callable without comments and layout; None where there is none to read."""
        path = self.modules.get(target, target) if now else target
        if not names_callable(path):
            return None
        place, _, names = path.partition(":")
        package = place.replace(".", "/")
        for name in (f"{start}{package}{end}" for start in ("src/", "") for end in (".py", "/__init__.py")):
            text = _read(self.folder / name) if now else file_at(self.commit, self.folder, name)
            if text is not None and (found := _definition(text, names.split("."))) is not None:
                return found
        return None


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _definition(text: str, names: list[str]) -> str | None:
    try:
        node: ast.AST = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None
    for name in names:
        found = next((child for child in ast.iter_child_nodes(node) if name in _defined(child)), None)
        if found is None:
            return None
        node = found
    return ast.unparse(node)


def _defined(node: ast.AST) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]
