"""The one output sink: a table on a terminal, CSV in a pipe, JSON when asked."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


def emit_json(data: Any) -> None:
    """Write JSON to stdout."""
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def emit(
    rows: Sequence[Mapping[str, Any]],
    *,
    title: str | None = None,
    caption: str | None = None,
    formats: Mapping[str, Callable[[Any], str]] | None = None,
    hidden: Sequence[str] = (),
) -> None:
    """Write rows: on a terminal a table with `formats` applied and without `hidden` columns, in a pipe CSV of all."""
    if not sys.stdout.isatty():
        writer = csv.DictWriter(sys.stdout, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title and Text(title), caption=caption and Text(caption), title_justify="left", box=SIMPLE_HEAD)
    table.caption_justify, table.padding, table.pad_edge = "left", (0, 1, 0, 0), False
    columns = [column for column in (rows[0] if rows else []) if column not in hidden]
    for column in columns:
        numeric = all(isinstance(row[column], int | float) or row[column] is None for row in rows)
        wraps = column in _LONG
        table.add_column(Text(column.replace("_", " ")), justify="right" if numeric else "left", no_wrap=not wraps)
    for row in rows:
        table.add_row(*(Text(_shown(row[column], (formats or {}).get(column))) for column in columns))
    Console(highlight=False).print(table)


_LONG = ("source", "description", "reason")
"""Columns of prose, which may wrap."""


def _shown(value: Any, form: Callable[[Any], str] | None) -> str:
    if value is None:
        return "–"
    if form is not None:
        return form(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def note(text: str) -> None:
    """Write a line for the reader to stderr."""
    sys.stderr.write(text + "\n")


def count(value: float) -> str:
    """Return a count for reading: 385814752 is 385.8 M."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.4g} {unit}"
    return f"{value:g}"


def times(value: float) -> str:
    """Return a ratio for reading: 2.5728 is 2.573×."""
    return f"{value:.4g}×"


def percent(value: float) -> str:
    """Return a factor's deviation from 1 for reading: 1.14 is +14.0 %."""
    return f"{100 * (value - 1):+.1f} %"


def size_text(height: float, width: float) -> str:
    """Return 224 for a square map, 511×513 for another."""
    return f"{height:g}" if height == width else f"{height:g}×{width:g}"


def must_not_exist(path: Path, *, force: bool) -> None:
    """Refuse to replace a file unless it is wanted."""
    from scalenet.arch.errors import ScalenetError

    if path.exists() and not force:
        raise ScalenetError(f"{path}: exists already", hint="--force replaces it")
