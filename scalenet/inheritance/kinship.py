"""Is one network another one at another scale?"""

from __future__ import annotations

from operator import lt
from typing import TYPE_CHECKING, Any

from scalenet.arch.comparison import computed_differently
from scalenet.arch.errors import ScalenetError
from scalenet.arch.spec import dimensions, with_dimensions

if TYPE_CHECKING:
    from scalenet.arch.spec import Model


def check_kin(old: Model, new: Model, *, name: str, other: str) -> None:
    """Raise ScalenetError that names what differs beside widths, depths and the size of images."""
    hint = "scale the network of the weights, which config.yaml beside them describes: `scalenet scale --base FILE`"
    kinds = [
        ("stem.kind", old.stem.kind, new.stem.kind),
        ("head.kind", old.head.kind, new.head.kind),
        ("stages", len(old.stages), len(new.stages)),
        *((f"stages[{one}].block", old.stages[one].block, new.stages[one].block) for one in range(_both(old, new))),
    ]
    found: list[tuple[str, Any, Any]] = [one for one in kinds if one[1] != one[2]]
    found = found or [tuple(one) for one in computed_differently(_scaled(old, new), new)]
    if found:
        path, before, after = found[0]
        raise ScalenetError(f"{other}: no scaling of {name}: {path} is {after}, not {before}", hint=hint)


def _both(old: Model, new: Model) -> int:
    return min(len(old.stages), len(new.stages))


def _scaled(old: Model, new: Model) -> Model:
    """Return the old network with the new one's numbers, as scaling would give them to it."""
    return with_dimensions(old, dimensions(new))


def is_smaller(old: Model, new: Model) -> bool:
    """Return whether a network is narrower or shallower than another, anywhere."""
    smaller = dimensions(new).each(lt, dimensions(old))
    return any(smaller.depths) or any(smaller.widths)
