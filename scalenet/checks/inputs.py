"""What a module is called with, as it is written in project files, lock files and commands.

`1x3x224x224` is a tensor of zeros, `1x77:int64` one of another type, `mask=1x77:bool` one that is passed by name,
`[3x8x8, 3x9x9]` a list and `{image=1x3x8x8, ids=1x77:int64}` a dictionary in one argument.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from scalenet.arch.errors import ScalenetError, nearest

if TYPE_CHECKING:
    from torch import nn

DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64")
_HINT = "write 1x3x224x224, 1x77:int64 for another type, or mask=1x77:bool to pass it by name"


@dataclass(frozen=True, slots=True)
class Input:
    """Shape and type of a tensor; `keyword` is the name that it is passed by, or its key in a dictionary."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    keyword: str = ""

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape))
        return _named(self.keyword, shape if self.dtype == "float32" else f"{shape}:{self.dtype}")


@dataclass(frozen=True, slots=True)
class Group:
    """A list of inputs in one argument, or a dictionary of those with keywords."""

    items: tuple[Argument, ...]
    is_dictionary: bool
    keyword: str = ""

    def __str__(self) -> str:
        inner = ", ".join(map(str, self.items))
        return _named(self.keyword, f"{{{inner}}}" if self.is_dictionary else f"[{inner}]")


Argument: TypeAlias = Input | Group


def _named(keyword: str, text: str) -> str:
    return f"{keyword}={text}" if keyword else text


def parse_input(text: str) -> Argument:
    """Return the input that a text describes."""
    named = re.fullmatch(r"\s*(?:([A-Za-z_][\w.-]*)=)?(.*?)\s*", text, flags=re.DOTALL)
    assert named is not None
    keyword, value = named[1] or "", named[2]
    if value[:1] + value[-1:] in ("[]", "{}"):
        items = tuple(map(parse_input, _parts(value[1:-1])))
        is_dictionary = value[0] == "{"
        if any(bool(item.keyword) != is_dictionary for item in items):
            raise ScalenetError(f"input {text!r}: a list takes no names, and a dictionary needs them", hint=_HINT)
        check_names(items, text)
        return Group(items, is_dictionary, keyword)
    return replace(_tensor(value, text), keyword=keyword)


def _tensor(value: str, text: str) -> Input:
    match = re.fullmatch(r"([1-9]\d{0,9}(?:[x×][1-9]\d{0,9})*)(?::(\w+))?", value, flags=re.ASCII)
    if match is None:
        raise ScalenetError(f"input {text!r} is not a shape", hint=_HINT)
    dtype = match[2] or "float32"
    if dtype not in DTYPES:
        raise ScalenetError(f"input {text!r}: unknown type {dtype!r}", hint=nearest(dtype, DTYPES) or ", ".join(DTYPES))
    return Input(tuple(map(int, re.split("[x×]", match[1]))), dtype)


def _parts(text: str) -> Iterator[str]:
    """Yield what commas part, but for those inside of brackets."""
    depth, part = 0, ""
    for character in text:
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0:
            yield part
            part = ""
        else:
            part += character
    if part.strip():
        yield part


def check_names(items: tuple[Argument, ...], text: str) -> None:
    """Raise ScalenetError where two inputs have the same name."""
    names = [item.keyword for item in items if item.keyword]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ScalenetError(f"input {text!r}: {twice!r} stands twice")


def written(value: Any) -> Any:
    """Return the inputs of a project file as texts, one an argument: a text, a list of them, or a table by name."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Mapping):
        return tuple(f"{name}={_one(inner)}" for name, inner in value.items())
    return tuple(map(_one, value)) if isinstance(value, list | tuple) else value


def _one(value: Any) -> Any:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}={_one(inner)}' for name, inner in value.items())}}}"
    return f"[{', '.join(str(_one(inner)) for inner in value)}]" if isinstance(value, list | tuple) else value


def zeros(module: nn.Module, inputs: Iterable[Argument]) -> Any:
    """Return tensors of zeros as `scalenet.measure` takes them; all by name as soon as one is."""
    inputs = tuple(inputs)
    named = {item.keyword: _tensors(item) for item in inputs if item.keyword}
    positional = tuple(_tensors(item) for item in inputs if not item.keyword)
    if not (named and positional):
        return named or positional
    names = [name for name in inspect.signature(module.forward).parameters if name not in named]
    return dict(zip(names, positional, strict=False)) | named


def _tensors(item: Argument) -> Any:
    import torch  # noqa: PLC0415

    if isinstance(item, Input):
        return torch.zeros(item.shape, dtype=getattr(torch, item.dtype))
    if item.is_dictionary:
        return {inner.keyword: _tensors(inner) for inner in item.items}
    return [_tensors(inner) for inner in item.items]
