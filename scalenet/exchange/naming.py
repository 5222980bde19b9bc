"""How are a network's tensors called in another library?

Each library has a file of rules, a family of networks after the other: names of our modules, with places held open, and
the names that theirs have. A tensor has the first rule that fits it.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from scalenet.arch import strict_yaml
from scalenet.arch.errors import ScalenetError
from scalenet.exchange.families import family

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from torch import nn

    from scalenet.arch.spec import Model

Library: TypeAlias = Literal["torchvision", "timm", "huggingface"]
LIBRARIES = get_args(Library)

TITLES = {"torchvision": "torchvision", "timm": "timm", "huggingface": "Hugging Face"}

COUNT = ".num_batches_tracked"
"""How names of tensors end that only count batches."""

_ALIKE = {"densenet", "inception"}
"""Families that timm names as torchvision does."""
_MOBILE = {"efficientnet", "mobilenet_v1", "mobilenet_v2", "mnasnet"}

_HELD_OPEN = re.compile(r"\\\{(\w+)\\\}")
_PLACE = re.compile(r"\{(?:(\d)\*)?(\w+?)(?:\+(\w+))?(?:([+-])(\d+))?(:letter)?\}")
_BLOCK = re.compile(r"stages\.(\d+)\.(\d+)\.")


def names_in(library: Library, network: nn.Module, model: Model) -> dict[str, str]:
    """Return the names that a network's tensors have in a library, by ours and in our order, without counts.

    Raise ScalenetError where the library has no network of that family.
    """
    rules = _rules_of(library, model)
    places = _Places(network, model)
    names = [name for name in network.state_dict() if not name.endswith(COUNT)]
    return {name: _name(name, rules, places) for name in names}


def could_be(library: Library, model: Model, tensors: Iterable[str]) -> bool:
    """Return whether tensors have the names that stem and classifier of a model's family have in a library."""
    rules = _rules(library, family(model)) or []
    modules = {name.rpartition(".")[0] for name in tensors}
    for end in ("stem.", "head.classifier"):
        theirs = [_loosely(name) for ours, name in rules if ours.pattern.startswith(re.escape(end))]
        if not any(pattern.fullmatch(module) for pattern in theirs for module in modules):
            return False
    return True


def _loosely(theirs: str) -> re.Pattern[str]:
    """Return what finds a name of theirs, whatever stands in its places."""
    return re.compile(re.sub(r"\\\{.*?\\\}", r"\\w+", re.escape(theirs)))


def _rules_of(library: Library, model: Model) -> list[tuple[re.Pattern[str], str]]:
    rules = _rules(library, family(model))
    if rules is None:
        kinds = ", ".join(dict.fromkeys(stage.block for stage in model.stages))
        raise ScalenetError(f"{TITLES[library]} has no network of blocks such as {kinds}")
    return rules


@cache
def _rules(library: Library, kind: str | None) -> list[tuple[re.Pattern[str], str]] | None:
    """Return pairs of what our modules are called and what theirs are; None for a family that a library lacks."""
    if library == "timm":
        library, kind = ("torchvision", kind) if kind in _ALIKE else ("timm", "mobile" if kind in _MOBILE else kind)
    rules = _file(library).get(kind or "")
    return None if rules is None else [(_pattern(ours), theirs) for ours, theirs in rules.items()]


@cache
def _file(library: Library) -> Mapping[str, Mapping[str, str]]:
    text = (resources.files("scalenet.exchange") / "names" / f"{library}.yaml").read_text(encoding="utf-8")
    data: Mapping[str, Mapping[str, str]] = strict_yaml.parse(text, f"{library}.yaml")[0]
    return data


def _pattern(ours: str) -> re.Pattern[str]:
    """Return what finds the modules of a rule: {x} is a word, and any other letter a number."""
    return re.compile(_HELD_OPEN.sub(lambda found: f"(?P<{found[1]}>{_of(found[1])})", re.escape(ours)))


def _of(letter: str) -> str:
    return r"\w+" if letter == "x" else r"\d+"


def _name(name: str, rules: list[tuple[re.Pattern[str], str]], places: _Places) -> str:
    module, _, tensor = name.rpartition(".")
    for pattern, theirs in rules:
        if (found := pattern.fullmatch(module)) is not None:
            return f"{_filled(theirs, found, name, places)}.{tensor}"
        if (found := pattern.fullmatch(name)) is not None:
            return _filled(theirs, found, name, places)
    raise ScalenetError(f"{name} has no name there", hint="the network has a layer that the library's has not")


def _filled(theirs: str, found: re.Match[str], name: str, places: _Places) -> str:
    known = {**found.groupdict(), **places.of(name)}

    def value(place: re.Match[str]) -> str:
        times, letter, more, sign, extra, as_letter = place.groups()
        base = known[letter]
        if not str(base).isdigit():
            return str(base)
        number = int(times or 1) * int(base)
        if more is not None:
            number += int(known[more]) if more in known else int(more)
        if extra is not None:
            number += int(extra) if sign == "+" else -int(extra)
        return chr(ord("a") + number) if as_letter else str(number)

    return _PLACE.sub(value, theirs)


class _Places:
    """Where each tensor of a network stands, in the numbers that other libraries' names have."""

    def __init__(self, network: nn.Module, model: Model) -> None:
        self.network, self.model = network, model
        depths = [stage.depth for stage in model.stages]
        self.before = list(accumulate(depths, initial=0))
        self.leaves = {name: number for number, name in enumerate(_leaves(network))}
        strides = [stage.stride for stage in model.stages for number in range(stage.depth) if not number]
        self.pools = list(accumulate(int(stride > 1) for stride in strides))

    def of(self, name: str) -> dict[str, Any]:
        """Return the numbers that hold for a tensor."""
        whole = {"stages": len(self.model.stages), "blocks": self.before[-1], "k": self.leaves[name.rpartition(".")[0]]}
        block = _BLOCK.match(name)
        if block is None:
            return whole
        stage, number = int(block[1]), int(block[2])
        options = self.model.stages[stage].options()
        found = whole | {"i": self.before[stage] + number, "p": self.pools[stage]}
        found["d"] = 1 if options.get("downsample") == "avgpool" else 0
        main = dict(self.network.get_submodule(block[0][:-1]).named_children()).get("main")
        return found if main is None else found | _in_block(main, name.removeprefix(f"{block[0]}main.").split(".")[0])


def _in_block(main: nn.Module, layer: str) -> dict[str, Any]:
    """Return the places of a layer in its block: among all, and among the convolutions."""
    layers = [name for name, _ in main.named_children()]
    convolutions = [name for name, child in main.named_children() if hasattr(child, "conv")]
    return {
        "j": layers.index(layer) if layer in layers else 0,
        "c": convolutions.index(layer) if layer in convolutions else 0,
        "l": "l" if "expand" in layers or "fused" in layers else "",
        "exp": "_exp" if "project" in layers else "",
    }


def _leaves(network: nn.Module) -> Iterator[str]:
    """Yield the names of the layers that have no layers within, in order."""
    for name, module in network.named_modules():
        if not list(module.children()):
            yield name
