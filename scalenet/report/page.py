"""The page of a search: one file that holds its answer, plots and tables, loads nothing, and runs no script."""

from __future__ import annotations

import re
from html import escape
from importlib import resources
from string import Template
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np

from scalenet._version import __version__
from scalenet.arch.convention import CONVENTION
from scalenet.arch.files import write_bytes, write_text
from scalenet.report.figures import png, style, svg
from scalenet.report.findings import Findings, standings
from scalenet.report.plots import plots

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from scalenet.report.figures import Plot

__all__ = ["Findings", "write_report"]

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
UNFOLDED = 100
"""Candidates that are seen at once."""

_STANDINGS = {"best": "best", "tie": "tied", "other": "", "dropped": "dropped", "diverged": "not ranked"}


def write_report(findings: Findings, folder: Path) -> Path:
    """Write `report.html`, and `plots/NAME.png` and `.svg`, into a folder; return the page.

    The same findings give the same bytes. Raise ScalenetError or RunError where a file cannot be written.
    """
    frame = standings(findings)
    cards = []
    with style():
        for plot in plots(findings, frame):
            drawn = svg(plot.figure)
            write_bytes(folder / "plots" / f"{plot.name}.svg", drawn, within=folder)
            write_bytes(folder / "plots" / f"{plot.name}.png", png(plot.figure), within=folder)
            cards.append(card(plot, drawn))
    text = page(findings.title, findings.summary, cards, {"Candidates": _candidates(frame)}, findings.facts)
    file = folder / "report.html"
    write_text(file, text)
    return file


def page(
    title: str, sentences: Sequence[str], cards: Iterable[str], tables: Mapping[str, str], facts: Mapping[str, str]
) -> str:
    """Return a page as HTML: sentences, the first of them the answer, cards of plots, tables by heading, and facts."""
    answer, *more = map(_sentence, sentences)
    return Template(_shipped("page.html")).substitute(
        title=escape(title),
        style=_shipped("page.css"),
        answer=answer,
        more="".join(f"<li>{sentence}</li>\n" for sentence in more),
        figures="".join(cards),
        tables="".join(_section(heading, table) for heading, table in tables.items()),
        facts=_facts(facts),
        convention=escape(CONVENTION),
        version=escape(__version__),
    )


def _section(heading: str, table: str) -> str:
    mark = heading.lower().replace(" ", "-")
    return (
        f'<h2 id="{mark}">{escape(heading)}</h2>\n'
        f'<div class="scroll" tabindex="0" role="region" aria-labelledby="{mark}">\n{table}</div>\n'
    )


def _shipped(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _sentence(text: str) -> str:
    """Return a sentence as HTML: numbers stay on a line with their names and units, and a command is one line."""
    words, colon, command = text.partition(": scalenet ")
    found = escape(re.sub(r" (?=[=±%])|(?<=[=±]) ", "\N{NO-BREAK SPACE}", words))
    return f"{found}:\n<code>{escape(f'scalenet {command}')}</code>" if colon else found


def card(plot: Plot, drawn: bytes) -> str:
    """Return a plot with its title and caption as HTML."""
    return f"""<figure>
<h2>{escape(plot.title)}</h2>
<div class="card">{_inlined(drawn, plot)}</div>
<figcaption>{escape(plot.caption)}</figcaption>
</figure>
"""


def _inlined(drawn: bytes, plot: Plot) -> str:
    """Return an SVG as an element of the page: as wide as its place, its ids its own, with words for who cannot see."""
    for prefix, space in (("", _SVG), ("xlink", _XLINK)):
        ElementTree.register_namespace(prefix, space)
    root = ElementTree.fromstring(drawn)
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    for element in root.iter():
        for key, value in element.attrib.items():
            element.set(key, _own(key, value, plot.name))
    for key in ("width", "height"):
        del root.attrib[key]
    root.attrib |= {"role": "img", "aria-label": plot.shown}
    return ElementTree.tostring(root, encoding="unicode")


def _own(key: str, value: str, name: str) -> str:
    """Return an attribute with ids that no other figure has."""
    if key == "id":
        return f"{name}-{value}"
    if key.endswith("href"):
        return value.replace("#", f"#{name}-", 1)
    return value.replace("url(#", f"url(#{name}-")


def _candidates(frame: pd.DataFrame) -> str:
    """Return the table of candidates, best first: of many, all but the best are folded."""
    columns = _columns(frame)
    heads = ["rank", "standing", *columns, "name"]
    own = (frame[name] for name in ("kind", "tied", "rank", "name", "merged"))
    body = [_row(*row) for row in zip(*own, zip(*columns.values(), strict=True), strict=True)]
    head = "".join(_cell("th", head, head if head in ("standing", "name") else "") for head in heads)
    first, others = _table(head, body[:UNFOLDED]), body[UNFOLDED:]
    if not others:
        return first
    return f"{first}<details>\n<summary>The other {len(others):,}</summary>\n{_table(head, others)}</details>\n"


def numbers_table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, words: int, kinds: Sequence[str]) -> str:
    """Return a table as HTML: rows of texts, the first so many `words` and the others numbers.

    The `kinds` of rows are "best", "tie" or "".
    """
    body = []
    for kind, row in zip(kinds, rows, strict=True):
        own = f' class="{kind}"' if kind else ""
        body.append(f"<tr{own}>{_cells('td', row, words)}</tr>\n")
    return _table(_cells("th", heads, words), body)


def _cells(tag: str, texts: Sequence[str], words: int) -> str:
    return "".join(_cell(tag, text, "standing" if place < words else "") for place, text in enumerate(texts))


def _table(head: str, body: Iterable[str]) -> str:
    return f'<table class="numbers">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{"".join(body)}</tbody>\n</table>\n'


def _row(kind: str, tied: object, rank: float, name: str, merged: object, texts: Iterable[str]) -> str:
    standing = "dropped, tied" if kind == "dropped" and tied is True else _STANDINGS[kind]
    cells = [_cell("td", f"{rank:.0f}" if rank > 0 else ""), _cell("td", standing, "standing")]
    cells += [_cell("td", text) for text in texts]
    return f'<tr class="{kind}">{"".join(cells)}{_name(name, merged)}</tr>\n'


def _columns(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Return the columns of numbers, without those that say nothing."""
    columns = {
        "accuracy, %": _decimals(frame["accuracy"], 2),
        "±": _decimals(frame["interval"], 2),
        "score, %": _decimals(frame["score"], 2) if not np.allclose(frame["factor"], 1) else [],
        "α": _decimals(frame["alpha"]),
        "β": _decimals(frame["beta"]),
        "γ": _decimals(frame["gamma"]),
        "FLOPs ratio": _decimals(frame["flops_ratio"]),
        **_counts("FLOPs", frame["flops"]),
        **_counts("parameters", frame["params"]),
        "seeds": _decimals(frame["seeds"], 0),
        "rung": _decimals(frame["rung"], 0) if frame["rung"].nunique() > 1 else [],
    }
    return {head: texts for head, texts in columns.items() if any(texts)}


def _cell(tag: str, text: str, kind: str = "") -> str:
    own = f' class="{kind}"' if kind else ""
    return f"<{tag}{own}>{escape(text)}</{tag}>"


def _name(name: str, merged: object) -> str:
    """Return the cell of a candidate's name, and of the other points that gave the same network; it may break at _."""
    text = f"{name} (also {merged})" if isinstance(merged, str) and merged else name
    return f'<td class="name">{escape(text).replace("_", "_<wbr>")}</td>'


def _decimals(values: Iterable[float], digits: int = 3) -> list[str]:
    return ["" if np.isnan(value) else f"{value:.{digits}f}" for value in values]


def _counts(name: str, values: pd.Series) -> dict[str, list[str]]:
    """Return a column of counts in the largest unit that the smallest of them has."""
    units = {"G": 1e9, "M": 1e6, "k": 1e3}
    unit = next((unit for unit, size in units.items() if values.min() >= size), "k")
    return {f"{name}, {unit}": [f"{value:,.2f}" for value in values / units[unit]]}


def _facts(facts: Mapping[str, str]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>\n' for name, text in facts.items()
    )
    return f'<table class="facts">\n{rows}</table>\n'
