"""The one output sink: a table on a terminal, CSV in a pipe, Markdown or JSON when asked."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalenet.arch.plain import LONGEST, plain
from scalenet.arch.words import count, times

if TYPE_CHECKING:
    from rich.progress import Progress

    from scalenet.arch.records import Record


class Format(StrEnum):
    """How results are written."""

    table = "table"
    csv = "csv"
    markdown = "markdown"
    json = "json"


def chosen_format(wanted: Format | None, *, json: bool) -> Format:
    """Return the format asked for by `--format` or `--json`: by default a table on a terminal, and CSV in a pipe."""
    from scalenet.arch.errors import ScalenetError

    if json and wanted not in (None, Format.json):
        raise ScalenetError(f"--json and --format {wanted} exclude each other", hint="give one of them")
    return Format.json if json else wanted or (Format.table if sys.stdout.isatty() else Format.csv)


def emit_report(data: Any, *tables: Mapping[str, Any], form: Format) -> None:
    """Write a result of several tables, each as the arguments of `emit`: JSON is `data`, CSV has the first one only."""
    if form is Format.json:
        emit_json(data)
        return
    for table in tables[:1] if form is Format.csv else tables:
        emit(**table, form=form)


def emit_json(data: Any) -> None:
    """Write JSON to stdout."""
    from scalenet.arch.strict_json import dumps

    sys.stdout.write(dumps(data, indent=2) + "\n")


def emit_line(data: Any) -> None:
    """Write a line of JSON to stdout at once."""
    from scalenet.arch.strict_json import dumps

    sys.stdout.write(dumps(data) + "\n")
    sys.stdout.flush()


def emit_record(record: Record, *, json: bool) -> None:
    """Write a record to stdout: the YAML of its file, or JSON."""
    from scalenet.arch import strict_yaml
    from scalenet.arch.config import as_data

    emit_json(as_data(record)) if json else sys.stdout.write(strict_yaml.dump(as_data(record)))


def emit(
    rows: Sequence[Mapping[str, Any]],
    *,
    title: str | None = None,
    caption: str | None = None,
    formats: Mapping[str, Callable[[Any], str]] | None = None,
    hidden: Sequence[str] = (),
    form: Format | None = None,
) -> None:
    """Write rows: a table with `formats` applied and without `hidden` columns, Markdown with all columns, or CSV."""
    form = form or chosen_format(None, json=False)
    columns = list(rows[0]) if rows else []
    if form is Format.csv:
        writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return
    if form is Format.table:
        columns = [column for column in columns if column not in hidden]
    cells = [[_shown(row[column], (formats or {}).get(column)) for column in columns] for row in rows]
    right = [all(isinstance(row[column], int | float) or row[column] is None for row in rows) for column in columns]
    write = _write_table if form is Format.table else _write_markdown
    write(columns, cells, right, title, caption)


def _write_table(
    columns: list[str], cells: list[list[str]], right: list[bool], title: str | None, caption: str | None
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title and Text(title), caption=caption and Text(caption), title_justify="left", box=SIMPLE_HEAD)
    table.caption_justify, table.padding, table.pad_edge = "left", (0, 1, 0, 0), False
    for column, numeric in zip(columns, right, strict=True):
        wraps = column in _LONG
        table.add_column(Text(column.replace("_", " ")), justify="right" if numeric else "left", no_wrap=not wraps)
    for row in cells:
        table.add_row(*map(Text, row))
    Console(highlight=False).print(table)


def _write_markdown(
    columns: list[str], cells: list[list[str]], right: list[bool], title: str | None, caption: str | None
) -> None:
    """Write a GitHub table, its title in bold above it and its caption below; a `|` in a cell is escaped."""
    header = [column.replace("_", " ") for column in columns]
    escaped = [[cell.replace("|", r"\|") for cell in row] for row in cells]
    rows = [header, ["--:" if numeric else ":--" for numeric in right], *escaped]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    above, below = [f"**{title}**", ""] if title else [], ["", caption] if caption else []
    sys.stdout.write("\n".join([*above, *lines, *below]) + "\n\n")


_LONG = ("source", "description", "reason", "mostly", "before", "after")
"""Columns of prose, which may wrap."""


def _shown(value: Any, form: Callable[[Any], str] | None) -> str:
    return plain(form(value) if form is not None and value is not None else text(value))


def text(value: Any) -> str:
    """Return a value for reading: four digits of a float, a dash for None."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def note(text: str) -> None:
    """Write one line for the reader to stderr, whatever is in the text."""
    sys.stderr.write(_harmless(text) + "\n")


def order(command: str) -> None:
    """Write a line to stderr that GitHub's runner obeys."""
    sys.stderr.write(plain(command, 10 * LONGEST) + "\n")


def _harmless(text: str) -> str:
    """Return text as one line that no CI obeys: GitHub's looks for `::` at a line's start, and for `##[`."""
    line = re.sub(r"^(\s*):(?=:)", r"\1\\x3a", plain(text)).replace("##[", r"#\x23[")
    return plain(line)  # once more for its length


def note_lines(text: str) -> None:
    """Write lines of our own to stderr."""
    for line in text.splitlines():
        note(line)


def emit_lines(lines: Iterable[str]) -> None:
    """Write lines of text to stdout."""
    sys.stdout.writelines(f"{_harmless(line)}\n" for line in lines)


def progress(*, shown: bool = True, auto_refresh: bool = True) -> Progress:
    """Return a bar on stderr, gone at its end; there is none where stderr is no terminal, or unless `shown`.

    Without `auto_refresh` nothing is drawn but when it is told to: a timed run is then left alone.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        auto_refresh=auto_refresh,
        disable=not (shown and sys.stderr.isatty()),
    )


def bytes_text(value: float) -> str:
    """Return a number of bytes for reading: 8589934592 is 8 GiB."""
    for limit, unit in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value >= limit:
            return f"{value / limit:.{3 if value < 100 * limit else 4}g} {unit}"
    return f"{value:g} B"


def percent(value: float) -> str:
    """Return a factor's deviation from 1 for reading: 1.14 is +14.0 %."""
    return f"{100 * (value - 1):+.1f} %"


def change(ratio: float) -> str:
    """Return a ratio for reading: 1.14 is +14.0 %, 3.2 is 3.2×."""
    return percent(ratio) if 0.5 <= ratio < 2 else times(ratio)


def points(value: float) -> str:
    """Return a share for reading: 0.14 is +14.0 %."""
    return percent(1 + value)


def signed_count(value: float) -> str:
    """Return a difference of counts for reading: +12.3 M."""
    return f"{'+' if value > 0 else ''}{count(round(value))}"


def must_not_exist(path: Path, *, force: bool) -> None:
    """Refuse to replace a file unless it is wanted."""
    from scalenet.arch.errors import ScalenetError

    if not force and (path.is_file() or path.is_dir()):
        raise ScalenetError(f"{path}: exists already", hint="--force replaces it")
