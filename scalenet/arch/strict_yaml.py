"""YAML read strictly and written canonically.

PyYAML reads YAML 1.1: `1e-5` is text to it, `no` is false, `1:30` is 90, and of two equal keys it takes the last in
silence. Here null, booleans, decimal integers and floats are those of the YAML 1.2 core schema and all else is text;
equal keys, anchors, aliases and tags are errors; and the same data always give the same bytes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from scalenet.arch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CORE_SCHEMA = {
    "null": (r"~|null|Null|NULL|", ["", *"~nN"]),
    "bool": (r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    "int": (r"[-+]?[0-9]+", [*"-+0123456789"]),
    "float": (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", [*"-+0123456789."]),
}


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}  # type: ignore[misc]

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(problem="anchors and aliases are not taken", problem_mark=event.start_mark)
        if getattr(event, "tag", None) is not None:
            raise yaml.MarkedYAMLError(problem="tags are not taken", problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be a plain name", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key.value!r} stands twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


def _construct_float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(str(loader.construct_scalar(node)).replace(".inf", "inf").replace(".nan", "nan"))


for _tag, (_pattern, _first) in _CORE_SCHEMA.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)


def parse(text: str, place: str) -> tuple[Any, yaml.Node | None]:
    """Return the data of a YAML document and its node tree, which knows the lines; `place` names it in errors."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return (None if node is None else loader.construct_document(node)), node
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{place}{line}: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{place}: not YAML: {' '.join(str(error).split())}") from None


def line_of(node: yaml.Node | None, path: Sequence[str | int]) -> int | None:
    """Return the line, counted from 1, of the deepest node that `path` reaches."""
    for step in path:
        children = _children(node)
        if step not in children:
            break
        node = children[step]
    return None if node is None else node.start_mark.line + 1


def _children(node: yaml.Node | None) -> Mapping[str | int, yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return {key.value: value for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return dict(enumerate(node.value))
    return {}


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
