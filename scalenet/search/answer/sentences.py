"""What is said of the bound, and of what candidates cost, a sentence a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalenet.arch.words import duration, number, percentage
from scalenet.search.answer.finding import DISAGREEING
from scalenet.search.answer.forecast import LIKELY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalenet.search.answer.coefficients import Evidence, Piloted
    from scalenet.search.rungs.pilot import Pilot

EQUAL_COST = 0.05
"""Candidates whose costs differ by no more than this fraction are compared at equal cost."""

_AGREEING = 0.5
"""The rank correlation between two seeds below which one seed's ranking is mostly noise."""


def bound_sentences(evidence: Evidence) -> Iterator[str]:
    """Say by how much any candidate may be better than the winner, and what that rests on."""
    if evidence.bound is None:
        return
    unit = unit_of(scored=evidence.score is not None)
    by = f" by more than {100 * evidence.bound:.2f} {unit}" if evidence.bound > 0 else ""
    out = evidence.failed + evidence.diverged
    never = f"the {number(evidence.unjudged, 'candidate')} never trained to the end"
    if_so = f", if short trainings tell of {never}" if evidence.unjudged else ""
    yield f"no {'other ' * bool(out)}candidate is better{by} (95 %){if_so}"
    if out:
        yield f"of the {number(out, 'candidate')} that failed or diverged this says nothing"
    if evidence.unjudged and evidence.agreement is not None and evidence.agreement < DISAGREEING:
        correlation = f"{evidence.agreement:z.2f}"
        yield f"short trainings say little of long ones here (correlation {correlation}): --halving 1 trusts none"
    if evidence.noisier:
        has = "has" if evidence.noisier == 1 else "have"
        yield f"{number(evidence.noisier, 'candidate')} {has} more noise than the others: take more --seeds to be sure"
    if evidence.collapsed:
        yield left_out(evidence.collapsed)


def left_out(trainings: int) -> str:
    """Say how many trainings broke down."""
    return f"left out, because they broke down: {number(trainings, 'training')}"


def unit_of(*, scored: bool) -> str:
    """Return the unit of a bound, in words: of scores that are no accuracies another one."""
    return "hundredths of the score" if scored else "points"


def about(bound: float, *, scored: bool = False) -> str:
    """Return a bound to two digits, with its unit."""
    digits = f"{100 * bound:.2g}"
    unit = unit_of(scored=scored)
    return f"{digits} {'point' if (digits, unit) == ('1', 'points') else unit}"


def forecast_sentence(expected: float, *, scored: bool, seconds: float | None = None) -> str:
    """Say before it is spent what a search takes, and what it will tell."""
    takes = "" if seconds is None else f"about {duration(seconds)} here; "
    return f"{takes}differences above about {about(expected, scored=scored)} will be seen (95 %)"


def blunt_sentence(held_out: int, expected: float, folds: tuple[int, int, float] | None) -> str:
    """Say that the held-out images cannot answer, and what could: so many folds of so many images, to what forecast."""
    said = (
        f"{number(held_out, 'held-out image')} will hardly tell candidates apart: differences above about "
        f"{about(expected)} will be seen, and those of equal cost seldom differ by more than {100 * LIKELY:g}"
    )
    if folds is None:
        return f"{said}; more images would tell more"
    count, images, better = folds
    return f"{said}; --folds {count} holds out {images:,} images in turn, which makes it about {100 * better:.2g}"


def unequal(spread: float) -> str | None:
    """Return that candidates of such a spread of costs are not comparable; None where they are."""
    if spread <= EQUAL_COST:
        return None
    return f"candidates' costs differ by {100 * spread:.0f} %: they are not compared at equal cost"


def cost_sentences(evidence: Evidence) -> Iterator[str]:
    """Say how much of the ranking cost alone explains, where candidates cost unequally."""
    said = None if evidence.cost_spread is None else unequal(evidence.cost_spread)
    if said is None:
        return
    known = evidence.cost_correlation is not None
    explained = f"; the ranking's rank correlation with FLOPs is {evidence.cost_correlation:z.2f}" if known else ""
    yield f"{said}{explained}; a grid with `constraint: measured` brings them to one cost"


def agreement_sentences(evidence: Evidence) -> Iterator[str]:
    """Say how seeds agree on the ranking, and of whom it is mostly noise where they do not."""
    correlation = evidence.seed_correlation
    if correlation is None:
        return
    where, whose = (" in the first rung", "the first rung's") if len(evidence.rungs) > 1 else ("", "the")
    yield f"rank correlation between seeds{where}: {correlation:z.2f}"
    if correlation >= _AGREEING:
        return
    ties = len(evidence.ties)
    more = "train longer, on more images, or with more seeds"
    if ties == evidence.candidates - 1:
        yield f"{whose} ranking is mostly noise: {more} before you use it"
    elif ties:
        yield f"{whose} order of the {ties + 1} that tie is mostly noise: {more} to tell them apart"
    else:
        yield f"a single seed ranks mostly by noise{where}: the winner is told from all others by all seeds together"


def fold_sentence(folds: int) -> str:
    """Say which images are held out where there are folds."""
    return f"{folds} folds: seed s holds out fold s mod {folds}, so that {folds} seeds hold out every image once"


def pilot_sentence(pilot: Pilot) -> str:
    """Say what the pilot is, before it is run."""
    rates = ", ".join(f"{rate:g}" for rate in pilot.rates)
    return f"a pilot first: the baseline at learning rates of {rates}{_long(pilot.budget)}"


def rate_sentence(rate: float, pilot: Piloted) -> str:
    """Say which learning rate the pilot found, and by what."""
    return f"learning rate: {rate:g}, by a pilot of the baseline at {piloted_words(pilot)}"


def piloted_words(pilot: Piloted) -> str:
    """Return which rates a pilot tried, for how long, and what became of each."""
    rates = ", ".join(f"{tried.rate:g}" for tried in pilot.rates)
    worth = ", ".join("diverged" if one.accuracy is None else percentage(one.accuracy) for one in pilot.rates)
    if pilot.by == "loss":
        worth += f", loss {', '.join('–' if one.loss is None else f'{one.loss:.3f}' for one in pilot.rates)}"
    if pilot.blind:
        worth += "; none is better than a guess, so that nothing is known of the rates: give a --learning-rate"
    return f"{rates}{_long(pilot.budget)}: {worth}"


def _long(budget: int | None) -> str:
    return "" if budget is None else f" ({number(budget, 'epoch')})"
