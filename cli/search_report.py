"""What a search shows: a live table or a line an event, and at the end the ranking and what it is worth."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from scalenet.arch.convention import CONVENTION
from scalenet.arch.plain import plain
from scalenet.arch.words import count, percentage, seconds_text, times

from .output import emit, emit_json, note, progress, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pandas as pd
    from rich.console import RenderableType

    from scalenet.search.baseline.hunting import BaselineSearch
    from scalenet.search.baseline.status import BaselineStatus
    from scalenet.search.search import Search
    from scalenet.search.status import Status

GREEK = ("alpha", "beta", "gamma")
FORMATS: dict[str, Callable[[Any], str]] = {
    "flops": count,
    "params": count,
    "latency": seconds_text,
    "flops_ratio": times,
    "nominal": times,
    "accuracy": percentage,
    "best": percentage,
    "score": lambda value: f"{value:.4f}",
    "interval": lambda value: f"±{100 * value:.2f}",
    "over": lambda value: f"{100 * value:.2f}",
    "short": percentage,
    "reward": lambda value: f"{value:.4f}",
    "tied": lambda value: "yes" if value else "",
    "done": lambda value: f"{100 * value:.0f} %",
}
_ROWS = 12


@contextmanager
def watch() -> Iterator[Mapping[str, Any]]:
    """Yield what hears of a search as it goes: a table on a terminal, and a line for each thing that happens."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True, highlight=False, markup=False)
    with bars() as bar:
        if not console.is_terminal:
            yield {"say": note, "bar": bar}
            return
        with Live(console=console, transient=True, auto_refresh=False) as live:
            yield {
                "say": lambda line: console.print(plain(line)),
                "bar": bar,
                "progress": lambda status: live.update(_live(status), refresh=True),
            }


@contextmanager
def bars() -> Iterator[Callable[[str, int, int | None], None]]:
    """Yield what shows how far something is that takes a while; in between nothing is drawn: it may be timed."""
    with progress(auto_refresh=False) as shown:
        tasks: dict[str, Any] = {}

        def bar(what: str, done: int, total: int | None) -> None:
            task = tasks.setdefault(what, None) or shown.add_task(what, total=total)
            tasks[what] = task
            ended = done == total
            shown.update(task, completed=done, total=total, visible=not ended, refresh=ended or not done % 50)

        yield bar


def _live(status: Status) -> RenderableType:
    """Return the state of a search: how far it is, the best candidates so far, and what runs."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    rows, others = status.rows(_ROWS), len(status.outcome.candidates) - _ROWS
    table = Table(title=Text(str(status)), title_justify="left", box=SIMPLE_HEAD)
    table.pad_edge = False
    for row in rows:
        del row["name"]
    for column in rows[0]:
        table.add_column(Text(column.replace("_", " ")), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            *(Text(FORMATS.get(name, text)(value) if value is not None else "") for name, value in row.items())
        )
    if others > 0:
        table.caption = Text(f"and {others} more")
    return table


def records(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    """Return the rows of a table, None where nothing is known."""
    found: list[dict[Any, Any]] = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return found


def emit_candidates(search: Search, *, json: bool) -> None:
    """Write the candidates, and about how long their training takes; nothing is trained."""
    scored = search.request.proxies
    rows = records(search.candidates(proxies=scored, say=note))
    for line in search.expected():
        note(line)
    hidden = ["name", "activations", "merged", *([] if any(row["distance"] for row in rows) else ["distance"])]
    if scored:
        hidden += ["nominal", "distance", "flops"]
        note("nothing was trained: these scores are unproven on this network and these images")
    emit_json(rows) if json else emit(rows, caption=f"FLOPs: {CONVENTION}", formats=FORMATS, hidden=hidden)


def emit_standings(status: Status | BaselineStatus, most: int | None = None) -> None:
    """Write the candidates, or so many of them, the best so far first."""
    rows = status.rows(most)
    named = rows and "alpha" in rows[0]  # a candidate's name says α, β, γ
    emit(rows, title=status.title, formats=FORMATS, hidden=("name",) if named else ())


def emit_answer(search: Search, *, json: bool) -> None:
    """Write the ranking of a finished search, and say what it is worth; raise RunError where its last rungs failed."""
    from scalenet.arch.config import as_data
    from scalenet.search.answer.outcome import PROXIES
    from scalenet.search.answer.summary import title

    answer, plan, rows = search.answer, search.plan, records(search.results())
    if json:
        images = {} if plan.images is None else {"images": as_data(plan.images)}
        emit_json({**as_data(answer.coefficients), **images, "candidates": rows, **_kept(search)})
    else:
        score = () if plan.objective.goal == "accuracy" else ("score",)
        proxies = tuple(name for name in PROXIES if name in rows[0])
        middle = ("flops_ratio", "rung", "seeds", "accuracy", *score, "interval", "over", "tied", "seconds")
        single = len(answer.evidence.rungs) == 1
        emit(
            [{column: row[column] for column in ("rank", *GREEK, *middle, *proxies)} for row in rows],
            title=title(plan),
            caption=f"FLOPs: {CONVENTION}" + ("; score: accuracy × (FLOPs / target)^-0.07" if score else ""),
            formats=FORMATS,
            hidden=("seconds", *(("rung",) if single else ()), *(("interval",) if proxies else ())),
        )
    for line in answer.sentences:
        note(line)
    if answer.error is not None:
        raise answer.error


def _kept(search: Search | BaselineSearch) -> dict[str, list[str]]:
    """Return the folders of the trained networks that were kept, if any were, as JSON has them."""
    models = [str(place) for place in search.models().values()]
    return {"models": models} if models else {}


def emit_baseline(search: BaselineSearch, *, json: bool) -> None:
    """Write the members trained to the end, or all as JSON, and say what was found."""
    from scalenet.search.baseline.status import shown

    outcome = search.outcome()
    if json:
        emit_json({**outcome.data(), **_kept(search)})
    else:
        rows = [shown(row) for row in outcome.ranked() if row["seeds"]]
        emit(rows, caption=f"FLOPs: {CONVENTION}; reward: accuracy × (FLOPs / target)^-0.07", formats=FORMATS)
    for line in search.sentences():
        note(line)
