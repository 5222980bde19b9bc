"""The files of a study: tables as CSV and LaTeX, figures, and the page that holds all of them."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING, Any

from scalenet.arch.convention import CONVENTION
from scalenet.arch.files import write_bytes, write_text
from scalenet.arch.words import count, number
from scalenet.report.columns import Line, Panel, draw, style
from scalenet.report.figures import Plot, svg, written
from scalenet.report.page import card, numbers_table, page
from scalenet.search.folder import MODELS
from scalenet.studies.findings import BASE, changes
from scalenet.studies.folder import FORMS
from scalenet.studies.latex import table as latex_table
from scalenet.studies.sentences import points, sentences, title

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from scalenet.studies.findings import Findings
    from scalenet.studies.plan import Placed

SEEDS = "seeds"
"""The column of how many seeds there are."""

Cells = tuple[list[str], list[list[str]]]
"""The heads of a table and its rows, as texts."""


def write_all(found: Findings, folder: Path) -> Path:
    """Write all files of a study into its folder; return the page. The same findings give the same bytes."""
    from scalenet.studies.study import job_rows  # noqa: PLC0415 - the one that calls this

    write_text(folder / "jobs.csv", _csv(job_rows(found)))
    write_text(folder / "results.csv", _csv(found.rows()))
    write_text(folder / "slopes.csv", _csv(found.slope_rows()))
    write_text(folder / "comparisons.csv", _csv(found.comparison_rows()))
    results, slopes, pairs = results_cells(found), slopes_cells(found), comparison_cells(found)
    write_text(folder / "results.tex", latex_table(_caption(found), *_without_same(SEEDS, *results), words=1))
    write_text(folder / "slopes.tex", latex_table("Change of the error with each doubling of FLOPs.", *slopes, words=1))
    write_text(folder / "comparisons.tex", latex_table("Differences of accuracy, points.", *pairs, words=3))
    cards = list(_cards(found, folder))
    marks = _marks(found)
    tables = {"Networks": numbers_table(*results, words=1, kinds=marks)}
    if slopes[1]:
        tables["Slopes"] = numbers_table(*slopes, words=1, kinds=[""] * len(slopes[1]))
    if pairs[1]:
        tables["Comparisons"] = numbers_table(*pairs, words=3, kinds=_told(found))
    report = folder / "report.html"
    write_text(report, page(title(found), sentences(found), cards, tables, _facts(found)))
    return report


def results_cells(found: Findings) -> Cells:
    """Return the table of networks: accuracy first, what they cost, and what they are of the baseline."""
    rows = found.rows()
    timed = any(row["latency"] is not None for row in rows)
    heads = ["series", "accuracy, %", "±", "FLOPs ×", "params", "activations"]
    heads += [*(["latency, ms"] if timed else []), SEEDS, "depth ×", "width ×", "pixels"]
    body = []
    for row in rows:
        flops = f"{row['flops_ratio']:.3f}" + ("" if row["met"] else f" (for {row['cost']:g})")
        latency = ["" if row["latency"] is None else f"{1000 * row['latency']:.2f}"] if timed else []
        scores = [_percent(row["accuracy"]), _percent(row["interval"])]
        counts = [count(row["params"]), count(row["activations"])]
        sizes = ["" if row[axis] is None else f"{row[axis]:.3g}" for axis in ("depth", "width")]
        body.append([row["series"], *scores, flops, *counts, *latency, str(row["seeds"]), *sizes, row["size"]])
    return heads, body


def _without_same(name: str, heads: list[str], body: list[list[str]]) -> Cells:
    """Return a table without a column in which all rows have the same, which the caption tells."""
    place = heads.index(name)
    if len({row[place] for row in body}) > 1:
        return heads, body
    return heads[:place] + heads[place + 1 :], [row[:place] + row[place + 1 :] for row in body]


def slopes_cells(found: Findings) -> Cells:
    """Return the table of slopes."""
    body = []
    for slope in found.slopes:
        value, low, high = (_signed(100 * change) for change in changes(slope.estimate))
        body.append([slope.series, value, f"{low} to {high}", str(slope.points)])
    return ["series", "error by doubling, %", "interval", "networks"], body


def comparison_cells(found: Findings) -> Cells:
    """Return the table of comparisons."""
    body = []
    for one in found.comparisons:
        cost = "all" if one.cost is None else f"{one.cost:g}×"
        body.append([cost, one.first, one.second, points(one.estimate), "yes" if one.estimate.told else "no"])
    return ["FLOPs", "series", "against", "points", "told apart"], body


def _cards(found: Findings, folder: Path) -> Iterator[str]:
    """Write the figures, and yield them for the page."""
    scored = found.scored
    with style():
        for name, heading, caption, panels in _figures(found):
            if scored is None or not any(panel.lines for panel in panels):
                continue
            drawn = draw(panels)
            for form in FORMS:
                write_bytes(folder / "figures" / f"{name}.{form}", written(drawn, form), within=folder)
            yield card(Plot(name, heading, caption, caption, drawn), svg(drawn))


def _figures(found: Findings) -> Iterator[tuple[str, str, str, list[Panel]]]:
    level = (
        f"Vertical lines are intervals at 95 % of each accuracy, over {found.judged_by()}. "
        "Differences are known better, because seeds and images are the same: see the comparisons."
    )
    if found.plan.images is not None:
        level += f" Chance is {100 * found.plan.images.chance:.1f} %."
    flops = _panel(found, "FLOPs, relative to the baseline", lambda point: found.facts(point.network).flops_ratio)
    yield "accuracy", "Accuracy against FLOPs", level, [flops]
    panels = [
        _panel(found, "parameters, millions", lambda point: found.facts(point.network).params / 1e6),
        _panel(found, "activations, millions", lambda point: found.facts(point.network).activations / 1e6),
    ]
    if all(name in found.latencies for name in found.plan.networks):
        panels.append(_panel(found, "latency, ms", lambda point: 1000 * found.latencies[point.network]))
        panels.insert(0, _panel(found, "FLOPs, millions", lambda point: found.facts(point.network).flops / 1e6))
    yield "costs", "Accuracy against other costs", level, panels


def _panel(found: Findings, across: str, cost: Callable[[Placed], float]) -> Panel:
    lines = []
    assert found.scored is not None or not any(found.series.values())
    for name, placed in found.series.items():
        ordered = sorted(placed, key=cost)
        if not ordered or found.scored is None:
            continue
        means = [found.scored.mean(point.network) for point in ordered]
        halves = [0.0 if math.isnan(mean.half) else 100 * mean.half for mean in means]
        lines.append(Line(name, [cost(point) for point in ordered], [100 * mean.value for mean in means], halves))
    return Panel(across, lines)


def _marks(found: Findings) -> list[str]:
    """Return which points are the best at their cost, and which are not told from it, as kinds of rows."""
    kinds: dict[tuple[str, float | None], str] = {}
    for cost in found.plan.study.costs:
        best = found.best(cost)
        if best is not None:
            kinds[best, cost] = "best"
            kinds |= {(name, cost): "tie" for name, one in found.against(cost, best) if not one.told}
    return [kinds.get((point.series, point.asked), "") for point in found.plan.points]


def _told(found: Findings) -> list[str]:
    return ["best" if one.estimate.told else "" for one in found.comparisons]


def _caption(found: Findings) -> str:
    series = f"series {BASE} is {found.plan.base}"
    return f"{title(found)}: held-out top-1 over {found.judged_by()}; {series}. FLOPs are {CONVENTION}."


def _facts(found: Findings) -> dict[str, str]:
    plan = found.plan
    own = {
        "study": plan.study.name,
        "baseline": f"{plan.base}, {'×'.join(map(str, plan.network.size))} px",
        "costs": f"equal within {100 * plan.study.tolerance:g} %" if not plan.asked else "not all equal, see above",
        "trainings": f"{number(len(found.trainings), 'training')}, {number(found.seeds, 'seed')}",
    }
    if plan.images is not None:
        images = plan.images
        own["images"] = (
            f"{images.name}: {images.train} to train on, {images.validation} held out, {images.classes} classes"
        )
        own["chance"] = _percent(images.chance) + " %"
    if plan.recipe is not None:
        own["recipe"] = f"{plan.recipe.name}, {number(plan.recipe.epochs, 'epoch')}, on {plan.device}"
    if found.rate is not None:
        own["learning rate"] = f"{found.rate:g}"
    if found.models:
        own["trained networks"] = f"in {MODELS}/: {', '.join(found.models)}"
    if plan.coefficients is not None:
        own["found coefficients"] = ", ".join(f"{name} {value:g}" for name, value in plan.coefficients.items())
    return own | {f"version of {name}": version for name, version in plan.versions.items()}


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"


def _signed(value: float) -> str:
    return "" if math.isnan(value) else f"{value:+.1f}".replace("-", "−")
