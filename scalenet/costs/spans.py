"""How the level of memory moves while something runs, forward and backward; numbers may be arrays."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scalenet.arch.layers import Count, Mask


@dataclass(frozen=True, slots=True)
class Span:
    """How the level moves while something runs: to `net` at its end, to `peak` at most, both from where it starts."""

    net: Count
    peak: Count

    def repeated(self, times: Count) -> Span:
        highest = self.peak + larger(0, (times - 1) * self.net)
        return Span(times * self.net, (times > 0) * highest)


def moving(makes: Count, frees: Count = 0) -> Span:
    """Return what allocates first and releases afterwards."""
    return Span(makes - frees, makes)


NOTHING = moving(0)
"""What makes nothing, and lets nothing go."""


def together(spans: Iterable[Span]) -> Span:
    """Return spans one after another."""
    net = peak = cast("Count", 0)
    for span in spans:
        peak = larger(peak, net + span.peak)
        net = net + span.net
    return Span(net, peak)


@dataclass(frozen=True, slots=True)
class Passed:
    """A layer's forward and backward passes, and what autograd keeps beyond what they count.

    Forward starts with the input allocated and ends with the output as well (unless it is the input, an `alias`);
    whoever called releases the input. Backward starts with the output's gradient and ends with the input's instead;
    an output that the layer itself keeps is released within, an input that it keeps by whoever called.
    """

    forward: tuple[Span, ...] = ()
    backward: tuple[Span, ...] = ()
    keeps_input: Mask = False
    keeps_output: Mask = False
    alias: Mask = False


UNMADE = Passed(keeps_output=True, alias=True)
"""The identity as a path: what leaves it was there before."""


def any_of(masks: Iterable[Mask]) -> Mask:
    found: Mask = False
    for mask in masks:
        found = found | mask
    return found


def releases(size: Count, kept: Mask, used: Mask) -> tuple[Span, Span]:
    """Return when a map goes that its maker may keep and its user too: after the user's forward or backward pass."""
    both = 1 * (kept | used)
    return moving(0, size * (1 - both)), moving(0, size * (both - 1 * kept))


def chosen_where(mask: Mask, one: Passed, other: Passed) -> Passed:
    """Return `one` where the mask is true, `other` elsewhere, step by step."""
    forward, backward = (
        tuple(
            Span(either(mask, first.net, second.net), either(mask, first.peak, second.peak))
            for first, second in zip_longest(ones, others, fillvalue=NOTHING)
        )
        for ones, others in ((one.forward, other.forward), (one.backward, other.backward))
    )
    return Passed(
        forward,
        backward,
        either(mask, one.keeps_input, other.keeps_input),
        either(mask, one.keeps_output, other.keeps_output),
        either(mask, one.alias, other.alias),
    )


def either(mask: Mask, one: Any, other: Any) -> Any:
    """Return one value where the mask is true, the other elsewhere."""
    return one if one is other else np.where(mask, one, other)


def larger(one: Count, other: Count) -> Count:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return cast("Count", np.maximum(one, other))
    return max(one, other)
