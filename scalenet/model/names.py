"""Names of tensors: those of version 0.1 as those of today.

There a block's path was called `main` only where the block had a shortcut, which depends on widths: B0's
`stages.1.0.expand.conv.weight` is `stages.1.0.main.expand.conv.weight` now, at every width.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

T = TypeVar("T")

_BLOCK = re.compile(r"\bstages\.\d+\.\d+\b")
_INSIDE = (".main.", ".shortcut.")


def names_of_today(tensors: Mapping[str, T], network: nn.Module) -> dict[str, T]:
    """Return tensors, in their order, by the names that a network of `build` gives them; others keep theirs.

    Something may stand before and behind: `optimizer/stages.1.0.expand.conv.weight/square`.
    """
    with_main = {name for name, block in network.named_modules() if _BLOCK.fullmatch(name) and hasattr(block, "main")}
    return {_name_of_today(name, with_main): tensor for name, tensor in tensors.items()}


def _name_of_today(name: str, with_main: set[str]) -> str:
    block = _BLOCK.search(name)
    if block is None or block[0] not in with_main or name[block.end() :].startswith(_INSIDE):
        return name
    return f"{name[: block.end()]}.main{name[block.end() :]}"
