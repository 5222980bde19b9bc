"""Limits: what members of a space may cost, as people write it and as arrays are held against it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from scalenet.arch.errors import ScalenetError
from scalenet.arch.quantities import parse_bytes, parse_count, parse_seconds
from scalenet.arch.records import Record
from scalenet.arch.words import count, seconds_text
from scalenet.spaces.costs import LATENCY, NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

TOLERANCE = 0.02
"""How far FLOPs may be off a single number, as a fraction of it."""

_UNITS = {"flops": "flops", "params": "params", "memory": "bytes", LATENCY: "of latency"}
_HINTS = {"memory": "write 64MiB, or 16MiB..64MiB", LATENCY: "write 12ms, 10ms..12ms, or 12ms±5%"}
_SHARE = r"(.+?)(?:±|\+/?-)([0-9]+(?:\.[0-9]+)?)%"


class Range(Record):
    """A cost from `low` to `high`, both included; `target` is what was asked for, where it was one number."""

    low: Annotated[int, Field(ge=0)]
    high: Annotated[int, Field(ge=1)]
    target: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if self.low > self.high:
            raise ValueError(f"{self.low:,} to {self.high:,} is no range")
        return self

    def ends(self, name: str) -> list[int | float]:
        """Return both ends of a range of what is counted, a latency's in seconds."""
        return [self.low / 1e9, self.high / 1e9] if name == LATENCY else [self.low, self.high]

    def text(self, name: str) -> str:
        """Return the range for reading, of what is counted."""
        if self.low == 0:
            return f"at most {amount_text(name, self.high)}"
        low, high = number_text(name, self.low), number_text(name, self.high)
        return f"{low} to {high} {_UNITS[name]}" if low != high else f"{self.low:,} to {self.high:,} {_UNITS[name]}"


class Limits(Record):
    """What members may cost: FLOPs, and where they are limited parameters, bytes of inference at batch 1, and the
    nanoseconds of a table of latencies.
    """

    flops: Range
    params: Range | None = None
    memory: Range | None = None
    latency: Range | None = None

    @property
    def target(self) -> int:
        """The FLOPs that are aimed at: T in the paper's reward."""
        return self.flops.target

    def violations(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how far members are outside what is counted, as a fraction of the limit: 0 for those that meet it."""
        worst = np.zeros(counts.shape[1])
        for name, wanted in self.counted():
            own = counts[NAMES.index(name)]
            below, above = (wanted.low - own) / max(1, wanted.low), (own - wanted.high) / wanted.high
            worst = np.maximum(worst, np.maximum(below, above))
        return worst

    def counted(self) -> Iterator[tuple[str, Range]]:
        """Yield the limits of what tables count, by name."""
        yield "flops", self.flops
        if self.params is not None:
            yield "params", self.params
        if self.latency is not None:
            yield LATENCY, self.latency

    def __str__(self) -> str:
        given = [(name, wanted) for name, wanted in self if wanted is not None]
        return " and ".join(wanted.text(name) for name, wanted in given)


def amount_text(name: str, value: int) -> str:
    """Return for reading how much of what is counted."""
    return f"{number_text(name, value)} {_UNITS[name]}"


def number_text(name: str, value: int) -> str:
    """Return the number alone."""
    return seconds_text(value / 1e9) if name == LATENCY else count(value)


def read_limits(*, flops: Any, params: Any = None, memory: Any = None, latency: Any = None) -> Limits:
    """Return limits as people write them: `400M±2%`, `300M..400M`, or one number.

    One number of FLOPs is meant within 2 %, of parameters, bytes (`64MiB`) or latency (`12ms`) at most.
    """
    others = {"params": params, "memory": memory, "latency": latency}
    return Limits(
        flops=_range(flops, "flops"),
        **{name: _range(value, name) for name, value in others.items() if value is not None},
    )


def _range(value: Any, name: str) -> Range:
    if isinstance(value, Range):
        return value
    text = str(value).replace(" ", "").replace("_", "")
    low, dots, high = text.partition("..")
    try:
        if dots:
            lowest, highest = _amount(low, name), _amount(high, name)
            return Range(low=lowest, high=highest, target=max(1, (lowest + highest) // 2))
        matched = re.fullmatch(_SHARE, text)
        target = _amount(text if matched is None else matched[1], name)
    except ScalenetError as error:
        hint = _HINTS.get(name, "write 400M±2%, 300M..400M, or 400M")
        raise ScalenetError(f"--{name} {value}: {error.message}", hint=hint) from None
    if matched is None and name != "flops":
        return Range(low=0, high=target, target=target)
    share = TOLERANCE if matched is None else float(matched[2]) / 100
    if share >= 1:
        raise ScalenetError(f"--{name} {value}: a tolerance is less than 100 %")
    return Range(low=int(np.ceil(target * (1 - share))), high=int(target * (1 + share)), target=target)


def _amount(text: str, name: str) -> int:
    if name != LATENCY:
        return parse_bytes(text) if name == "memory" else parse_count(text)
    seconds = parse_seconds(text)
    if len(seconds) > 1:
        raise ScalenetError("one time is wanted")
    return max(1, round(1e9 * seconds[0]))
