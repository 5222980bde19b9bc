"""The report of a search for a baseline: its answer, accuracy against trainings beside chance, and the members."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from scalenet.arch.files import write_bytes, write_text
from scalenet.arch.words import count, percentage, seconds_text
from scalenet.report.figures import INK, MARKS, MUTED, Plot, figure, legend, style, svg
from scalenet.report.page import card, page
from scalenet.search.baseline.status import shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scalenet.search.baseline.outcome import BaselineOutcome

_KINDS = {"random": "other", "evolution": "tie", "predictor": "best"}


def write_baseline_report(outcome: BaselineOutcome, folder: Path) -> Path:
    """Write `report.html` and `plots/trainings.svg` into a folder; return the page."""
    with style():
        known = outcome.standing.noise
        plot = trainings_plot(outcome.rows(), outcome.hunt.first, noise=0.0 if known is None else known[0])
        drawn = svg(plot.figure)
    write_bytes(folder / "plots" / "trainings.svg", drawn, within=folder)
    title = f"Baseline of {outcome.hunt.space.name}, {outcome.hunt.limits}"
    text = page(title, outcome.sentences(), [card(plot, drawn)], {"Members": _members(outcome)}, _facts(outcome))
    write_text(folder / "report.html", text)
    return folder / "report.html"


def trainings_plot(rows: Sequence[dict[str, Any]], first: int, *, noise: float) -> Plot:
    """Draw each member's short training in order, the best so far, and what chance alone is expected to reach.

    `noise` is the variance of one training; the first members have the mean of two.
    """
    drawn, axes = figure(3.4)
    known = [row for row in rows if row["short"] is not None]
    kinds = _KINDS | {row["by"]: "best" for row in known if row["by"] not in _KINDS}  # a sampler's
    for by, kind in kinds.items():
        own = [row for row in known if row["by"] == by]
        axes.plot(
            [row["training"] for row in own], [100 * row["short"] for row in own], **MARKS[kind].line(markersize=4.5)
        )
    places, scores = np.array([row["training"] for row in known]), np.array([100 * row["short"] for row in known])
    axes.plot(places, np.maximum.accumulate(scores), color=INK, linewidth=1, drawstyle="steps-post")
    control = np.array([100 * row["short"] for row in known if row["training"] <= first])
    axes.plot(
        places, expected_best(control, places, more=100**2 * noise / 2), color=MUTED, linewidth=1, linestyle=(0, (4, 3))
    )
    axes.set(xlabel="members trained", ylabel="accuracy after a short training, %")
    marks = [Line2D([], [], label=by, **MARKS[kind].line()) for by, kind in kinds.items()]
    lines = [
        Line2D([], [], label="best so far", color=INK, linewidth=1),
        Line2D([], [], label="chance", color=MUTED, linewidth=1, linestyle=(0, (4, 3))),
    ]
    legend(drawn, [*(mark for mark in marks if any(row["by"] == mark.get_label() for row in known)), *lines])
    caption = (
        "A mark is a member's short training, of the first, random ones the mean of two. The dashed line is what the "
        "best of so many random members is expected to score, going by the first ones: noise counts as in the marks."
    )
    shown = f"{len(known)} members, the best {scores.max():.1f} %" if known else "no members"
    return Plot("trainings", "Accuracy against trainings", caption, shown, drawn)


def expected_best(
    control: np.ndarray[Any, Any], places: np.ndarray[Any, Any], *, more: float = 0.0
) -> np.ndarray[Any, Any]:
    """Return the expected best of so many random members, of which `control` are some: a normal distribution's.

    `more` is the variance that others have and the control has not.
    """
    from scipy import special  # noqa: PLC0415 - slow to import

    if len(control) < 2:
        return np.full(len(places), control.max() if len(control) else np.nan)
    # Blom's approximation of the largest of n normal deviates
    found: np.ndarray[Any, Any] = control.mean() + np.sqrt(control.var(ddof=1) + more) * special.ndtri(
        np.maximum(0.5, (places - 0.375) / (places + 0.25))
    )
    return found


def _members(outcome: BaselineOutcome) -> str:
    """Return the table of members, the best first."""
    rows = [shown(row) for row in outcome.ranked()]
    head = "".join(f"<th>{escape(name)}</th>" for name in (rows[0] if rows else ()))
    body = []
    for row in rows:
        cells = "".join(f"<td>{escape(_text(name, value))}</td>" for name, value in row.items())
        body.append(f"<tr>{cells}</tr>\n")
    return f'<table class="numbers">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{"".join(body)}</tbody>\n</table>\n'


def _text(name: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    if name in ("flops", "params"):
        return count(value)
    if name == "latency":
        return seconds_text(value)
    if name in ("short", "accuracy", "reward"):
        return percentage(value)
    return f"{100 * value:.2f}" if name == "over" else str(value)


def _facts(outcome: BaselineOutcome) -> dict[str, str]:
    plan, hunt = outcome.plan, outcome.hunt
    facts = {
        "space": f"{hunt.space.name}, {hunt.space.size:,} members",
        "limits": str(hunt.limits),
        "method": f"{hunt.method}, ranked by {hunt.objective}",
        "trainings": f"{hunt.race.short} epochs short, {hunt.race.budget} to the end",
        "judged by": plan.evaluate if plan.images is None else f"training on {plan.images.name}",
        "images": "" if plan.images is None else f"{plan.images.train:,} to train, {plan.images.validation:,} held out",
        "versions": ", ".join(f"{name} {version}" for name, version in plan.versions.items()),
    }
    return {name: text for name, text in facts.items() if text}
