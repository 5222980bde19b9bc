"""What a study found, in sentences: the first one says what to trust, and the bound that it holds by."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scalenet.arch.words import number, percentage, seconds_text, times
from scalenet.search.answer.sentences import piloted_words
from scalenet.studies.findings import changes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scalenet.studies.contrasts import Estimate
    from scalenet.studies.findings import Findings, Slope


def sentences(found: Findings) -> list[str]:
    """Return what was found, most important first; the first one is the answer."""
    said = [*_verdicts(found), *_slopes(found)]
    if not said:
        said = [
            "nothing compares yet: " + ("no network is trained" if found.scored is None else "one seed tells no noise")
        ]
    return [*_misses(found), *said, *_costs(found), *_unsound(found), *_rate(found), _level(found)]


def title(found: Findings) -> str:
    """Return what was studied, in words."""
    plan = found.plan
    on = f"by {plan.evaluate}" if plan.images is None else f"on {plan.images.name}"
    follows = f", after {plan.study.figure} of the paper" if plan.study.figure else ""
    return f"Study {plan.study.name} of {plan.base} {on}{follows}"


def _misses(found: Findings) -> Iterator[str]:
    """Yield which networks do not cost what was asked for."""
    asked = found.plan.asked
    if asked:
        named = ", ".join(
            f"{name} {times(found.facts(name).flops_ratio)} for {cost:g}×" for name, cost in asked.items()
        )
        tolerance = f"{100 * found.plan.study.tolerance:g} %"
        yield f"not all costs are equal within {tolerance}: {named}"


def _verdicts(found: Findings) -> Iterator[str]:
    """Yield which series is ahead in the mean of all costs, shortly, and with numbers at each of them."""
    costs = found.plan.study.costs
    if found.scored is None:
        return
    for cost in (None, *costs) if len(costs) > 1 else costs:
        best = found.best(cost)
        if best is None:
            continue
        if cost == (None if len(costs) > 1 else costs[0]):
            yield _headline(found, cost, best)
        yield _verdict(found, cost, best)


def _headline(found: Findings, cost: float | None, best: str) -> str:
    """Return who is ahead and by whom that is told, with the bound that it holds by."""
    pairs = found.against(cost, best)
    told = [name for name, one in pairs if one.told]
    others = [name for name, one in pairs if not one.told]
    halves = [one.half for _, one in pairs if one.half]
    if not halves or math.isnan(halves[0]):
        return f"nothing is told apart: of one seed nothing is known of the noise; {best} is ahead"
    ahead = f"{best} is ahead of {', '.join(told)}" if told else f"no method is told from {best}, which is ahead"
    open_ = f"; not told from it: {', '.join(others)}" if others and told else ""
    at = f"in the mean of {_listed(found.plan.study.costs)}" if cost is None else f"at {cost:g}×"
    return f"{ahead} {at} the FLOPs (± {100 * max(halves):.1f} points){open_}"


def _listed(costs: Sequence[float]) -> str:
    return ", ".join(f"{cost:g}×" for cost in costs)


def _verdict(found: Findings, cost: float | None, best: str) -> str:
    at = "in the mean of all costs" if cost is None else f"at {cost:g}× the FLOPs"
    told: list[str] = []
    others: list[str] = []
    for name, estimate in found.against(cost, best):
        group = told if estimate.told else others
        group.append(f"{name} ({points(estimate)})" if estimate.half else f"{name} (the same network)")
    parts = [f"{at} {best} is most accurate{'' if cost is None else _accuracy(found, cost, best)}"]
    parts += [f"told from it: {', '.join(told)}"] if told else []
    parts += [f"not told from it: {', '.join(others)}"] if others else []
    return "; ".join(parts)


def _accuracy(found: Findings, cost: float, best: str) -> str:
    assert found.scored is not None
    return f", {percentage(found.scored.mean(found.at(cost)[best]).value)}"


def points(estimate: Estimate) -> str:
    """Return a difference of accuracies in points, with its interval."""
    half = "" if math.isnan(estimate.half) else f" ± {100 * estimate.half:.1f}"
    return f"{100 * estimate.value:+.1f}{half}".replace("-", "−")


def _slopes(found: Findings) -> Iterator[str]:
    if found.slopes and not any(math.isnan(slope.estimate.half) for slope in found.slopes):
        yield "each doubling of FLOPs changes the error by " + ", ".join(map(_slope, found.slopes))
        apart = [f"{one} and {other}" for one, other, estimate in found.slope_differences if estimate.told]
        if len(found.slopes) > 1:
            yield f"slopes that are told apart: {', '.join(apart) or 'none'}"


def _slope(slope: Slope) -> str:
    value, low, high = (f"{100 * one:+.1f}".replace("-", "−") for one in changes(slope.estimate))
    return f"{value} % for {slope.series} ({low} to {high})"


def _costs(found: Findings) -> Iterator[str]:
    """Yield what the series cost beside FLOPs at the largest of the costs, relative to the baseline."""
    costs = found.plan.study.costs
    networks = found.at(max(costs)) if costs else {}
    base = found.plan.points[0].network
    if len(networks) < 2:
        return
    own = found.facts(base)
    activations = [f"{name} {times(found.facts(one).activations / own.activations)}" for name, one in networks.items()]
    yield f"activations at {max(costs):g}× the FLOPs: {', '.join(activations)}"
    if all(one in found.latencies for one in (base, *networks.values())):
        latency = [f"{name} {times(found.latencies[one] / found.latencies[base])}" for name, one in networks.items()]
        yield f"latency then (the baseline's is {seconds_text(found.latencies[base])}): {', '.join(latency)}"


def _unsound(found: Findings) -> Iterator[str]:
    for name, count in found.unsound.items():
        yield f"{name} is left out of all comparisons: {number(count, 'training')} of it diverged or failed"


def _rate(found: Findings) -> Iterator[str]:
    """Yield the learning rate of all networks, because it decides what is seen."""
    if found.rate is None:
        return
    how = "as given"
    if found.pilot is not None:
        how = f"by a pilot of a network of middle cost at {piloted_words(found.pilot)}"
    yield f"learning rate of all networks: {found.rate:g}, {how}; another rate may order them otherwise"


def _level(found: Findings) -> str:
    costs = "; the intervals of one cost hold together" if len(found.series) > 2 else ""
    return f"intervals are at 95 %, over {found.judged_by()}{costs}{_apart(found)}"


def _apart(found: Findings) -> str:
    """Return why held-out images are not in the intervals, where that could be had."""
    sound = [one for one in found.trainings if one.accuracy is not None]
    known = sum(one.right is not None for one in sound)
    if not 0 < known < len(sound):
        return ""
    return (
        f"; which images {number(len(sound) - known, 'training')} of {len(sound)} got right is in another folder: "
        "machines that share one have intervals over images too"
    )
