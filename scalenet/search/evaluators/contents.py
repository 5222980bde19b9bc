"""What a function at hand is made of: its code, and the values that it was given or reads."""

from __future__ import annotations

import ast
import dis
import inspect
import textwrap
from contextlib import suppress
from functools import partial
from numbers import Number
from pathlib import PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

CODE = "the code"
"""What a function's own text is called among its parts."""

_NAMED = (FunctionType, BuiltinFunctionType, type)
_BEGINNING = ("__init__", "__new__", "__post_init__")
_CHANGING = {
    *("add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft", "remove"),
    *("reverse", "setdefault", "sort", "update"),
}
"""Methods that change what they are called on."""


class Contents:
    """What a callable's results follow from, as text that is the same in every process.

    `parts` are its code, arguments of a partial, cells of a closure, attributes of an object, defaults, and the global
    values and functions of its own module that it reads, each by name. `unknown` names what cannot be told of them, and
    what the code changes itself, such as a counter.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        """Read a callable."""
        self.unknown: set[str] = set()
        self._seen: dict[int, Any] = {}
        self._home = getattr(function.func if isinstance(function, partial) else function, "__module__", None)
        self.parts = self._of(function)

    def _of(self, one: Any) -> dict[str, str]:
        self._seen[id(one)] = one
        if isinstance(one, partial):
            given = {f"argument {number}": value for number, value in enumerate(one.args, start=1)}
            return self._told({called(one.func): one.func, **given, **one.keywords})
        if isinstance(one, MethodType):
            return self._of(one.__func__) | self._of_object(one.__self__)
        if isinstance(one, FunctionType):
            code = code_of(one)
            name = f"{CODE} of {one.__qualname__}" if code is None else CODE
            return self._read({name: code}, {**_defaults(one), **_cells(one), **self._globals(one)})
        wrapped = getattr(one, "__wrapped__", None)
        return self._of_object(one) if wrapped is None else self._of(wrapped)

    def _of_object(self, one: Any) -> dict[str, str]:
        """Return the code of an object's class and of those in its module that this stands on, and its attributes."""
        kind = one if inspect.isclass(one) else type(one)
        own = [base for base in kind.__mro__ if base.__module__ == kind.__module__]
        values = {} if one is kind else _attributes(one, own)
        for method in (member for base in own for member in vars(base).values() if inspect.isfunction(member)):
            values |= self._globals(method)
        return self._read({f"class {base.__qualname__}": _class_code(base) for base in own}, values)

    def _read(self, codes: Mapping[str, str | None], values: Mapping[str, Any]) -> dict[str, str]:
        """Return code and the values that it reads, as far as they can be told and it does not change them itself."""
        known = {name: code for name, code in codes.items() if code is not None}
        changed = {name for code in known.values() for name in _changes(ast.parse(code))} & values.keys()
        self.unknown |= codes.keys() - known.keys() | changed
        return known | self._told({name: value for name, value in values.items() if name not in changed})

    def _told(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return values as text, as far as they can be told."""
        texts = {name: self._text(value) for name, value in values.items()}
        self.unknown |= {name for name, text in texts.items() if text is None}
        return {name: text for name, text in texts.items() if text is not None}

    def _text(self, value: Any) -> str | None:
        """Return a value as text, None where it cannot be told."""
        if value is None or isinstance(value, Number | PurePath):
            return str(value)
        if isinstance(value, str | bytes):
            return repr(value)
        if id(value) in self._seen or _is_elsewhere(value, self._home):
            return called(value) if callable(value) else None
        own = callable(value) and type(value).__module__ == self._home
        if own or isinstance(value, partial | FunctionType | MethodType | type):
            return repr(sorted(self._of(value).items()))
        if isinstance(value, list | tuple | dict):
            self._seen[id(value)] = value
            texts = [self._text(one) for one in (value.items() if isinstance(value, dict) else value)]
            del self._seen[id(value)]
            known = [text for text in texts if text is not None]
            if len(known) == len(texts):
                return f"{type(value).__name__} {sorted(known) if isinstance(value, dict) else known}"
        return None

    def _globals(self, function: FunctionType) -> dict[str, Any]:
        """Return the global values that a function of this module reads; of other modules' functions the name alone.

        Values that the module computes, such as the time, may be others in each process: they are not told.
        """
        if function.__module__ != self._home:
            return {}
        read = {name: function.__globals__[name] for name in _names(function.__code__) & function.__globals__.keys()}
        found = {
            name: called(value) if isinstance(value, _NAMED) and value.__module__ != self._home else value
            for name, value in sorted(read.items())
            if not isinstance(value, ModuleType) and not name.startswith("__")
        }
        computed = {name for name in _computed(function.__code__) & found.keys() if not callable(found[name])}
        self.unknown |= computed
        return {name: value for name, value in found.items() if name not in computed}


def _is_elsewhere(value: Any, home: str | None) -> bool:
    """Return whether something is written in C, or is another module's class."""
    if isinstance(value, BuiltinFunctionType):
        return isinstance(value.__self__, ModuleType)
    return isinstance(value, type) and value.__module__ != home


def called(function: Any) -> str:
    """Return what a callable is called: `module:name`, an object by its class."""
    return f"{getattr(function, '__module__', '?')}:{getattr(function, '__qualname__', type(function).__name__)}"


def code_of(function: FunctionType) -> str | None:
    """Return a function's own text without comments and layout, a lambda's without what stands beside it.

    None where there is none.
    """
    code = function.__code__
    try:
        return _lambda(code) if code.co_name == "<lambda>" else plain(inspect.getsource(code))
    except (OSError, TypeError, SyntaxError):
        return None


def plain(source: str) -> str:
    """Return code without its comments and its layout."""
    return ast.unparse(ast.parse(textwrap.dedent(source)))


def _class_code(kind: type) -> str | None:
    """Return the text of a class; of one in a notebook, where Python finds no classes, that of its methods."""
    try:
        return plain(inspect.getsource(kind))
    except (OSError, TypeError, SyntaxError):
        texts = [code_of(one) for one in vars(kind).values() if inspect.isfunction(one)]
        known = [text for text in texts if text is not None]
        return "\n".join(known) if known and len(known) == len(texts) else None


def _lambda(code: CodeType) -> str:
    """Return the text of a lambda: the innermost one that begins in its line and holds all that it does."""
    lines, _ = inspect.findsource(code)
    nodes = [node for node in ast.walk(ast.parse("".join(lines))) if isinstance(node, ast.Lambda)]
    first = [node for node in nodes if node.lineno == code.co_firstlineno]
    done = [
        (line, column)
        for line, end, column, end_column in code.co_positions()
        if line is not None and column is not None and (line, column) != (end, end_column)
    ]
    own = [node for node in first if all(_begin(node.body) <= spot < _end(node.body) for spot in done)]
    return "\n".join(map(ast.unparse, [max(own, key=_begin)] if done and own else first))


def _begin(node: ast.expr) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _end(node: ast.expr) -> tuple[int, int]:
    return node.end_lineno or node.lineno, node.end_col_offset or node.col_offset


def _changes(node: ast.AST) -> Iterator[str]:
    """Yield the names of what code changes: variables from outside, attributes of `self` once it is made, and what is
    in them.
    """
    match node:
        case ast.FunctionDef(name=name) if name in _BEGINNING:
            return
        case ast.Global(names=names) | ast.Nonlocal(names=names):
            yield from names
        case ast.Call(func=ast.Attribute(attr=attr, value=value)) if attr in _CHANGING:
            yield _variable(value)
        case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del()):
            yield _variable(node)
    for child in ast.iter_child_nodes(node):
        yield from _changes(child)


def _variable(node: ast.AST) -> str:
    """Return the name of the variable, or of the attribute of `self`, that something is in."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return ast.unparse(node).removeprefix("self.").partition(".")[0]


def _names(code: CodeType) -> set[str]:
    """Return the names of global variables that code reads, functions within it too."""
    inner = [one for one in code.co_consts if isinstance(one, CodeType)]
    own = {str(one.argval) for one in dis.get_instructions(code) if one.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return own.union(*map(_names, inner))


def _computed(code: CodeType) -> set[str]:
    """Return the names that the file of this code gives values to which it does not write down."""
    try:
        lines, _ = inspect.findsource(code)
        left: list[ast.AST] = [*ast.parse("".join(lines)).body]
    except (OSError, TypeError, SyntaxError):
        return set()
    found = set()
    while left:
        node = left.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        written = isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and _is_literal(node.value)
        if not written:
            left += ast.iter_child_nodes(node)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True


def _defaults(function: FunctionType) -> dict[str, Any]:
    """Return the values that a function's arguments have by default."""
    values, code = function.__defaults__ or (), function.__code__
    names = code.co_varnames[code.co_argcount - len(values) : code.co_argcount]
    return dict(zip(names, values, strict=True)) | (function.__kwdefaults__ or {})


def _cells(function: FunctionType) -> dict[str, Any]:
    """Return the values that a closure has from around it, as far as they are there by now."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):
            found[name] = cell.cell_contents
    return found


def _attributes(one: object, classes: Sequence[type]) -> dict[str, Any]:
    """Return an object's own attributes and those that its classes have slots for, without private ones."""
    slots = [name for kind in classes for name in getattr(kind, "__slots__", ()) if hasattr(one, name)]
    found = getattr(one, "__dict__", {}) | {name: getattr(one, name) for name in slots}
    return {name: value for name, value in found.items() if not name.startswith("_")}
