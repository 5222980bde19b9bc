"""The plots of a report: shares, cost, curves and ties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from scalenet.report.figures import BAND, INK, MARKS, MUTED, Plot, coefficients, crowded, figure, handles, legend
from scalenet.report.findings import FINAL, last_jobs
from scalenet.report.labels import label
from scalenet.report.triangle import shares_plot

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    from matplotlib.axes import Axes

    from scalenet.report.findings import Findings

MOST_ROWS = 40
"""Candidates of the plot of ties; the best are shown."""

MOST_CURVES = 100
"""Candidates whose curves are drawn; more of them hide each other."""

_LABELS = 4
_ACCURACY = "accuracy, %"
_DASHES: dict[str, Any] = {"color": MUTED, "linewidth": 0.9, "linestyle": (0, (4, 3)), "zorder": 1}


def plots(findings: Findings, frame: pd.DataFrame) -> list[Plot]:
    """Return those plots of the findings and their `standings` for which there is something to draw."""
    drawn = [shares_plot(frame), cost_plot(findings, frame), curves_plot(findings, frame), ties_plot(findings, frame)]
    return [plot for plot in drawn if plot is not None]


def cost_plot(findings: Findings, frame: pd.DataFrame) -> Plot | None:
    """Draw accuracy against the FLOPs ratio that was achieved; below it those without an accuracy that compares."""
    final = frame[frame["kind"].isin(FINAL)]
    if final.empty:
        return None
    final = final.assign(half=(final["interval"] / final["factor"]).fillna(0.0))
    drawn, axes = figure(3.7)
    _points(axes, final)
    _span(axes, final, [*frame["flops_ratio"], findings.target])
    _strip(axes, frame[~frame["kind"].isin(FINAL)])
    axes.axvline(findings.target, **_DASHES)
    axes.set(xlabel="FLOPs, relative to the baseline", ylabel=_ACCURACY)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    target = Line2D([], [], label=f"target, {findings.target:g}×", **_DASHES)
    legend(drawn, [*handles(set(frame["kind"])), target])
    _label_best(axes, final, findings.target)
    return Plot("cost", "What they cost", _cost_caption(len(final) < len(frame)), _costs(findings, frame), drawn)


def curves_plot(findings: Findings, frame: pd.DataFrame) -> Plot | None:
    """Draw accuracy over epochs where it is known on the way, else over the budgets where there are several."""
    curves, across = _curves(findings)
    kinds = frame.set_index("name")["kind"]
    curves = curves[curves["name"].isin(kinds.index)].dropna(subset=[across, "accuracy"])
    learned = set(curves["name"])
    shown = [name for name in kinds.index if name in learned][:MOST_CURVES]
    curves = curves[curves["name"].isin(shown)]
    if curves.empty or (across == "budget" and curves["budget"].nunique() < 2):
        return None
    drawn, axes = figure(3.5)
    for name, rows in curves.groupby("name"):
        _curve(axes, rows, across, kinds[name], crowded(len(shown)))
    axes.set(xlabel=across, ylabel=_ACCURACY)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    marks = handles(set(kinds[curves["name"].unique()]), linestyle="-", linewidth=1.3)
    if findings.chance is not None:
        axes.axhline(100 * findings.chance, **_DASHES)
        marks.append(Line2D([], [], label="chance", **_DASHES))
    legend(drawn, marks)
    words = {"epoch": "Accuracy after each epoch.", "budget": "Accuracy by the budget of the training."}[across]
    caption = (
        f"{words} Thick lines are means over seeds, thin lines single seeds of the best and of those tied with it."
    )
    if len(shown) < len(learned):
        caption += f" The best {MOST_CURVES} of {len(learned)} are shown."
    return Plot("curves", "How they learned", caption, f"{words} {len(shown)} candidates.", drawn)


def ties_plot(findings: Findings, frame: pd.DataFrame) -> Plot | None:
    """Draw means, intervals and single seeds by rank, and how far down candidates tie with the best."""
    final = frame[frame["kind"].isin(FINAL)]
    if final.empty:
        return None
    rows = final.head(MOST_ROWS).reset_index(drop=True)
    drawn, axes = figure(1.15 + 0.2 * len(rows))
    _band(axes, findings, rows)
    _means(axes, rows)
    _seeds(axes, findings, rows)
    _coefficient_columns(axes, rows)
    _score_axis(axes, plain=bool(np.allclose(rows["factor"], 1.0)))
    seed = Line2D([], [], linestyle="", marker="|", color=INK, markersize=5, label="a seed")
    legend(drawn, [*handles(set(rows["kind"])), seed])
    ties = int((final["kind"] == "tie").sum())
    shown = f"{len(rows)} candidates by rank; {ties} tied with the best, {coefficients(rows.iloc[0])}."
    return Plot("ties", "Which cannot be told apart", _ties_caption(frame, final), shown, drawn)


def _points(axes: Axes, final: pd.DataFrame) -> None:
    for kind, rows in final.groupby("kind"):
        mark = MARKS[str(kind)]
        size = mark.size * (1 if kind == "best" else crowded(len(final)))
        axes.plot(rows["flops_ratio"], rows["accuracy"], **mark.line(markersize=size))
        low, high = rows["accuracy"] - rows["half"], rows["accuracy"] + rows["half"]
        axes.vlines(rows["flops_ratio"], low, high, color=mark.colour, linewidth=0.8, alpha=0.45, zorder=2)


def _span(axes: Axes, final: pd.DataFrame, ratios: list[float]) -> None:
    """Set limits that hold all ratios and intervals, and are never so narrow that nothing looks like much."""
    low, high = min(ratios), max(ratios)
    room = max(0.08 * (high - low), 0.025 * high)
    axes.set_xlim(low - room, high + room)
    low, high = (final["accuracy"] - final["half"]).min(), (final["accuracy"] + final["half"]).max()
    room = max(0.12 * (high - low), 0.5)
    axes.set_ylim(max(low - room, -2), min(high + room, 102))


def _strip(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw the costs of candidates without an accuracy that compares, below a line."""
    if rows.empty:
        return
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.12 * (high - low), high)
    axes.axhline(low, color=MUTED, linewidth=0.5)
    for kind, same in rows.groupby("kind"):
        down = [low - 0.06 * (high - low)] * len(same)
        axes.plot(same["flops_ratio"], down, **MARKS[str(kind)].line())
    axes.set_yticks([tick for tick in axes.get_yticks() if low < tick < high])


def _label_best(axes: Axes, final: pd.DataFrame, target: float) -> None:
    x, y, half = final["flops_ratio"], final["accuracy"], final["half"]
    low, high = axes.get_ylim()
    marks = np.vstack([np.column_stack([x, y - half, x, y + half]), [target, low, target, high]])
    best = [(row["flops_ratio"], row["accuracy"], coefficients(row)) for _, row in final.head(_LABELS).iterrows()]
    label(axes, best, marks)


def _cost_caption(dropped: bool) -> str:
    return (
        "Accuracy against the FLOPs that the networks really have. Vertical lines are the intervals at 95 % by which "
        f"candidates compare; labels are α, β, γ.{' Below the line: those that dropped out.' if dropped else ''}"
    )


def _costs(findings: Findings, frame: pd.DataFrame) -> str:
    ratios = f"{frame['flops_ratio'].min():.3g} to {frame['flops_ratio'].max():.3g} times the baseline's"
    return f"Accuracy of candidates against FLOPs of {ratios}; the target is {findings.target:g} times."


def _curves(findings: Findings) -> tuple[pd.DataFrame, str]:
    """Return the curves of each candidate's largest budget, or all jobs, and what they run over."""
    curves = findings.curves
    if curves.empty:
        return findings.jobs, "budget"
    budgets = curves["budget"].fillna(0)
    return curves[budgets == budgets.groupby(curves["name"]).transform("max")], "epoch"


def _curve(axes: Axes, rows: pd.DataFrame, across: str, kind: str, crowd: float) -> None:
    mark = MARKS[kind]
    mean = 100 * rows.groupby(across)["accuracy"].mean()
    look = mark.line(linestyle="-", markersize=0.8 * crowd * mark.size, markevery=[-1])
    if kind not in ("best", "tie"):
        axes.plot(mean.index, mean, **look, linewidth=0.8 * crowd, alpha=0.6 * crowd)
        return
    axes.plot(mean.index, mean, **look, linewidth=1.5 * crowd)
    for _, seed in rows.sort_values(across).groupby("seed"):
        axes.plot(seed[across], 100 * seed["accuracy"], color=mark.colour, linewidth=0.5, alpha=0.5, zorder=3)


def _band(axes: Axes, findings: Findings, rows: pd.DataFrame) -> None:
    """Shade how far down a candidate ties with the best."""
    best = rows["score"].iloc[0]
    tied = rows.loc[rows["kind"].isin(["best", "tie"]), "score"].min()
    low = best - 100 * findings.margin if np.isfinite(findings.margin) else tied
    axes.axvspan(low, best, color=BAND, linewidth=0, zorder=0)
    axes.set_ylim(len(rows) - 0.4, -0.6)


def _means(axes: Axes, rows: pd.DataFrame) -> None:
    for place, row in enumerate(rows.to_dict("records")):
        mark, mean, half = MARKS[row["kind"]], row["score"], np.nan_to_num(row["interval"])
        axes.hlines(place, mean - half, mean + half, color=mark.colour, linewidth=1.0, alpha=0.5, zorder=2)
        axes.plot(mean, place, **mark.line())


def _seeds(axes: Axes, findings: Findings, rows: pd.DataFrame) -> None:
    """Draw the single seeds' scores as ticks across a candidate's row."""
    places = rows.reset_index(names="place")[["name", "place", "factor"]]
    jobs = last_jobs(findings.jobs).merge(places, on="name")
    scores = 100 * jobs["accuracy"] * jobs["factor"]
    axes.plot(scores, jobs["place"], linestyle="", marker="|", markersize=5, color=INK, alpha=0.8, zorder=8)


def _score_axis(axes: Axes, *, plain: bool) -> None:
    """Set up the axis across: of accuracies, which end at 100 percent, unless FLOPs weigh in."""
    if plain:
        low, high = axes.get_xlim()
        axes.set_xlim(max(low, -2), min(high, 102))
    axes.set_xlabel(_ACCURACY if plain else "score: accuracy weighed by FLOPs, %")
    axes.grid(axis="x")
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])


def _coefficient_columns(axes: Axes, rows: pd.DataFrame) -> None:
    """Write place, α, β, γ before each row."""
    _column(axes, -101, "", (str(place + 1) for place in rows.index))
    for number, (head, name) in enumerate({"α": "alpha", "β": "beta", "γ": "gamma"}.items()):
        _column(axes, -72 + 32 * number, head, (f"{value:.3f}" for value in rows[name]))


def _column(axes: Axes, right: float, head: str, texts: Iterable[str]) -> None:
    """Write a right-aligned column that ends `right` points from the axes, and its head above."""
    look: dict[str, Any] = {"textcoords": "offset points", "ha": "right", "fontsize": "small"}
    axes.annotate(head, (0, 1), xytext=(right, 2), xycoords="axes fraction", va="bottom", color=MUTED, **look)
    for place, text in enumerate(texts):
        axes.annotate(text, (0, place), xytext=(right, 0), xycoords=("axes fraction", "data"), va="center", **look)


def _ties_caption(frame: pd.DataFrame, final: pd.DataFrame) -> str:
    sentences = [
        "Means by rank, with intervals at 95 % and single seeds. Candidates whose mean lies in the shaded band are",
        "tied with the best: so large a difference may be noise.",
    ]
    if len(final) > MOST_ROWS:
        sentences.append(f"The best {MOST_ROWS} of {len(final)} are shown.")
    if len(final) < len(frame):
        sentences.append(f"Not here: {len(frame) - len(final)} that dropped out.")
    return " ".join(sentences)
