"""Which shape do a network's tensors have in another library, and in which order do they stand?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch

from scalenet.exchange.families import family
from scalenet.exchange.naming import names_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from scalenet.arch.spec import Model
    from scalenet.exchange.naming import Library

_FORMS: dict[tuple[str, str], dict[str, str]] = {
    ("torchvision", "convnext"): {r".*\.(expand|project)\.weight": "linear"},
    ("timm", "convnext"): {r".*\.(expand|project)\.weight": "linear", r".*\.scale\.weight": "vector"},
    ("huggingface", "convnext"): {r".*\.(expand|project)\.weight": "linear", r".*\.scale\.weight": "vector"},
    ("timm", "mobilenet_v3"): {r"head\.hidden\.weight": "map"},
    ("timm", "vgg"): {r"head\.hidden1\.weight": "map of 7", r"head\.hidden2\.weight": "map"},
    ("timm", "vit"): {r".*\.(qkv|project|expand)\.weight": "linear", r"stem\.positions\.weight": "places"},
}
"""The form of tensors by library, family and our name, where it is not ours."""

_MAPS_OF_TIMM = ("convnext_atto",)
"""Networks of timm whose 1×1 convolutions are convolutions, where others of their family have linear layers."""

_FIRST: dict[tuple[str, str], str] = {
    ("torchvision", "regnet"): "shortcut",
    ("huggingface", "resnet"): "shortcut",
    ("huggingface", "regnet"): "shortcut",
    ("torchvision", "convnext"): "scale",
    ("timm", "convnext"): "scale",
    ("huggingface", "convnext"): "scale",
    ("timm", "vit"): "positions",
}
"""What stands before the rest of its block, or of the stem."""

_BLOCK = re.compile(r"stages\.\d+\.\d+\.")


def state_in(
    library: Library, weights: Mapping[str, Tensor], network: nn.Module, model: Model, name: str = ""
) -> dict[str, Tensor]:
    """Return weights as a library has them: its names, shapes and order, batches counted as none.

    `name` is the network's there, where it matters.
    """
    kind = family(model) or ""
    names = names_in(library, network, model)
    forms = _FORMS.get((library, kind), {})
    if name in _MAPS_OF_TIMM:
        forms = {pattern: form for pattern, form in forms.items() if form != "linear"}
    found: dict[str, Tensor] = {}
    for ours in _sorted(list(names), _FIRST.get((library, kind))):
        found[names[ours]] = _formed(weights[ours], ours, forms).contiguous().clone()
        if ours.endswith("running_var"):
            found[names[ours].replace("running_var", "num_batches_tracked")] = torch.zeros((), dtype=torch.int64)
    return found


def _sorted(names: list[str], first: str | None) -> list[str]:
    """Return names in a library's order: block by block, in each what stands first there, else our order."""
    parts: dict[str, list[str]] = {}
    for name in names:
        parts.setdefault(_part(name), []).append(name)

    def front(name: str) -> int:
        return 0 if ".front." in name else 1 if first and f".{first}." in name else 2

    return [name for part in parts.values() for name in sorted(part, key=front)]


def _part(name: str) -> str:
    found = _BLOCK.match(name)
    return found[0] if found else name.partition(".")[0]


def _formed(value: Tensor, name: str, forms: Mapping[str, str]) -> Tensor:
    form = next((form for pattern, form in forms.items() if re.fullmatch(pattern, name)), None)
    match form:
        case "linear" | "vector":
            return value.flatten(1) if form == "linear" else value.flatten()
        case "map":
            return value[:, :, None, None]
        case "map of 7":
            return value.reshape(value.shape[0], -1, 7, 7)
        case "places":
            return value.flatten(1).T[None]
    return value
