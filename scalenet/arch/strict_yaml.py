"""YAML read strictly and written canonically.

PyYAML reads YAML 1.1: `1e-5` is text to it, `no` is false, `1:30` is 90, and of two equal keys it takes the last in
silence. Here null, booleans, decimal integers and floats are those of the YAML 1.2 core schema and all else is text;
equal keys, anchors, aliases and tags are errors; and the same data always give the same bytes.

libyaml's parser is used where PyYAML has it: ten times faster, and linear. What follows from its events is decided
here, so that both parsers read the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from scalenet.arch.bounds import MOST_DIGITS, MOST_VALUES
from scalenet.arch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_CORE_SCHEMA = {
    "null": (r"~|null|Null|NULL|", ["", *"~nN"]),
    "bool": (r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    "int": (r"[-+]?[0-9]+", [*"-+0123456789"]),
    "float": (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", [*"-+0123456789."]),
}
_SCALARS = {kind: re.compile(pattern) for kind, (pattern, _) in _CORE_SCHEMA.items()}
_FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 100
_SHORT = 100_000
"""Characters of a text that PyYAML's own parser may read: where the two differ, and to say a mistake in its words."""

_DIFFERENT = re.compile("[\t\r\x85\u2028\u2029\ufeff?]|^%", re.MULTILINE)
"""Where libyaml takes what PyYAML refuses, or the other way round: tabs, marks within lines, `?`, directives."""


@dataclass(slots=True)
class Node:
    """Where a value stands in a document: its line, counted from 1, and those of its keys or items."""

    line: int
    children: dict[str | int, Node | int] = field(default_factory=dict)


def parse(text: str, place: str, *, fast: bool = True) -> tuple[Any, Node | None]:
    """Return the data of a YAML document and its nodes, which know the lines; `place` names it in errors.

    Without `fast` PyYAML's own parser reads it, to the same result.
    """
    short = len(text) <= _SHORT
    try:
        if fast and not (short and _DIFFERENT.search(text)):
            try:
                return _document(yaml.parse(text, Loader=_FAST))
            except yaml.YAMLError:
                if not short:
                    raise
        return _document(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{place}{line}: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{place}: not YAML: {' '.join(str(error).split())}") from None


def _document(events: Iterator[Any]) -> tuple[Any, Node | None]:
    """Return data and nodes of the events of a stream of one document, or of none."""
    next(events)
    if isinstance(next(events), yaml.StreamEndEvent):
        return None, None
    data, node = _value(next(events), _counted(events), 0, 1)
    next(events)
    after = next(events)
    if not isinstance(after, yaml.StreamEndEvent):
        raise _mistake("a second document begins, and one is read", after)
    return data, Node(node) if isinstance(node, int) else node


def _counted(events: Iterator[Any]) -> Iterator[Any]:
    for number, event in enumerate(events):
        if number == MOST_VALUES:
            raise _mistake(f"more than {MOST_VALUES:,} values", event)
        yield event


def _value(event: Any, events: Iterator[Any], depth: int, line: int) -> tuple[Any, Node | int]:
    """Return data and node of the value that begins with an event; of a scalar its line, `line` where it is empty."""
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise _mistake("anchors and aliases are not taken", event)
    if event.tag is not None:
        raise _mistake("tags are not taken", event)
    if isinstance(event, yaml.ScalarEvent):
        return _scalar(event), _line(event) if event.value else line
    if depth == _DEEPEST:
        raise _mistake(f"nested deeper than {_DEEPEST} levels", event)
    node = Node(_line(event))
    if isinstance(event, yaml.SequenceStartEvent):
        return _items(node, events, depth), node
    return _mapping(node, events, depth), node


def _items(node: Node, events: Iterator[Any], depth: int) -> list[Any]:
    items: list[Any] = []
    while not isinstance(event := next(events), yaml.SequenceEndEvent):
        item, node.children[len(items)] = _value(event, events, depth + 1, node.line)
        items.append(item)
    return items


def _mapping(node: Node, events: Iterator[Any], depth: int) -> dict[Any, Any]:
    data: dict[Any, Any] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        key, line = _value(event, events, depth + 1, node.line)
        if isinstance(line, Node):
            raise _mistake("a key must be a plain name", event)
        if event.value in node.children:
            raise _mistake(f"key {event.value!r} stands twice", event)
        data[key], node.children[event.value] = _value(next(events), events, depth + 1, line)
    return data


def _scalar(event: Any) -> Any:
    """Return what a scalar says; quoted ones are text."""
    text: str = event.value
    if not event.implicit[0]:
        return text
    if _SCALARS["null"].fullmatch(text):
        return None
    if _SCALARS["bool"].fullmatch(text):
        return text.lower() == "true"
    if _SCALARS["int"].fullmatch(text):
        if len(text.lstrip("+-")) > MOST_DIGITS:
            raise _mistake(f"a number has at most {MOST_DIGITS} digits", event)
        return int(text)
    if _SCALARS["float"].fullmatch(text):
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _mistake(problem: str, event: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


def line_of(node: Node | None, path: Sequence[str | int]) -> int | None:
    """Return the line, counted from 1, of the deepest node that `path` reaches."""
    here: Node | int | None = node
    for step in path:
        if not isinstance(here, Node) or step not in here.children:
            break
        here = here.children[step]
    return here.line if isinstance(here, Node) else here


def dump(data: Mapping[str, Any]) -> str:
    """Return `data` as YAML: keys in their order, each mapping without mappings inside on one line, no anchors."""
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True))


class _Dumper(yaml.SafeDumper):
    depth = 0

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _represent_dict(dumper: _Dumper, data: dict[str, Any]) -> yaml.Node:
    dumper.depth += 1
    node = dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=dumper.depth > 1 and _innermost(data))
    dumper.depth -= 1
    return node


def _represent_list(dumper: _Dumper, data: list[Any]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=not _holds_mapping(data))


def _innermost(data: dict[str, Any]) -> bool:
    return not any(
        isinstance(value, dict) or (isinstance(value, list) and _holds_mapping(value)) for value in data.values()
    )


def _holds_mapping(items: list[Any]) -> bool:
    return any(isinstance(item, dict) for item in items)


for _tag, (_pattern, _first) in _CORE_SCHEMA.items():  # text that would be read as a number is quoted
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first)
_Dumper.add_representer(dict, _represent_dict)
_Dumper.add_representer(list, _represent_list)
