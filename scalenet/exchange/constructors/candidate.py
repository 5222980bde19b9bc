"""A call of another library, and the network that it makes in our words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scalenet.arch.comparison import computed_differently
from scalenet.arch.errors import ScalenetError
from scalenet.exchange.families import family
from scalenet.exchange.known import counterparts
from scalenet.exchange.matching import known_network
from scalenet.exchange.naming import TITLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scalenet.arch.comparison import Difference
    from scalenet.arch.spec import Model
    from scalenet.exchange.known import Counterpart
    from scalenet.exchange.naming import Library


_OTHERWISE = "`--to torch` writes any network"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network of another library: the `call` that makes it, what that needs `imported`, and what it is here.

    `config` is what a config file of the library holds, where it has them; `name` is the network's there.
    """

    call: str
    imported: tuple[str, ...]
    made: Model
    name: str = ""
    config: dict[str, Any] = field(default_factory=dict)


def expressed(model: Model, candidates: Iterable[Candidate], library: Library) -> Candidate:
    """Return the first call that makes a network that computes as ours; raise ScalenetError that says why none does."""
    nearest: tuple[int, Difference] | None = None
    for one in candidates:
        wrong = computed_differently(model, one.made)
        if not wrong:
            return one
        if nearest is None or len(wrong) < nearest[0]:
            nearest = len(wrong), wrong[0]
    title = TITLES[library]
    if nearest is None:
        kinds = ", ".join(dict.fromkeys(stage.block for stage in model.stages))
        raise ScalenetError(
            f"{title} cannot express this, because it has no network of {kinds} blocks", hint=_OTHERWISE
        )
    path, ours, theirs = nearest[1]
    raise ScalenetError(
        f"{title} cannot express this, because {path} is {_told(ours)} here and {_told(theirs)} there", hint=_OTHERWISE
    )


def _told(value: Any) -> str:
    """Return a value for a sentence, short where it is a whole stage."""
    return "left out" if value is None else "a stage more" if isinstance(value, dict | list) else str(value)


def halving(model: Model, **options: Any) -> tuple[Any, ...]:
    """Return a model's stages, each with `options`, of which all but the first halve the map."""
    return tuple(stage.changed(stride=2 if number else 1, **options) for number, stage in enumerate(model.stages))


def by_name(model: Model, library: Library) -> Iterator[tuple[Counterpart, Model]]:
    """Yield a library's networks of a model's family, and what they compute in our words."""
    kind = family(model)
    for row in counterparts():
        base = known_network(row.network).model
        if row.library == library and family(base) == kind:
            yield row, row.applied(base)
