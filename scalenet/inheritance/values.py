"""The tensors of a network, taken from those of another scale.

What copies of a channel say is added up by whoever hears them. So their weights are the old one in parts, uneven ones:
copies with equal weights get equal gradients, and stay one channel for ever. Parts are cut where 24 bits of the weight
end, so that they add up to it exactly.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch.nn import functional

from scalenet.arch.layers import Conv, Linear, Norm, Position
from scalenet.arch.shapes import MisfitError
from scalenet.inheritance.identity import DELTA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from scalenet.inheritance.channels import Sources, Units
    from scalenet.inheritance.identity import Values
    from scalenet.inheritance.walk import Site, Walked

_BITS = 24
"""Of a float32's significand."""


def inherited(
    walked: Walked, sources: Sources, weights: Mapping[str, Tensor], fresh: Mapping[str, Tensor], *, seed: int
) -> dict[str, Tensor]:
    """Return the tensors of the new network: `weights` are the old one's, `fresh` those that it would begin with.

    Shares of copies are drawn by `seed`. Raise MisfitError where one is left over.
    """
    draws = np.random.default_rng(seed)
    found: dict[str, Tensor] = {}
    for site in walked.sites:
        own = _own(site.names.old, weights)
        known = _own(site.names.new, fresh)
        made = _tensors(site, sources, own, known, draws)
        found |= {f"{site.names.new}.{name}": value.to(known[name].dtype) for name, value in made.items()}
    found |= {name: value for name, value in fresh.items() if name.startswith(tuple(walked.added))}
    found |= _begun(walked.beginnings, fresh)
    left_over = [name for name in fresh if name not in found]
    if left_over:
        raise MisfitError(f"{left_over[0]}: nothing says what it comes from")
    return {name: found[name] for name in fresh}


def check_even(walked: Walked, sources: Sources) -> None:
    """Raise MisfitError where a normalisation over channels would see some of them more often than others."""
    for site in walked.sites:
        if not isinstance(site.new, Norm) or site.new.kind == "batchnorm":
            continue
        for part in site.parts(site.entering):
            counts = Counter(sources.of(part.old, part.new))
            if -1 in counts or len({*counts.values()}) > 1:
                raise MisfitError(
                    f"{site.names.new}: {site.new.kind} over {len(part.old)} channels, of which {len(part.new)} cannot "
                    "be equally many copies each: its means would be others; widths must be multiples"
                )


def _tensors(
    site: Site, sources: Sources, own: dict[str, Tensor], fresh: dict[str, Tensor], draws: np.random.Generator
) -> dict[str, Tensor]:
    if isinstance(site.new, Conv | Linear):
        rows = [sources.of(part.old, part.new) for part in site.parts(site.leaving)]
        width = len(site.leaving.old) // len(rows)
        index = torch.tensor([number * width + row for number, part in enumerate(rows) for row in part])
        found = {name: value[index] for name, value in own.items()}
        if site.groups:
            found["weight"] = _heard(site, sources, found["weight"], draws)
        return found
    return {name: _by_channel(site, sources, value, fresh[name]) for name, value in own.items()}


def _by_channel(site: Site, sources: Sources, value: Tensor, fresh: Tensor) -> Tensor:
    """Return numbers of channels, those of channels without a source as they would begin."""
    if not value.dim():  # how many batches were seen
        return value
    index = torch.tensor(sources.of(site.entering.old, site.entering.new))
    found = _placed(site, value)[index.clamp_min(0)]
    found[index < 0] = fresh[index < 0]
    return found


def _heard(site: Site, sources: Sources, weight: Tensor, draws: np.random.Generator) -> Tensor:
    """Return weights [leaving, entering of a group, …] whose columns are parts of the old ones."""
    parts = site.parts(site.entering)
    places = 1 if site.entering.places is None or isinstance(site.new, Conv) else site.entering.places
    found = []
    for part, rows in zip(parts, weight.chunk(len(parts)), strict=True):
        by_channel = rows.reshape(len(rows), len(part.old), places, -1).double()
        found.append(_parts(by_channel, sources.of(part.old, part.new), draws))
    return torch.cat(found).reshape(len(weight), -1, *weight.shape[2:])


def _parts(weight: Tensor, columns: list[int], draws: np.random.Generator) -> Tensor:
    """Return columns of weights [rows, channels, …], in uneven parts where one is taken several times; -1 is zero."""
    index = torch.tensor(columns)
    taken = weight[:, index.clamp_min(0)]
    taken[:, index < 0] = 0
    shape = (1, -1) + (1,) * (taken.dim() - 2)
    begins, ends = (torch.from_numpy(one).reshape(shape) for one in _shares(columns, draws))
    step = torch.ldexp(torch.ones_like(taken), torch.frexp(taken).exponent - _BITS)
    return ((taken * ends / step).round() - (taken * begins / step).round()) * step


def _shares(columns: list[int], draws: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where the part of each copy begins and ends, from 0 to 1; the last one of each channel ends at 1."""
    sizes = draws.uniform(0.5, 1.5, len(columns))
    reached: dict[int, float] = {}
    begins, ends = np.zeros(len(columns)), np.zeros(len(columns))
    for place, column in enumerate(columns):
        begins[place] = reached.get(column, 0.0)
        ends[place] = reached[column] = begins[place] + sizes[place]
    totals = np.array([reached[column] for column in columns])
    return begins / totals, ends / totals


def _placed(site: Site, value: Tensor) -> Tensor:
    """Return a tensor as it is, or numbers of places [channels, height, width] resampled to another map."""
    if not isinstance(site.new, Position):
        return value
    size = cast("int", site.new.height), cast("int", site.new.width)
    if value.shape[1:] == size:
        return value
    return functional.interpolate(value[None], size, mode="bicubic", antialias=True)[0]


def _begun(values: Values, fresh: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: _delta(fresh[name]) if value == DELTA else torch.full_like(fresh[name], value)
        for name, value in values.items()
    }


def _delta(weight: Tensor) -> Tensor:
    """Return weights [channels, channels of a group, height, width] that hand each channel on."""
    found = torch.zeros_like(weight)
    tall, wide = ((side - 1) // 2 for side in weight.shape[2:])
    channels = torch.arange(len(weight))
    found[channels, channels % weight.shape[1], tall, wide] = 1
    return found


def worth(walked: Walked, units: Units, weights: Mapping[str, Tensor]) -> dict[int, float]:
    """Return what each unit of the old network counts for: the |γ| of its normalisations, in all.

    Units without any, as the hidden ones of a gate, count for the length of the weights that make them.
    """
    found: dict[int, float] = {}
    made: dict[int, float] = {}
    for site in walked.sites:
        name = f"{site.names.old}.weight"
        if isinstance(site.new, Norm):
            _add(found, units, site.entering.old, weights[name].abs())
        elif isinstance(site.new, Conv | Linear):
            _add(made, units, site.leaving.old, weights[name].flatten(1).norm(dim=1))
    return made | found


def _add(found: dict[int, float], units: Units, row: list[int], values: Tensor) -> None:
    for channel, value in zip(row, values.tolist(), strict=True):
        unit = units.seats[channel].unit
        found[unit] = found.get(unit, 0.0) + value


def _own(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{name}."
    return {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
